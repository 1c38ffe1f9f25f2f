"""The tables of all methods on equal terms, and the papers' orderings seen in them."""

import itertools
from typing import NamedTuple

from scipy import stats

from benchmarks.pages.markdown import read, spread, table
from benchmarks.rows import ROWS

BASELINE = "baseline"
NAMES = {
    BASELINE: "real images alone",
    "layered": "layered (ours)",
    "layered_masks": "layered, with masks (ours)",
    "dtgan": "DT-GAN",
    "defect_gan": "Defect-GAN",
    "defect_gan_places": "Defect-GAN, with places (ours)",
    "stargan": "StarGAN",
    "stargan_spade": "StarGAN + SPADE (SCC)",
    "scc_ani": "SCC + ANI",
    "scc_lwc": "SCC + LWC",
    "scc_lwc_sc": "SCC + LWC + SC",
    "cyclegan": "CycleGAN",
    "sdgan": "SDGAN",
    "dfmgan": "DFMGAN",
    "dfmgan_mattes": "DFMGAN, masks drawn by layered",
    "stylegan2": "StyleGAN2",
    "diffaug": "StyleGAN2 + DiffAugment",
    "finetune": "Finetune",
    "cdc": "CDC",
    "stackgan": "StackGAN++, by a judge of its own",
    "stackgan_cond": "StackGAN++, labels",
    "paste": "Crop&Paste",
    "poisson": "Poisson blending",
}


class Column(NamedTuple):
    """A figure of a table, its floor in parentheses, and how it is told."""

    figure: str
    floor: str = ""
    digits: int = 0
    factor: int = 1


COLUMNS = {
    "FID (floor)": Column("fid", "fid_floor"),
    "KID x1e3 (floor)": Column("kid_x1e3", "kid_floor"),
    "clustered LPIPS (floor)": Column("clustered_lpips", "clustered_lpips_floor", 2),
    "recognised (real)": Column("recognised", "recognised_floor", 2),
    "skill": Column("skill", digits=2),
    "mask IoU": Column("mask_iou", digits=2),
    "changed outside the mask, grey levels": Column("outside_true", digits=1),
    "changed, grey levels": Column("changed", digits=1),
    "outside its own mask": Column("outside_own", digits=1),
    "mask IoU with its own change": Column("mask_iou_twins", digits=2),
    "copies, % (false alarms)": Column("copies", "copies_floor", 1, 100),
    "drawn, images/s": Column("drawn_per_s"),
    "peak MB": Column("peak_mb"),
    "error of a classifier on its images alone, %": Column("error_alone", digits=1, factor=100),
    "on these and real ones, %": Column("error_added", digits=1, factor=100),
}
SINGLE = {
    "real images": Column("single_num_real"),
    "FID": Column("single_fid"),
    "KID x1e3": Column("single_kid_x1e3"),
    "clustered LPIPS": Column("single_clustered_lpips", digits=2),
    "on these and real ones, %": Column("error_added", digits=1, factor=100),
}
HOLDS, REVERSED, OPEN = "holds", "the reverse holds", "cannot tell"


class Claim(NamedTuple):
    """What a paper's table says: `better` has the lower figure, the higher one where `more`.

    values: the paper's, of better and worse.
    """

    source: str
    better: str
    worse: str
    figure: str
    values: tuple
    more: bool = False


def _claims():
    """List what the papers' tables say."""
    fid = {  # Defect-GAN, table 1
        "defect_gan": 65.6,
        "cyclegan": 94.5,
        "stargan_spade": 103.0,
        "stackgan_cond": 132.1,
        "diffaug": 142.4,
        "stylegan2": 148.2,
        "stargan": 295.1,
    }
    for better, worse in itertools.pairwise(fid):
        figure = "single_fid" if _single(better, worse) else "fid"
        yield Claim("Defect-GAN, table 1", better, worse, figure, (fid[better], fid[worse]))
    parts = {  # table 2
        "stargan": 295.1,
        "stargan_spade": 103.0,
        "scc_ani": 99.7,
        "scc_lwc": 76.8,
        "scc_lwc_sc": 69.5,
        "defect_gan": 65.6,
    }
    steps = ["stargan stargan_spade", "stargan_spade scc_ani", "stargan_spade scc_lwc"]
    for step in [*steps, "scc_lwc scc_lwc_sc", "scc_lwc_sc defect_gan"]:
        worse, better = step.split()
        yield Claim("Defect-GAN, table 2", better, worse, "fid", (parts[better], parts[worse]))
    error = {  # table 3, ResNet-34: 100 % less its accuracy
        "defect_gan": 24.52,
        "stargan_spade": 28.10,
        BASELINE: 29.75,
        "stackgan_cond": 37.41,
    }
    for better, worse in (
        ("defect_gan", BASELINE),
        ("stargan_spade", BASELINE),
        (BASELINE, "stackgan_cond"),
    ):
        values = error[better], error[worse]
        yield Claim("Defect-GAN, table 3, error %", better, worse, "error_added", values)
    kid_lpips = {  # DFMGAN, table 1, means over its four defects
        "finetune": (30.68, 0.1381),
        "diffaug": (26.50, 0.0524),
        "cdc": (261.80, 0.0473),
        "paste": (None, 0.2058),
        "sdgan": (159.74, 0.1630),
        "defect_gan": (33.33, 0.1913),
    }
    for worse, (kid, lpips) in kid_lpips.items():
        prefix = "single_" if _single(worse) else ""
        if kid is not None:
            figure = f"{prefix}kid_x1e3"
            yield Claim("DFMGAN, table 1, KID", "dfmgan", worse, figure, (21.16, kid))
        figure = f"{prefix}clustered_lpips"
        values = 0.2428, lpips
        yield Claim("DFMGAN, table 1, clustered LPIPS", "dfmgan", worse, figure, values, more=True)
    wrong = {  # table 2: 100 % less its accuracy, means over three partitions
        "finetune": 28.48,
        "diffaug": 34.72,
        "paste": 40.97,
        "defect_gan": 38.89,
    }
    for worse, value in wrong.items():
        yield Claim("DFMGAN, table 2, error %", "dfmgan", worse, "error_alone", (18.06, value))
    yield Claim("thesis, error %", "dtgan", BASELINE, "error_added", (5.42, 9.03))


def _single(*names):
    return any(ROWS[name].single for name in names)


CLAIMS = tuple(_claims())


def equal_time(data):
    """List the scores of the methods on a data set, each trained for the same time."""
    return _methods(read("methods_time")["cells"][data], COLUMNS, single=False)


def equal_images(data):
    """List the scores of the methods on a data set, each shown as many images."""
    return _methods(read("methods_images")["cells"][data], COLUMNS, single=False)


def one_class(data):
    """List the scores on the one class that models of one class learn, after the same time."""
    return _methods(read("methods_time")["cells"][data], SINGLE, single=True)


def orderings(data):
    """List what the papers' tables say, and whether that is so here."""
    rows = []
    for claim in CLAIMS:
        found, told = judge(claim, read("methods_time")["cells"][data])
        sign = ">" if claim.more else "<"
        names = f"{NAMES[claim.better]} {sign} {NAMES[claim.worse]}"
        rows.append((claim.source, names, " ".join(map(str, claim.values)), told, found))
    return table(("table", "says", "paper's", "here better by", ""), rows)


def judge(claim, cells):
    """Tell whether a claim holds: (word, text), by Welch's 95 % interval over the rows' seeds.

    The difference is that by which `better` is better. Errors are told in %.
    """
    better, worse = (_values(cells, name, claim.figure) for name in (claim.better, claim.worse))
    if min(len(better), len(worse)) < 2:
        return OPEN, f"{len(better)} and {len(worse)} seeds"
    sign, factor = -1 if claim.more else 1, 100 if claim.figure.startswith("error") else 1
    first, second = ([sign * factor * value for value in row] for row in (worse, better))
    gain = sum(first) / len(first) - sum(second) / len(second)
    if len({*first}) == len({*second}) == 1:  # without spread there is no interval
        return OPEN, f"{gain:+.3g}, no spread"
    low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    word = HOLDS if low > 0 else REVERSED if high < 0 else OPEN
    return word, f"{gain:+.3g} [{low:+.3g}, {high:+.3g}], {len(better)} and {len(worse)} seeds"


def _values(cells, name, figure):
    """Read a figure of a row, a seed each, of seeds that have it."""
    if name == BASELINE:
        return cells[BASELINE]
    found = [(cell or {}).get(figure) for cell in cells.get(name, {}).values()]
    return [value for value in found if value is not None]


def _methods(cells, columns, single):
    """List the rows of a data set; those that learn one class only where `single`."""
    rows = []
    if cells[BASELINE]:
        blank = ["-"] * (1 + len(columns))
        error = spread(cells[BASELINE], 1, 100)
        rows.append((NAMES[BASELINE], len(cells[BASELINE]), *blank, error))
    for name in cells:
        if name in ROWS and (single or not ROWS[name].single):
            rows.append(_row(NAMES[name], [c for c in cells[name].values() if c], columns))
    return table(("method", "seeds", "steps", "s a step", *columns), rows)


def _row(label, cells, columns):
    """Format a row of the seeds that have a report, and tell why others have none."""
    done = [cell for cell in cells if "failed" not in cell]
    failed = [cell["failed"] for cell in cells if "failed" in cell]
    failed += [cell["unused"] for cell in done if cell["unused"]]
    told = f"{label}; {len(failed)} failed: {'; '.join(sorted(set(failed)))}" if failed else label
    steps = " to ".join(map(str, sorted({cell["step"] for cell in done}))) or "-"
    speed = _spread(done, "seconds_a_step", 3)
    return (told, len(done), steps, speed, *(_told(done, column) for column in columns.values()))


def _told(cells, column):
    text = _spread(cells, column.figure, column.digits, column.factor)
    if text == "-" or not column.floor:
        return text
    return f"{text} ({_spread(cells, column.floor, column.digits, column.factor)})"


def _spread(cells, name, digits, factor=1):
    values = [cell[name] for cell in cells if cell[name] is not None]
    return spread(values, digits, factor) if values else "-"
