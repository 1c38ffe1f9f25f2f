"""What to do next: rules over what a run, its evaluation, its set and its verdict say.

A rule looks at numbers and yields an Advice where they call for one; the most urgent comes first.
"""

import shlex
from typing import NamedTuple

from dtgan.classification import verdict as verdict_lib
from dtgan.classification.settings import BASELINE
from dtgan.generation import tally
from dtgan.pages import scores
from dtgan.pages.read import at

FALLING = 0.02  # share of the validation score that the last quarter of a run gained: not yet done
FEW = 20  # real test images of a class, below which its numbers are a hint
LOW_IOU = 0.5  # of drawn and true masks
OFF = 5.0  # grey levels that a hybrid changes outside its defect
WAITING = 0.2  # share of the time that training waits for data
FAR = 3.0  # times the FID of real images
KNOWN = 0.5  # share of real images, above which a classifier is believed on a class
ALARMS = 2.0  # times the nominal rate of copies
GUESSING = 0.9  # times the error of guessing, above which a classifier has learnt nothing


class Advice(NamedTuple):
    """What to do, why, with the numbers, and the command that does it ("" where there is none)."""

    what: str
    why: str
    command: str = ""


def advise(run=None, made=None, told=None, described=None):
    """List the Advice, of the run first, the most urgent of its own kind first.

    run: read.Run; made: read.Set; told: read.Verdict, described: of `verdict.describe`; each None
    where there is none.
    """
    rules = []
    if run:
        report = run.report
        rules += [_finish(run), _longer(run), _evaluate(run, report), _quality(report)]
        rules += [_masks(run, report), _classes(run, report), _copies(run, report), _tests(report)]
        rules.append(_speed(run))
    if made:
        rules.append(_set(made))
    if told:
        rules.append(_verdict(told, described))
    elif run:
        rules.append(_ask(run, made))
    return [advice for rule in rules for advice in rule]


def _verb(run, name, more=""):
    where = shlex.quote(str(run.path))
    return f"python -m dtgan.{name} --workdir={where}{more}"


def _finish(run):
    if not run.ended:
        yield Advice(
            "Let the training end",
            f"The last step known is {run.step} of train.duration={_duration(run)}: all that "
            "follows is of an unfinished model. The same command resumes it.",
        )


def _duration(run):
    return at(run.config, "train", "duration") or "?"


def _longer(run):
    """More steps, where the validation score still falls at the end of a finished run."""
    known = [(row["step"], row["val/score"]) for row in run.metrics if "val/score" in row]
    if not run.ended or len(known) < 4:
        return
    early = [score for step, score in known if step <= 0.75 * known[-1][0]]
    if not early or min(early) <= 0:
        return
    gain = 1 - min(score for _, score in known) / min(early)
    if gain > FALLING:
        yield Advice(
            "Train longer",
            f"The validation score still fell by {100 * gain:.0f} % in the last quarter of "
            f"{known[-1][0]} steps. Run the training command again with twice the duration; it "
            "goes on where it ended.",
            f"--config.train.duration={2 * known[-1][0]}steps",
        )


def _masks(run, report):
    findings = at(run.data, "findings") or []
    if findings:
        yield Advice(
            "Check the data",
            "The account of the data has something to say: " + "; ".join(findings[:3]) + ".",
        )
    value, threshold = at(report, "transfer", "mask_iou"), at(report, "transfer", "mask_threshold")
    if value is not None and threshold is not None and value < LOW_IOU:
        worst = min(
            (part for part in scores.by_class(report) if part["iou"] is not None),
            key=lambda part: part["iou"],
            default=None,
        )
        named = f", least for {worst['name']} ({worst['iou']:.2f})" if worst else ""
        yield Advice(
            "Check the masks before you use them as labels",
            f"Drawn and true masks share {100 * value:.0f} % of their pixels{named}. Train longer, "
            "add masks to some training images, or use the set for classification only.",
        )


def _evaluate(run, report):
    if not report and (run.step or run.ended):
        yield Advice(
            "Score the model",
            "It has not been evaluated: how good its pictures are is not known.",
            _verb(run, "evaluate"),
        )
    elif report and max(run.reports) < run.step:
        yield Advice(
            "Score the newest checkpoint",
            f"The evaluation is of step {max(run.reports)}, the run is at {run.step}.",
            _verb(run, "evaluate"),
        )


def _quality(report):
    ci95, value = at(report, "transfer", "skill_ci95"), at(report, "transfer", "skill")
    if value is not None and ci95 and ci95[0] <= 0:
        yield Advice(
            "Train longer, or choose the layered model",
            f"The transfer skill is {value:.2f} [{ci95[0]:.2f}, {ci95[1]:.2f}]: hybrids are not "
            "surely better than a surface without a defect.",
        )
    value = at(report, "transfer", "background_mae")
    if value is not None and value > OFF:
        yield Advice(
            "Do not take these surfaces for real ones",
            f"Outside the defect pixels change by {value:.0f} grey levels. The layered model "
            "(configs/layered.py) keeps them.",
        )
    value, floor = at(report, "overall", "fid_matched"), at(report, "floor", "overall", "fid")
    if value is not None and floor and value > FAR * floor and not (ci95 and ci95[0] <= 0):
        yield Advice(
            "Look at the worst hybrids",
            f"Their FID is {value:.0f}, that of real images {floor:.0f}: some of them do not look "
            "real. Train longer, or leave classes out.",
        )


def _classes(run, report):
    """Leave classes out that the classifier does not know again."""
    parts = [part for part in scores.by_class(report) if part["recognised"] is not None]
    parts = [part for part in parts if (part["floor"] or 0) >= KNOWN]
    weak = [p for p in parts if p["recognised"] < tally.RECOGNISED * p["floor"]]
    if not weak:
        return
    names = [part["name"] for part in weak]
    why = "; ".join(
        f"{part['name']} {100 * part['recognised']:.0f} % (real ones {100 * part['floor']:.0f} %)"
        for part in weak
    )
    classes = [part["name"] for part in scores.by_class(report)]
    kept = ",".join(name for name in classes if name not in names)
    yield Advice(
        f"Train longer, or leave {', '.join(names)} out of sets",
        f"Few of their synthetic images are recognised as what they should be: {why}.",
        _verb(run, "generate", f" --out=SET --num_per_class=100 --classes={shlex.quote(kept)}")
        if kept
        else "",
    )


def _copies(run, report):
    part = at(report, "copies") or {}
    ci95, alpha = at(part, "rate_ci95"), at(part, "alpha")
    held = at(part, "held_out_rate") or 0.0
    if ci95 and alpha and ci95[0] > max(ALARMS * alpha, held):
        own = at(part, "flagged_own_source")
        told = (
            "Most repeat the ground of their own defect image: the model carries surface along."
            if own is not None and own > 0.5
            else "Look at them beside their originals."
        )
        yield Advice(
            "Filter copies when you generate",
            f"{100 * part['rate']:.1f} % are flagged as copies, {100 * alpha:.1f} % were to be "
            f"expected by chance. {told}",
            _verb(run, "generate", " --out=SET --num_per_class=100 --copy_filter"),
        )


def _tests(report):
    few = [p for p in scores.by_class(report) if p["num_real"] is not None and p["num_real"] < FEW]
    if few:
        named = ", ".join(f"{part['name']} ({part['num_real']})" for part in few)
        yield Advice(
            "Keep more real images for the test",
            f"Fewer than {FEW} real test images: {named}. Numbers of these classes are a hint, "
            "compare them with their floor only.",
        )


def _set(made):
    if not made.complete:
        yield Advice("Let the set be finished", "It has no _SUCCESS; run its command again.")
    table = tally.counts(made.records)
    faint = [n for n, part in table.items() if part["refused"]["invisible"] > part["drawn"]]
    if faint:
        why = "; ".join(
            f"of {name} {table[name]['refused']['invisible']} were drawn anew for "
            f"{table[name]['drawn']} that show"
            for name in faint
        )
        yield Advice(
            "Draw on surfaces that are like the defects' own, or stronger",
            f"Many pictures showed nothing: {why}.",
            "--surfaces=like, or --strength=1.3",
        )


def _ask(run, made):
    if run.ended and run.report:
        here = shlex.quote(str(made.path)) if made else "SET"
        draw = _verb(run, "generate", f" --out={here} --num_per_class=100")
        yield Advice(
            "Ask whether it helps",
            "Train classifiers with and without a set: only that tells whether synthetic images "
            "are of use.",
            ("" if made else f"{draw}\n")
            + f"python -m dtgan.classify --real=DIR --synthetic={here} --out=VERDICT",
        )


def _verdict(told, described):
    found = told.content["verdict"]
    harmful = [row["name"] for row in described["classes"] if row["kind"] == "bad"]
    if harmful:
        yield Advice(
            f"Leave synthetic images of {', '.join(harmful)} out",
            "With them the classifier errs more on these classes than without. Validation images "
            "can choose the classes.",
            f"python -m dtgan.classify ... --choose --out={shlex.quote(str(told.path))}",
        )
    elif found and found["word"] == verdict_lib.HARMS:
        yield Advice(
            "Do not train on this set as it is",
            "With it the classifier errs more. Let validation images choose classes and shares.",
            f"python -m dtgan.classify ... --choose --out={shlex.quote(str(told.path))}",
        )
    if not found:
        return
    error = told.content["arms"][BASELINE]["balanced_error"]["mean"]
    chance = 1 - 1 / len(told.content["classes"])
    if error > GUESSING * chance:
        yield Advice(
            "Train the classifiers longer",
            f"Without synthetic images they err on {100 * error:.0f} % of a class on average, by "
            f"guessing they would on {100 * chance:.0f} %: the verdict says nothing yet.",
            "--config.train.steps",
        )
        return
    needed = found["needed_test_images"]
    if verdict_lib.enough_images(found, told.content["num_test"]):
        yield Advice(
            "Train more seeds",
            f"{told.content['num_test']} test images are enough for a difference of "
            f"{100 * found['delta']:+.1f} points, but {told.content['seeds']} seeds differ too "
            "much. Finished seeds are kept.",
            f"python -m dtgan.classify ... --seeds={2 * told.content['seeds']}",
        )
    elif found["word"] == verdict_lib.UNKNOWN and needed:
        yield Advice(
            "Test on more images",
            f"{told.content['num_test']} test images cannot tell a difference of "
            f"{100 * found['delta']:+.1f} points from chance; about {needed:,} would. With folds "
            "every real image is a test image once.",
            "launch/verdict.sh RUNS 3 --config=...",
        )
    elif found["word"] == verdict_lib.HELPS:
        yield Advice(
            "Use the set",
            f"With it the classifier errs on {100 * abs(found['delta']):.1f} of 100 images less.",
        )


def _speed(run):
    waited = sorted(r["rate/waiting_for_data"] for r in run.metrics if "rate/waiting_for_data" in r)
    if waited and waited[len(waited) // 2] > WAITING:
        yield Advice(
            "Read data faster",
            f"Training waits for data {100 * waited[len(waited) // 2]:.0f} % of the time.",
            "--config.data.workers=8, or --config.data.resident=True for a small set",
        )
