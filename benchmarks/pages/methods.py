"""The tables of all methods on equal terms, and the papers' orderings seen in them."""

from typing import NamedTuple

from scipy import stats

from benchmarks.pages.markdown import read, spread, table
from benchmarks.papers import BASELINE, CLAIMS, PAPERS, THESIS, figure_of
from benchmarks.rows import ROWS

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


def paper(name):
    """Set a paper's table beside the same figure of every data set here."""
    told, cells = PAPERS[name], read("methods_time")["cells"]
    factor, digits = scale_of(told.figure)
    rows = []
    for row, value in told.values.items():
        figure = figure_of(told.figure, row)
        ours = [values_of(cells[data], row, figure) for data in cells]
        mark = " (one class)" if figure != told.figure else ""
        texts = [spread(own, digits, factor) + mark if own else "-" for own in ours]
        rows.append((NAMES[row], value, *texts))
    return table(("method", f"{told.source}: paper's", *cells), rows)


def thesis(data):
    """Set the thesis's tables 4.3 and 4.9, by class, beside its model's figures on a data set."""
    cells = read("methods_time")["cells"][data]
    own = [cell for cell in cells.get("dtgan", {}).values() if "failed" not in cell]
    rows = []
    for name, (fid, kid, without, added) in THESIS.items():
        scores = [cell["by_class"].get(name, {}) for cell in own]
        found = [
            _list([score.get("fid") for score in scores]),
            _list([score.get("kid_x1e3") for score in scores]),
            _list([cells["baseline_by_class"].get(name)], 1, 100),
            _list([cell["error_added_by_class"].get(name) for cell in own], 1, 100),
        ]
        rows.append((name, fid, kid, *found[:2], without, added, *found[2:]))
    heads = "FID, table 4.3", "KID", "FID here", "KID x1e3 here"
    errors = "error %, table 4.9: without", "with", "here without", "here with"
    return table(("class", *heads, *errors), rows)


def _list(values, digits=0, factor=1):
    there = [value for value in values if value is not None]
    return spread(there, digits, factor) if there else "-"


def scale_of(figure):
    """Tell how to print a figure: (factor, digits)."""
    if figure.startswith("error"):
        return 100, 1
    return 1, 2 if figure == "clustered_lpips" else 0


def judge(claim, cells):
    """Tell whether a claim holds: (word, text), by Welch's 95 % interval over the rows' seeds.

    The difference is that by which `better` is better. Errors are told in %.
    """
    better, worse = (values_of(cells, name, claim.figure) for name in (claim.better, claim.worse))
    if min(len(better), len(worse)) < 2:
        return OPEN, f"{len(better)} and {len(worse)} seeds"
    sign, factor = -1 if claim.more else 1, scale_of(claim.figure)[0]
    first, second = ([sign * factor * value for value in row] for row in (worse, better))
    gain = sum(first) / len(first) - sum(second) / len(second)
    if len({*first}) == len({*second}) == 1:  # without spread there is no interval
        return OPEN, f"{gain:+.3g}, no spread"
    low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    word = HOLDS if low > 0 else REVERSED if high < 0 else OPEN
    return word, f"{gain:+.3g} [{low:+.3g}, {high:+.3g}], {len(better)} and {len(worse)} seeds"


def values_of(cells, name, figure):
    """Read a figure of a row from a data set's cells, a seed each, of seeds that have it."""
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
    return _list([cell[name] for cell in cells], digits, factor)
