"""Reports of a classifier experiment: a table of text and a picture of confusion matrices."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dtgan.classification import choosing, leaks
from dtgan.classification.verdict import enough_images
from dtgan.reporting.tables import aligned

CELL, LEFT, TOP = 46, 110, 60


def table(report):
    """Format the report as lines: errors of all arms, errors by class, verdict, notes."""
    arms = report["arms"]
    overall = [["arm", "images", "error", "95 %", "balanced", "macro F1"]] + [
        [
            name,
            _span(arm["num_train"]),
            _percent(arm["error"]),
            _interval(arm["error"]["ci95"]),
            _percent(arm["balanced_error"]),
            f"{arm['macro_f1']['mean']:.3f}",
        ]
        for name, arm in arms.items()
    ]
    by_class = [["by class, with Wilson's 95 %", *arms]] + [
        [label, *(_cell(arm, label) for arm in arms.values())]
        for label in report["classes"]
        if any(arm["per_class_error"][label] for arm in arms.values())
    ]
    return [
        f"{report['net']}, {report['seeds']} seeds, {_images(report)}; "
        "errors in %, mean over seeds",
        *aligned(overall),
        "",
        *aligned(by_class),
        "",
        verdict_line(report["verdict"], report["num_test"]),
        *_choices(report["choice"]),
        *(f"{name}: {note}" for name, note in report["notes"].items()),
        *_dropped(report["dropped"]),
    ]


def _images(report):
    """Count the images of all kinds, by fold where there are folds."""
    train, val, fakes = (_span(report[f"num_{kind}"]) for kind in ("train", "val", "synthetic"))
    if "folds" not in report:
        test = report["num_test"]
        return f"{train} training, {val} validation and {test} test images, {fakes} synthetic ones"
    return (
        f"{report['num_test']} test images in {len(report['folds'])} folds, each of {train} "
        f"training, {val} validation and {fakes} synthetic images"
    )


def _span(counts):
    """Format a number, or the least and the greatest of a list of a number a fold."""
    low, high = (min(counts), max(counts)) if isinstance(counts, list) else (counts, counts)
    return str(low) if low == high else f"{low} to {high}"


def _choices(choice):
    """Format a choice, or those of all folds, None where there is none, as lines."""
    if not isinstance(choice, list):
        return choosing.lines(choice) if choice else []
    made = [(fold, one) for fold, one in enumerate(choice) if one]
    return [f"fold {fold}: {line}" for fold, one in made for line in choosing.lines(one)]


def _dropped(dropped):
    """Format the test images {id: why} that were left out, as lines."""
    if not dropped:
        return []
    told = (f"  {line}" for line in leaks.lines(dropped))
    return [f"left out of the test, {len(dropped)} known from training:", *told]


def _cell(arm, label):
    """Format an arm's error on a class: mean over seeds and Wilson's interval, "-" for None."""
    scores = arm["per_class_error"][label]
    if scores is None:
        return "-"
    return f"{_percent(scores)} {_interval(arm['per_class_wilson'][label])}"


def verdict_line(verdict, num_test):
    """Format the verdict on num_test images as one sentence; None says why there is none."""
    if verdict is None:
        return "no verdict: it takes a synthetic arm and real+classic"
    low, high = (100 * value for value in verdict["ci95"])
    needed, arm = verdict["needed_test_images"], verdict["arm"]
    if isinstance(arm, list):
        arm = f"the best by validation in each fold ({', '.join(arm)})"
    size = f"; a difference of this size shows in {needed} test images" if needed else ""
    if enough_images(verdict, num_test):
        size += f", and here are {num_test}: more seeds would tell"
    return (
        f"{verdict['word']}: {arm} against {verdict['against']}: "
        f"{100 * verdict['delta']:+.1f} points of error [{low:+.1f}, {high:+.1f}], "
        f"McNemar p = {verdict['p_mcnemar']:.3g} ({verdict['discordant'][0]} test images only the "
        f"former gets wrong, {verdict['discordant'][1]} only the latter){size}"
    )


def picture(report):
    """Render the confusion matrices of all arms, uint8 [H, W, 1].

    Rows are true classes, columns predicted ones, in % of the row.
    """
    sheets = [_matrix(name, arm, report["classes"]) for name, arm in report["arms"].items()]
    columns = min(3, len(sheets))
    blank = [np.full_like(sheets[0], 255)] * (-len(sheets) % columns)
    rows = [
        np.concatenate((sheets + blank)[i : i + columns], axis=1)
        for i in range(0, len(sheets), columns)
    ]
    return np.concatenate(rows, axis=0)[..., None]


def _matrix(name, arm, classes):
    """Render one arm's confusion matrix, uint8 [H, W]."""
    counts = np.asarray(arm["confusion"], float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = CELL * len(classes)
    sheet = Image.new("L", (LEFT + size + 20, TOP + size + 20), 255)
    draw = ImageDraw.Draw(sheet)
    small, large = ImageFont.load_default(11), ImageFont.load_default(14)
    draw.text((LEFT, 8), f"{name}: error {_percent(arm['error'])} %", 0, large)
    for k, label in enumerate(classes):
        draw.text((6, TOP + k * CELL + 16), label[:16], 0, small)
        draw.text((LEFT + k * CELL + 2, TOP - 18 + 9 * (k % 2)), label[:8], 0, small)
        for j in range(len(classes)):
            corner = LEFT + j * CELL, TOP + k * CELL
            shade = int(255 - 200 * shares[k, j])
            draw.rectangle((*corner, corner[0] + CELL - 2, corner[1] + CELL - 2), fill=shade)
            ink = 0 if shade > 120 else 255
            text = f"{100 * shares[k, j]:.0f}" if counts[k].sum() else "-"
            draw.text((corner[0] + 14, corner[1] + 15), text, ink, large)
    return np.asarray(sheet)


def _percent(scores):
    return f"{100 * scores['mean']:.1f}"


def _interval(ci95):
    if ci95 is None:
        return "-"
    low, high = (100 * value for value in ci95)
    return f"[{max(low, 0):.1f}, {high:.1f}]"
