"""The report of an experiment: arms scored on all test images, of one split or of several folds."""

from typing import NamedTuple

import numpy as np

from dtgan.classification import settings, verdict
from dtgan.classification.data import Experiment
from dtgan.data import labels


class Arm(NamedTuple):
    """What one arm did on one split."""

    logits: np.ndarray  # of the test images [S, N, K]
    val_error: np.ndarray  # balanced, of the chosen step [S]
    step: np.ndarray  # chosen [S]
    exposure: dict  # see `exposure`
    num_train: int


class Part(NamedTuple):
    """What one split or fold gave."""

    experiment: Experiment
    arms: dict  # name -> Arm
    notes: dict  # name of an arm -> what to know of it
    choice: dict | None  # see `choosing.choose`


def summarise(config, parts, trainer):
    """Pool the Parts of an experiment: (content of verdict.json, arrays for predictions.npz).

    Each test image counts once; seed s stands for seed s of every fold. trainer: any, to decide by.
    With several parts counts are lists, a number a fold, and "folds" holds the details of each.
    """
    experiments = [part.experiment for part in parts]
    classes, truth = experiments[0].classes, np.concatenate([e.test.label for e in experiments])
    names = [name for name in config.arms if all(name in part.arms for part in parts)]
    arms, decided = {}, {}
    for name in names:
        own = [part.arms[name] for part in parts]
        logits = np.concatenate([arm.logits for arm in own], axis=1)
        decided[name] = trainer.decide(logits)
        arms[name] = {
            "val_balanced_error": verdict.over_seeds(np.mean([arm.val_error for arm in own], 0)),
            "steps": _one([arm.step.tolist() for arm in own]),
            "exposure": _one([arm.exposure for arm in own]),
            "num_train": _one([arm.num_train for arm in own]),
            **score_arm(trainer, logits, truth, classes),
        }
    fold = np.repeat(np.arange(len(parts)), [len(e.test.label) for e in experiments])
    groups = np.concatenate([e.test_groups for e in experiments])
    groups = np.unique(np.stack([fold, groups]), axis=1, return_inverse=True)[1].reshape(-1)
    wrong = {name: rows != truth for name, rows in decided.items()}
    content = {
        "arms": arms,
        "verdict": judge(parts, wrong, fold, groups),
        "classes": list(answers(config, classes)),
        "num_train": _one([len(e.train.label) for e in experiments]),
        "num_val": _one([len(e.val.label) for e in experiments]),
        "num_test": len(truth),
        "num_synthetic": _one([len(e.synthetic.label) if e.synthetic else 0 for e in experiments]),
        "seeds": config.seeds,
        "net": config.net,
        "findings": list(dict.fromkeys(line for e in experiments for line in e.findings)),
        "notes": {name: note for part in parts for name, note in part.notes.items()},
        "dropped": {name: why for e in experiments for name, why in e.dropped.items()},
        "choice": _one([part.choice for part in parts]),
    }
    if len(parts) > 1:
        content["folds"] = [
            _details(part, {name: rows[:, fold == k] for name, rows in wrong.items()})
            for k, part in enumerate(parts)
        ]
    ids = np.array([name for e in experiments for name in e.test.ids])
    return content, {"truth": truth, "ids": ids, "groups": groups, "fold": fold, **decided}


def _details(part, wrong):
    """Describe one fold: images, and each arm's errors on validation and test images."""
    return {
        "num_test": len(part.experiment.test.label),
        "num_val": len(part.experiment.val.label),
        "arms": {
            name: {
                "val_balanced_error": verdict.over_seeds(part.arms[name].val_error),
                "error": verdict.over_seeds(rows.mean(1)),
            }
            for name, rows in wrong.items()
        },
    }


def judge(parts, wrong, fold, groups):
    """Compare the best synthetic arm with the baseline; see `verdict.compare`. None without both.

    The best is the arm with chosen classes where there is one, else the arm of least validation
    error, in each fold its own: another fold's validation images are this one's test images.
    wrong: {arm: bool [S, N]}; fold, groups: int [N].
    """
    fakes = [name for name in wrong if settings.ARMS[name][1]]
    if not fakes or settings.BASELINE not in wrong:
        return None
    fakes = [name for name in fakes if name == settings.CHOSEN] or fakes
    best = [min(fakes, key=lambda name: part.arms[name].val_error.mean()) for part in parts]
    tried = np.concatenate([wrong[name][:, fold == k] for k, name in enumerate(best)], axis=1)
    found = verdict.compare(tried, wrong[settings.BASELINE], groups)
    arm = best[0] if len(set(best)) == 1 else best
    return {"word": found.pop("word"), "arm": arm, "against": settings.BASELINE, **found}


def score_arm(trainer, logits, truth, classes):
    """Score an arm's logits [S, N, K] of the test images; see `verdict.arm_scores`."""
    config = trainer.config
    scores = verdict.arm_scores(trainer.decide(logits), truth, answers(config, classes))
    if config.multi_label:
        errors = zip(labels.names(classes), trainer.label_errors(logits, truth).T, strict=True)
        scores["per_label_error"] = {name: verdict.over_seeds(error) for name, error in errors}
    return scores


def answers(config, classes):
    """List the possible answers: the classes and, with several labels, any other set of labels."""
    return (*classes, labels.ANOTHER) if config.multi_label else tuple(classes)


def exposure(images, shown, classes):
    """Count images shown in training, mean over seeds: {"real": {class: ...}, "synthetic": ...}."""
    return {
        kind: {
            name: round(float(shown[(images.label == k) & (images.synthetic == fake)].sum()), 1)
            for k, name in enumerate(classes)
        }
        for kind, fake in (("real", False), ("synthetic", True))
    }


def _one(values):
    """Return the only value of a list, or the list."""
    return values[0] if len(values) == 1 else values
