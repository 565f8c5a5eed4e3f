"""The numbers of clpipe's policies, which every peer's pipeline takes from here."""
import dataclasses


@dataclasses.dataclass
class Policy:
    scale: tuple | None  # share of the area that a crop takes; None: no crop
    blur: float  # probability; of the others below too
    jitter: float = 0.8
    strength: float = 0.4  # of brightness, contrast and saturation
    hue: float = 0.1
    gray: float = 0.2
    flip: float = 0.5
    sigma: tuple = (0.1, 2.0)  # of the blur, in pixels
    # What only torchvision's pipeline (augment.py) makes:
    bicubic: bool = False  # filter of the crop
    shift: int = 0  # pixels along an axis, at most, into mirrored edges; four of five views
    alike: bool = False  # the views of an image are flipped alike
    views: int = 2
    patches: bool = False  # 7x7 of a quarter of the side, each changed by itself


# moco-cifar flips before it changes colours, moco-v2 last: the same pixels.
POLICIES = {"moco-v2": Policy(scale=(0.2, 1.0), blur=0.5), "moco-cifar": Policy(scale=(0.08, 1.0), blur=0.0)}

# Those that methods train on at 32 px.
TRAINING = {
    "moco-cifar": POLICIES["moco-cifar"],
    "simclr": Policy(scale=(0.08, 1.0), blur=0.0, bicubic=True),
    "amdim": Policy(scale=None, blur=0.0, shift=4, hue=0.2, gray=0.25, alike=True),
    "cpc": Policy(scale=None, blur=0.0, shift=4, hue=0.2, gray=0.25, views=1, patches=True),
    "dim": Policy(scale=None, blur=0.0, jitter=0.0, gray=0.0, flip=0.0, views=1),
}
