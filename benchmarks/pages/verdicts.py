"""Tables of verdicts: does a set help a classifier?"""

from benchmarks import few_shot as few_shot_bench
from benchmarks.pages.markdown import read, table, within
from dtgan.classification.verdict import enough_images
from dtgan.generation.tally import listed


def verdict(name):
    """List the errors of a verdict's arms, and its word."""
    told = _verdict(name)
    rows = [
        (
            arm,
            within(scores["error"], 1, 100),
            f"{100 * scores['balanced_error']['mean']:.1f}",
            f"{scores['macro_f1']['mean']:.3f}",
            f"{100 * scores['val_balanced_error']['mean']:.1f}",
        )
        for arm, scores in told["arms"].items()
    ]
    head = ("arm", "error, % [95 % over seeds]", "balanced error, %", "macro F1")
    lines = table([*head, "balanced error on validation images, %"], rows)
    return [*lines, "", *_word(told["verdict"], told["num_test"])]


def _verdict(name):
    """Read a verdict.json, which may stand in a file beside other facts."""
    told = read(name)
    return told if "arms" in told else told["verdict"]


def _word(word, num_test):
    """Tell a verdict in a sentence of two lines."""
    low, high = (100 * end for end in word["ci95"])
    seeds = ", with more seeds" if enough_images(word, num_test) else ""
    return [
        f"**{word['word']}**: {word['arm']} against {word['against']} "
        f"{100 * word['delta']:+.1f} points of error [{low:+.1f}, {high:+.1f}],",
        f"McNemar p = {word['p_mcnemar']:.2g}, {num_test} test images; a difference of this size "
        f"would show in {word['needed_test_images']:,}{seeds}.",
    ]


def by_class(name):
    """List the error of each class of a verdict's arms."""
    arms = _verdict(name)["arms"]
    labels = list(next(iter(arms.values()))["per_class_error"])
    rows = [
        (arm, *(f"{100 * scores['per_class_error'][label]['mean']:.1f}" for label in labels))
        for arm, scores in arms.items()
    ]
    return table(["error by class, %", *labels], rows)


def refused(name):
    """List what the sets of the folds refused, by class."""
    folds = read(name)["folds"]
    rows = [(k, *map(listed, fold["refused"].values())) for k, fold in enumerate(folds)]
    return table(["fold", *folds[0]["refused"]], rows)


DOZEN, FEW = "12", "computer-drawn steel, a dozen of each defect"
VERDICTS = {  # result file -> data
    "pipeline": "computer-drawn steel",
    "neu_folds": "`neu_steel`, hot-rolled strip, in three folds",
    "magnetic_tile_folds": "`magnetic_tile`, in three folds",
}
FIRST = {  # the same again, from models trained before
    "neu_folds": "neu_folds_first",
    "magnetic_tile_folds": "magnetic_tile_folds_first",
}


def verdicts():
    """List the answers to "does it help?", the last one for true defects as if synthetic."""
    rows = []
    for name, data in VERDICTS.items():
        told = _verdict(name)
        word, number = told["verdict"], told["num_train"]
        errors = (told["arms"][word[arm]]["error"] for arm in ("against", "arm"))
        number = max(number) if isinstance(number, list) else number
        rows.append((data, number, *(within(e, 1, 100) for e in errors), _answer(name)))
    row = read("few_shot")["rows"][DOZEN]
    errors = (within(row["errors"][key]["error"], 1, 100) for key in ("real", "synthetic"))
    rows.append((FEW, f"{DOZEN} a class", *errors, row["verdict"]["word"]))
    case = read("planted")["extra"]
    errors = (within(case["errors"][case[arm]], 1, 100) for arm in ("against", "arm"))
    rows.append(("**true** defects, 60 a class", "12 a class", *errors, case["word"]))
    head = ("what is added to", "real training pictures", "error without, %", "with, %", "answer")
    return table(list(head), rows)


def _answer(name):
    """Tell a verdict's word, and that of the first models where it was another."""
    words = [_verdict(file)["verdict"]["word"] for file in (name, FIRST.get(name, name))]
    return words[0] if words[0] == words[1] else "{}; with the first models {}".format(*words)


PLANTED = {
    "extra": "60 more true defects a class",
    "shuffled": "the same, their classes in disorder",
    "duplicates": "the training defects again",
}


def planted():
    """List the verdicts whose answers are known."""
    told = read("planted")
    rows = []
    for key, name in PLANTED.items():
        case = told[key]
        errors = [within(case["errors"][case[arm]], 1, 100) for arm in ("against", "arm")]
        rows.append((name, *errors, case["expected"], case["word"]))
    rows.append((f"{told['null']['simulations']} comparisons of equals", "", "", "", _words(told)))
    return table(["what is added", "error without, %", "error with, %", "truth", "answer"], rows)


def few_shot(file="few_shot"):
    """List errors and recovery by the number of real defects a class."""
    rows = []
    for number, row in read(file)["rows"].items():
        errors = [within(row["errors"][key]["error"], 1, 100) for key in few_shot_bench.CURVES]
        share, verdict = row["recovery"], row["verdict"]
        low, high = share["ci95"]
        told = f"{share['value']:.2f} [{low:.2f}, {high:.2f}]"
        rows.append((number, *errors, told, verdict["word"]))
    head = ("defects a class", *few_shot_bench.CURVES.values(), "recovery", "synthetic ones")
    return table(head, rows)


def few_shot_classes(file="few_shot"):
    """List the error of each class by the number of real defects a class, without and with."""
    told = read(file)["rows"]
    labels = list(next(iter(told.values()))["errors"]["real"]["per_class_error"])
    rows = [
        (
            number,
            few_shot_bench.CURVES[key],
            *(f"{100 * row['errors'][key]['per_class_error'][k]['mean']:.1f}" for k in labels),
        )
        for number, row in told.items()
        for key in few_shot_bench.CURVES
    ]
    return table(("defects a class", "error by class, %", *labels), rows)


def choosing():
    """List what a search leaves out, and the words where nothing helps."""
    told = read("choosing")
    null, sets, others = told["null"], told["sets"], told["others_left_out"]
    rows = [
        (f"{sets} sets, in which one class shows the others", f"left out in {told['left_out']}"),
        (
            f"their {sets * (len(told['planted'][0]['effects']) - 1)} harmless classes",
            f"{others} left out",
        ),
        (f"{null['simulations']} comparisons of equals, with folds and a search", _words(told)),
    ]
    return table(["what is asked", "answer"], rows)


def _words(told):
    return ", ".join(
        f"{told['null'].get(word, 0)} {word}" for word in ("HELPS", "HARMS", "CANNOT TELL")
    )
