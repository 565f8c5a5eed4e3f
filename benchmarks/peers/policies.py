"""The numbers of clpipe's policies, which every peer's pipeline takes from here."""
import dataclasses


@dataclasses.dataclass
class Policy:
    scale: tuple  # share of the area that a crop takes
    blur: float  # probability; of the others below too
    jitter: float = 0.8
    strength: float = 0.4  # of brightness, contrast and saturation
    hue: float = 0.1
    gray: float = 0.2
    flip: float = 0.5
    sigma: tuple = (0.1, 2.0)  # of the blur, in pixels


# moco-cifar flips before it changes colours, moco-v2 last: the same pixels.
POLICIES = {"moco-v2": Policy(scale=(0.2, 1.0), blur=0.5), "moco-cifar": Policy(scale=(0.08, 1.0), blur=0.0)}
