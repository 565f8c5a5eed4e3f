"""Writes ap.json: average precisions of ChainerCV's eval_detection_voc.

    pip download --no-deps --no-binary :all: chainercv==0.13.1    (and unpack it)
    python ap.py chainercv-0.13.1                                 (in this folder)

Made with chainercv 0.13.1, six 1.17.0 and numpy 2.4.6. Only two files of it are
loaded, which need nothing of Chainer but the name of the array module.

Scenes are drawn: images with few or many truths, some difficult, some classes
without any; detections that are truths moved a little or much, some of them
several times, some of the wrong class, and boxes from nowhere. Coordinates are
multiples of 1/4 and no scores are equal, so that both programs compute with the
same numbers in the same order; no IoU lies so near a threshold (1e-9) that its
last bit counts, which also keeps away the one difference there is: ChainerCV, like
the challenges' own program, accepts an IoU that equals it.
"""

import importlib.util
import itertools
import json
import pathlib
import sys
import types
import warnings

import numpy as np

THRESHOLDS = [t / 100 for t in range(50, 100, 5)]


def load(root):
    """Returns the two functions' module without importing Chainer."""
    backends = types.ModuleType("chainer.backends")
    backends.cuda = types.SimpleNamespace(get_array_module=lambda *_: np)
    sys.modules["chainer"] = types.ModuleType("chainer")
    sys.modules["chainer.backends"] = backends
    for name in ["chainercv", "chainercv.utils", "chainercv.utils.bbox"]:
        sys.modules[name] = types.ModuleType(name)
    for name in ["utils.bbox.bbox_iou", "evaluations.eval_detection_voc"]:
        path = pathlib.Path(root, "chainercv", *name.split(".")).with_suffix(".py")
        spec = importlib.util.spec_from_file_location("chainercv." + name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["chainercv." + name] = module
        spec.loader.exec_module(module)
    return module


def quarter(x):
    return [round(4 * float(v)) / 4 for v in x]


def box(rng, size=100):
    w, h = rng.uniform(5, 50, 2)
    x, y = rng.uniform(0, size - w), rng.uniform(0, size - h)
    return quarter([x, y, x + w, y + h])


def scene(rng, images, classes, empty, truths, strays):
    """Draws a scene in which the classes in empty have no truth."""
    present = [c for c in range(classes) if c not in empty]
    all_truths, all_detections = [], []
    for _ in range(images):
        ts, ds = [], []
        for _ in range(rng.integers(0, truths + 1)):
            t = {"Class": int(rng.choice(present)), "Box": box(rng), "Difficult": bool(rng.random() < 0.2)}
            ts.append(t)
            for _ in range(rng.choice(4, p=[0.2, 0.5, 0.2, 0.1])):
                moved = np.array(t["Box"]) + rng.normal(0, rng.choice([0.5, 2, 6]), 4)
                if moved[0] + 1 > moved[2] or moved[1] + 1 > moved[3]:
                    continue
                wrong = rng.random() < 0.1
                ds.append({"Class": int(rng.integers(classes)) if wrong else t["Class"], "Box": quarter(moved), "Score": 0.3 + rng.random()})
        for _ in range(rng.integers(0, strays + 1)):
            ds.append({"Class": int(rng.integers(classes)), "Box": box(rng), "Score": rng.random()})
        order = rng.permutation(len(ds))
        all_truths.append(ts)
        all_detections.append([ds[i] for i in order])
    every = sorted(itertools.chain(*all_detections), key=lambda d: d["Score"])
    for rank, d in enumerate(every):
        d["Score"] = rank / 1000
    return {"Classes": classes, "Truths": all_truths, "Detections": all_detections}


def arrays(images, key, shape, dtype):
    return [np.array([o[key] for o in image], dtype).reshape(shape) for image in images]


def boxes(images):
    """As ChainerCV has them: top, left, bottom, right, the last pixel included."""
    return [b[:, [1, 0, 3, 2]] - [0, 0, 1, 1] for b in arrays(images, "Box", (-1, 4), np.float64)]


def judge(voc, s):
    """Adds what ChainerCV says; None if an IoU lies at a threshold."""
    truths, detections = s["Truths"], s["Detections"]
    for t, d in zip(arrays(truths, "Box", (-1, 4), float), arrays(detections, "Box", (-1, 4), float)):
        iou = voc.bbox_iou(d, t)
        if iou.size and min(np.abs(iou - th).min() for th in THRESHOLDS) < 1e-9:
            return None
    for name, metric07 in [("VOC07", True), ("Area", False)]:
        means = []
        for threshold in THRESHOLDS:
            precision, recall = voc.calc_detection_voc_prec_rec(
                boxes(detections), arrays(detections, "Class", -1, int), arrays(detections, "Score", -1, float),
                boxes(truths), arrays(truths, "Class", -1, int), arrays(truths, "Difficult", -1, bool),
                iou_thresh=threshold)
            ap = voc.calc_detection_voc_ap(precision, recall, use_07_metric=metric07)
            ap = np.concatenate([ap, np.full(s["Classes"] - len(ap), np.nan)])
            means.append(float(np.nanmean(ap)))
            if threshold == 0.5:
                by_class = [None if np.isnan(x) else float(x) for x in ap]
        s[name] = {"AP": float(np.mean(means)), "AP50": means[0], "AP75": means[5], "Class": by_class}
    return s


def main():
    voc = load(sys.argv[1])
    warnings.simplefilter("ignore")  # of ChainerCV's 0/0, which it means
    out = []
    for name, shape in {
        "few": (3, 2, [], 2, 2),
        "classes without truth": (12, 6, [0, 3, 5], 3, 3),
        "crowded": (4, 2, [], 12, 10),
        "many strays": (10, 3, [], 2, 12),
        "one class": (20, 1, [], 2, 1),
        "many images": (40, 4, [2], 2, 1),
    }.items():
        for seed in itertools.count():
            s = judge(voc, scene(np.random.default_rng(seed), *shape))
            if s is not None:
                break
        out.append({"Name": name, **s})
    pathlib.Path(__file__).with_name("ap.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


main()
