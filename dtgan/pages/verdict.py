"""A verdict for a page: arms against the baseline, classes that help and those that do not."""

import numpy as np

from dtgan.classification import verdict as verdict_lib
from dtgan.classification.report import verdict_line
from dtgan.classification.settings import BASELINE
from dtgan.pages.read import at

KINDS = {verdict_lib.HELPS: "good", verdict_lib.HARMS: "bad", verdict_lib.UNKNOWN: "open"}


def describe(verdict):
    """Describe a read.Verdict: {"word", "kind", "line", "best", "names", "arms", "classes",
    "confusions"}.

    kind: of `plots.MARKS`. best: the arm of the verdict, None without one. arms, classes: dicts of
    what `_arm` and `_class` say. names: of all classes; confusions: [(arm, counts, shares)], lists
    by true class and answer.
    """
    content = verdict.content
    told, arms, compare = content["verdict"], content["arms"], _Comparison(verdict)
    best = at(told, "arm")
    if isinstance(best, list):  # the best of each fold; shown is the one that is it most often
        best = max(set(best), key=best.count)
    names = content["classes"] if best and BASELINE in arms else []
    present = [name for name in names if arms[best]["per_class_error"][name]]
    word = told["word"] if told else "NO VERDICT"
    return {
        "word": word,
        "kind": KINDS[word] if told else "open",
        "line": verdict_line(told, content["num_test"]).removeprefix(f"{word}: "),
        "best": best,
        "names": content["classes"],
        "arms": [_arm(name, arm) | compare(name) for name, arm in arms.items()],
        "classes": [_class(content, best, name) | compare(best, name) for name in present],
        "confusions": [(name, arm["confusion"], _shares(arm)) for name, arm in arms.items()],
    }


class _Comparison:
    """Compares arms with the baseline by their answers, where predictions.npz has them."""

    def __init__(self, verdict):
        answers = verdict.predictions
        self._truth, self._groups = answers.get("truth"), answers.get("groups")
        self._classes = verdict.content["classes"]
        arms = set(verdict.content["arms"]) & set(answers)
        self._wrong = {name: answers[name] != self._truth for name in arms}

    def __call__(self, arm, label=None):
        """Compare an arm on all test images, or those of a class.

        Returns {"delta", "delta_ci95": points of error, paired; "kind"}, all as for no difference
        known where there are no answers.
        """
        unknown = {"delta": None, "delta_ci95": None, "kind": "open"}
        if arm == BASELINE or not {arm, BASELINE} <= set(self._wrong):
            return unknown
        rows = np.ones(len(self._truth), bool)
        if label is not None:
            rows = self._truth == self._classes.index(label)
        wrong = (self._wrong[name][:, rows] for name in (arm, BASELINE))
        found = verdict_lib.compare(*wrong, self._groups[rows])
        low, high = found["ci95"]
        return {
            "delta": 100 * found["delta"],
            "delta_ci95": [100 * low, 100 * high],
            "kind": KINDS[found["word"]],
        }


def _arm(name, arm):
    """Describe an arm: its name, number of training images, errors in % over the seeds."""
    error = arm["error"]
    return {
        "name": name,
        "num_train": arm["num_train"],
        "error": 100 * error["mean"],
        "ci95": error["ci95"] and [100 * max(value, 0) for value in error["ci95"]],
        "balanced": 100 * arm["balanced_error"]["mean"],
    }


def _class(content, best, name):
    """Describe what the arm of the verdict does to a class.

    "without", "with": errors in %, with Wilson's intervals "..._ci95"; "num_test": images;
    "shown": synthetic images that were shown in training; "left_out": by the search of --choose.
    """
    row = {"name": name, "shown": _shown(content["arms"][best]["exposure"], name)}
    for key, arm in (("without", BASELINE), ("with", best)):
        scores = content["arms"][arm]
        row[key] = 100 * scores["per_class_error"][name]["mean"]
        row[f"{key}_ci95"] = [100 * value for value in scores["per_class_wilson"][name]]
    counts = content["arms"][best]["confusion"][content["classes"].index(name)]
    row["num_test"] = sum(counts) // content["seeds"]
    row["left_out"] = name in _left_out(content)
    return row


def _left_out(content):
    """List the classes that the search of `classify --choose` left out, in any fold."""
    choices = content["choice"] if isinstance(content["choice"], list) else [content["choice"]]
    return {name for choice in choices if choice for name in choice["left_out"]}


def _shown(exposure, name):
    """Sum the synthetic images of a class that were shown; exposure: one, or a list by fold."""
    parts = exposure if isinstance(exposure, list) else [exposure]
    return sum(part["synthetic"].get(name, 0) for part in parts)


def _shares(arm):
    counts = np.asarray(arm["confusion"], float)
    return (counts / np.maximum(counts.sum(1, keepdims=True), 1)).tolist()
