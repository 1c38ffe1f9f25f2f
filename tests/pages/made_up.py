"""A run, a set and a verdict made up of files: what the verbs leave behind, without training."""

import json

import numpy as np

from dtgan import images
from dtgan.config import base_config, to_json
from dtgan.evaluation import gallery
from tests import smoke

EVIL = "<img src=x onerror=alert(1)>"  # the name of a class
CLASSES = ("normal", EVIL, "tear & $wear$")
SIDE = 16


def run(path, steps=400, ended=True, family=smoke.FAMILY):
    """Write a workdir: data of two classes of defects, curves, grids, an evaluation."""
    data = path.parent / f"{path.name}-data"
    config = base_config(family)
    config.data.update({"source": "folder", "path": str(data), "res": SIDE})
    config.train.duration = f"{steps}steps"
    _data(data)
    _write(path / "config.json", to_json(config))
    account = {"pictures": 4, "with_mask": 4, "lost": 0, "crops": 4}
    told = {
        "accounts": {"train": dict.fromkeys(CLASSES[1:], account)},
        "findings": [f"train: {CLASSES[1]}: the thinnest defect is 0.6 pixels wide"],
    }
    _write(path / "data.json", json.dumps(told))
    rows = [
        {
            "step": step,
            "loss/rec": 10 / step,
            "loss/adv_g": 1.0,
            "rate/images_per_s": 40.0,
            "rate/waiting_for_data": 0.3,
            "val/score": 1 / step,
        }
        for step in range(steps // 8, steps + 1, steps // 8)
    ]
    _write(path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4')
    for step in range(steps // 4, steps + 1, steps // 4):
        _save(path / f"samples/{step}.png", _picture(step, 2 * SIDE, 4 * SIDE))
    if ended:
        _write(path / "summary.json", json.dumps({"step": steps}))
    return path


def evaluation(path, step=400, skill=0.5):
    """Write a report of evaluate with its pictures into the workdir of `run`."""
    columns = ["defect", "surface", "image", "mask", "real"]
    rows = [
        {"class": name, "rank": rank, "distance": place + 0.5}
        for name in CLASSES[1:]
        for rank, place in gallery.RANKS.items()
        for _ in range(gallery.EACH)
    ]
    cells = [_picture(k, SIDE, SIDE) for k in range(len(rows) * len(columns))]
    _save(path / f"eval/{step}-hybrids.png", images.tile(cells, len(columns)))
    _save(path / f"eval/{step}-copies.png", _picture(1, 40, 160))
    _write(path / f"eval/{step}.json", json.dumps(_report(step, skill, columns, rows)))


def generated(path):
    """Write a complete set of three images a class."""
    records = []
    for label, name in enumerate(CLASSES[1:], 1):
        for k in range(3):
            file, mask = (f"{kind}/{name}/{k}.png" for kind in ("images", "masks"))
            _save(path / file, _picture(k, SIDE, SIDE))
            _save(path / mask, _mask())
            refused = {"cut": 0, "empty": 1, "invisible": 2, "copied": 0}
            records.append(
                {
                    "file": file,
                    "mask": mask,
                    "class": name,
                    "label": label,
                    "synthetic": True,
                    "recognised": k > 0,
                    "contrast": 2.0,
                    "refused": refused,
                }
            )
    # A stranger's manifest may point anywhere.
    records[0]["file"] = "../../secret.png"
    _write(path / "plan.json", json.dumps({"step": 400}))
    _write(path / "manifest.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    _write(path / "_SUCCESS", "")
    return path


def verdict(path, seeds=3, num=60):
    """Write a verdict in which synthetic images help the first class of defects and harm the
    second."""
    from dtgan.classification import verdict as verdict_lib

    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), num // 3)
    decided = {}
    for arm, rates in (("real+classic", (0.1, 0.7, 0.1)), ("real+synthetic", (0.1, 0.0, 0.9))):
        wrong = rng.random((seeds, num)) < np.asarray(rates)[truth]
        decided[arm] = np.where(wrong, (truth + 1) % 3, truth)
    wrong = {arm: rows != truth for arm, rows in decided.items()}
    told = verdict_lib.compare(wrong["real+synthetic"], wrong["real+classic"])
    shown = {"real": {}, "synthetic": dict.fromkeys(CLASSES[1:], 300.0)}
    content = {
        "arms": {
            arm: {"num_train": 90, "exposure": shown} | verdict_lib.arm_scores(rows, truth, CLASSES)
            for arm, rows in decided.items()
        },
        "verdict": {"arm": "real+synthetic", "against": "real+classic", **told},
        "classes": list(CLASSES),
        "num_test": num,
        "seeds": seeds,
        "choice": None,
        "findings": [],
        "notes": {},
    }
    _write(path / "verdict.json", json.dumps(content))
    ids = np.array([str(k) for k in range(num)])
    rest = {"truth": truth, "ids": ids, "groups": np.arange(num), "fold": np.zeros(num, int)}
    np.savez_compressed(path / "predictions.npz", **rest, **decided)
    return path


def _report(step, skill, columns, rows):
    """Make the content of a report, in the shape of evaluation.score."""
    ci95 = [skill - 0.1, skill + 0.1]
    moved = {"skill": skill, "skill_ci95": ci95, "mask_iou": 0.4, "mask_iou_ci95": [0.3, 0.5]}
    part = {
        "num_real": 12,
        "num_fake": 50,
        "fid": 30.0,
        "fid_ci95": [20.0, 40.0],
        "fid_matched": 45.0,
        "kid_x1e3": 20.0,
        "kid_ci95": [-5.0, 45.0],
        "precision_matched": 0.5,
        "recall_matched": 0.5,
        "recognised": 0.2,
    }
    floor = {"num_fake": 12, "fid": 10.0, "precision": 0.9, "recall": 0.9, "recognised": 0.9}
    return {
        "step": step,
        "data": {"num_fake": 100, "num_real": 24, "split": "test", "split_fingerprint": "a"},
        "extractor": {"name": "domain", "sha256": "b", "resize": "none"},
        "settings": {"num_fake": 100},
        "overall": part,
        "per_class": dict.fromkeys(CLASSES[1:], part),
        "floor": {"split": "val", "overall": floor, "per_class": dict.fromkeys(CLASSES[1:], floor)},
        "transfer": {
            **moved,
            "mask_threshold": 0.3,
            "paste_skill": 0.6,
            "per_class": dict.fromkeys(CLASSES[1:], moved),
        },
        "translation": None,
        "probes": {"anchor": None},
        "copies": {"rate": 0.3, "rate_ci95": [0.2, 0.4], "alpha": 0.01, "held_out_rate": 0.02},
        "gallery": {"columns": columns, "rows": rows, "side": SIDE},
        "findings": [],
        "notes": {"transfer.skill_ci95": "<b>pairs share surfaces</b>"},
    }


def _data(path):
    """Write a folder of four images of every class and split, with masks."""
    lines = ["file,split"]
    for label, name in enumerate(CLASSES):
        for number, split in enumerate(("train", "val", "test")):
            for k in range(4):
                file = f"{name}/{split}{k}.png"
                seed = 100 * label + 10 * number + k
                _save(path / "images" / file, _picture(seed, SIDE, SIDE))
                if label:
                    _save(path / "masks" / file, _mask())
                lines.append(f"{file},{split}")
    _write(path / "splits.csv", "\n".join(lines) + "\n")


def _picture(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 1), np.uint8)


def _mask():
    mask = np.zeros((SIDE, SIDE, 1), np.uint8)
    mask[4:10, 4:10] = 255
    return mask


def _save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.as_pillow(image).save(path)


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
