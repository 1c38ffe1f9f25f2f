"""The scores of an evaluation in words: value, interval, what to compare it with, one sentence."""

from typing import NamedTuple

from dtgan.metrics.intervals import wilson
from dtgan.pages.read import at
from dtgan.reporting.tables import number


class Score(NamedTuple):
    """A row of the table of scores; all are texts, "-" where there is no number.

    best: what a perfect model gets, or the floor: what real images get in the same numbers.
    """

    name: str
    value: str
    interval: str
    best: str
    meaning: str


class Line(NamedTuple):
    """A score that runs are compared by.

    where: its place in a report; digits; up: whether more is better.
    """

    title: str
    where: tuple
    digits: int
    up: bool

    def of(self, report):
        """Read (value, [low, high]) from a report, None for what it lacks."""
        *parts, name = self.where
        part = at(report, *parts)
        if name == "recognised":
            return rate_of(part)
        return at(part, name), at(part, f"{name.removesuffix('_x1e3')}_ci95")


LINES = (
    Line("transfer skill", ("transfer", "skill"), 3, True),
    Line("removal skill", ("transfer", "removal_skill"), 3, True),
    Line("mask IoU", ("transfer", "mask_iou"), 3, True),
    Line("change elsewhere", ("transfer", "background_mae"), 2, False),
    Line("FID", ("overall", "fid"), 1, False),
    Line("KID x1e3", ("overall", "kid_x1e3"), 0, False),
    Line("precision", ("overall", "precision"), 2, True),
    Line("recall", ("overall", "recall"), 2, True),
    Line("recognised", ("overall", "recognised"), 2, True),
    Line("flagged as copies", ("copies", "rate"), 3, False),
)


def table(report):
    """Describe the scores of a report of evaluate as a list of Score."""
    parts = (_transfer, _translation, _twins, _distribution, _recognised, _copies, _codes)
    return [score for part in parts for score in part(report)]


def _row(name, value, ci95, best, meaning, digits=2, unit=""):
    """Make a Score; best: a number, an interval or a text."""
    return Score(
        name,
        number(value, digits) + unit,
        number(ci95, digits),
        best if isinstance(best, str) else number(best, digits),
        meaning,
    )


def _transfer(report):
    part = at(report, "transfer") or {}
    value = at(part, "skill")
    if value is not None:
        paste = at(part, "paste_skill")
        than = f" Pasting the true cut-out reaches {paste:.2f}." if paste is not None else ""
        yield _row("Transfer skill", value, at(part, "skill_ci95"), "1", _gain(value) + than)
    value = at(part, "removal_skill")
    if value is not None:
        told = f"Of what a defect changes, its removal takes back {100 * max(value, 0):.0f} %."
        yield _row("Removal skill", value, at(part, "removal_skill_ci95"), "1", told)
    value = at(part, "mask_iou")
    if value is not None:
        told = f"The drawn mask and the true one share {100 * value:.0f} % of the pixels of either."
        yield _row("Mask IoU", value, at(part, "mask_iou_ci95"), "1", told)
    value = at(part, "background_mae")
    if value is not None:
        told = (
            "Outside the defect the surface stays as it is."
            if value < 1
            else f"Outside the defect pixels change by {value:.1f} of 255 grey levels on average."
        )
        ci95 = at(part, "background_mae_ci95")
        yield _row("Change elsewhere", value, ci95, "0", told, unit=" grey levels")
    value = at(part, "texture_correlation")
    if value is not None:
        told = "The grain of the new surface arrives pixel by pixel."
        if value < 0.9:
            told = "The grain of the new surface does not arrive as it is; it is painted anew."
        ci95 = at(part, "texture_correlation_ci95")
        yield _row("Texture correlation", value, ci95, "1", told)


def _gain(skill):
    if skill <= 0:
        return (
            "Inside the defect hybrids are no nearer to the truth than the surface without any "
            "defect: nothing useful arrives yet."
        )
    return f"Inside the defect hybrids are {100 * skill:.0f} % nearer to the truth than no defect."


def _translation(report):
    part = at(report, "translation") or {}
    value = at(part, "change_mae")
    if value is not None:
        told = f"Painting a defect changes a pixel by {value:.1f} of 255 grey levels on average."
        yield _row("Change", value, at(part, "change_mae_ci95"), "-", told, unit=" grey levels")
    value = at(part, "background_mae")
    if value is not None:
        told = f"Outside its own mask it changes pixels by {value:.1f} grey levels."
        ci95 = at(part, "background_mae_ci95")
        yield _row("Change elsewhere", value, ci95, "0", told, unit=" grey levels")
    value = at(part, "removal_skill")
    if value is not None:
        told = f"Of what a defect changes, its removal takes back {100 * max(value, 0):.0f} %."
        yield _row("Removal skill", value, at(part, "removal_skill_ci95"), "1", told)


def _twins(report):
    part = at(report, "twins") or {}
    value = at(part, "mask_iou")
    if value is not None:
        told = f"Mask and what differs from the twin share {100 * value:.0f} % of their pixels."
        yield _row("Mask IoU, of the twin", value, at(part, "mask_iou_ci95"), "1", told)
    value = at(part, "outside_mae")
    if value is not None:
        told = f"Outside its mask a picture differs from its twin by {value:.1f} grey levels."
        ci95 = at(part, "outside_mae_ci95")
        yield _row("Change elsewhere", value, ci95, "0", told, unit=" grey levels")


def _distribution(report):
    own, floor = at(report, "overall") or {}, at(report, "floor", "overall") or {}
    value, least = at(own, "fid_matched"), at(floor, "fid")
    if value is not None:
        told = "The distance of synthetic pictures to real ones in features; less is better."
        if least:
            told = (
                f"Synthetic pictures are {value / least:.1f} times as far from real ones as other "
                "real ones are."
                if value > least
                else "Synthetic pictures are as near to real ones as other real ones are."
            )
        n = at(floor, "num_fake")
        yield _row(f"FID of {n} pictures", value, None, _floor(floor, "fid", 1), told, 1)
    value = at(own, "fid")
    if value is not None:
        told = "The same distance for all synthetic pictures; more of them make it smaller."
        n, ci95 = at(own, "num_fake"), at(own, "fid_ci95")
        yield _row(f"FID of {n} pictures", value, ci95, "-", told, 1)
    value = at(own, "kid_x1e3")
    if value is not None:
        told = "A distance whose size does not depend on the number of pictures; less is better."
        ci95 = at(own, "kid_ci95")
        yield _row("KID x1e3", value, ci95, _floor(floor, "kid_x1e3", 0, "kid"), told, 0)
    for name, told in (
        ("precision", "of synthetic pictures look like a real one: how believable they are."),
        ("recall", "of real pictures look like a synthetic one: how much of the variety is there."),
    ):
        value = at(own, f"{name}_matched")
        if value is not None:
            told = f"{100 * value:.0f} % {told}"
            best = _floor(floor, name, 2)
            yield _row(name.capitalize(), value, at(own, f"{name}_ci95"), best, told)
    value, least = at(own, "clustered_lpips_matched"), at(floor, "clustered_lpips")
    if value is not None:
        told = "How different synthetic pictures are that belong to one real one; 0 is one and all."
        yield _row("Clustered LPIPS", value, None, least, told)


def _floor(floor, name, digits, short=None):
    """Format the floor of a score with its interval."""
    value, ci95 = at(floor, name), at(floor, f"{short or name}_ci95")
    return number(value, digits) + (f" {number(ci95, digits)}" if ci95 else "")


def _recognised(report):
    rate, low_high = rate_of(at(report, "overall"))
    if rate is None:
        return
    best, best_ci95 = rate_of(at(report, "floor", "overall"))
    told = f"A classifier of real pictures calls {100 * rate:.0f} % of the synthetic ones right"
    told += f", of real ones {100 * best:.0f} %." if best is not None else "."
    floor = "-" if best is None else f"{best:.2f} {number(best_ci95, 2)}"
    yield _row("Recognised", rate, low_high, floor, told)


def rate_of(part):
    """Compute (share recognised, Wilson's interval) of a part of a report; Nones without it."""
    rate, count = at(part, "recognised"), at(part, "num_fake")
    if rate is None or not count:
        return None, None
    return rate, list(wilson(rate * count, count))


def _copies(report):
    part = at(report, "copies") or {}
    rate = at(part, "rate")
    if rate is None:
        return
    held, alpha = at(part, "held_out_rate"), at(part, "alpha") or 0.0
    told = f"{100 * rate:.1f} % of synthetic pictures copy a training picture or repeat its ground"
    told += f"; of real ones {100 * held:.1f} % raise the same alarm." if held is not None else "."
    yield _row("Flagged as copies", rate, at(part, "rate_ci95"), f"{alpha:.3f}", told, 3)


def _codes(report):
    probes = at(report, "probes") or {}
    for name, what in (
        ("class_from_texture", "the class of the defect can be read from the code of the surface"),
        ("family_from_structure", "the surface can be read from the code of the defect"),
    ):
        value, chance = at(probes, name, "accuracy"), at(probes, name, "chance")
        if value is not None and chance is not None:
            leak = "more often than by chance: it leaks." if value > 1.2 * chance else "by chance."
            title = name.replace("_", " ").capitalize()
            told = f"In {100 * value:.0f} % {what}, {leak}"
            yield _row(title, value, at(probes, name, "accuracy_ci95"), chance, told)
    value, chance = at(probes, "anchor", "collapse"), at(probes, "anchor", "chance")
    if value is not None and chance is not None:
        told = f"{100 * value:.0f} % of redrawn surfaces look more like another than their own."
        ci95 = at(probes, "anchor", "collapse_ci95")
        yield _row("Anchor collapse", value, ci95, "0", told)


def by_class(report):
    """List what a report says of every class: dicts of numbers, None for what it lacks.

    "floor" and "..._floor" are of real images in the place of synthetic ones.
    """
    found = []
    for name, part in (at(report, "per_class") or {}).items():
        floor = at(report, "floor", "per_class", name) or {}
        moved = at(report, "transfer", "per_class", name) or {}
        rate, low_high = rate_of(part)
        found.append(
            {
                "name": name,
                "num_real": at(part, "num_real"),
                "recognised": rate,
                "recognised_ci95": low_high,
                "floor": at(floor, "recognised"),
                "fid": at(part, "fid_matched"),
                "fid_floor": at(floor, "fid"),
                "precision": at(part, "precision_matched"),
                "precision_floor": at(floor, "precision"),
                "recall": at(part, "recall_matched"),
                "recall_floor": at(floor, "recall"),
                "skill": at(moved, "skill"),
                "skill_ci95": at(moved, "skill_ci95"),
                "iou": at(moved, "mask_iou"),
            }
        )
    return found
