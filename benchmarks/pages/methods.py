"""The tables of all methods on equal terms, and the papers' orderings seen in them."""

from typing import NamedTuple

from benchmarks.pages.markdown import read, spread, table
from dtgan.reporting.seeds import over_seeds

NAMES = {
    "layered": "layered (ours)",
    "dtgan": "DT-GAN",
    "defect_gan": "Defect-GAN",
    "defect_gan_places": "Defect-GAN, with places (ours)",
    "stargan": "StarGAN",
    "stargan_spade": "StarGAN + SPADE (SCC)",
    "scc_ani": "SCC + ANI",
    "scc_lwc": "SCC + LWC",
    "scc_lwc_sc": "SCC + LWC + SC",
    "cyclegan": "CycleGAN, one class",
    "sdgan": "SDGAN, one class",
    "dfmgan": "DFMGAN",
    "dfmgan_mattes": "DFMGAN, masks drawn by layered",
    "stylegan2": "StyleGAN2",
    "diffaug": "StyleGAN2 + DiffAugment",
    "finetune": "Finetune",
    "cdc": "CDC, one class",
    "stackgan": "StackGAN++, a judge of its own",
    "stackgan_cond": "StackGAN++, labels",
    "paste": "Crop&Paste",
    "poisson": "Poisson blending",
}
COLUMNS = {  # heading -> (figures of which the first is told, its floor, digits, factor)
    "FID (floor)": (("fid",), "fid_floor", 0, 1),
    "KID x1e3 (floor)": (("kid_x1e3",), "kid_floor", 0, 1),
    "clustered LPIPS (floor)": (("clustered_lpips",), "clustered_lpips_floor", 2, 1),
    "recognised (real)": (("recognised",), "recognised_floor", 2, 1),
    "changed outside, grey levels": (
        ("background", "background_translation", "background_twins"),
        None,
        1,
        1,
    ),
    "mask IoU": (("mask_iou", "mask_iou_twins"), None, 2, 1),
    "copies, % (false alarms)": (("copies",), "copies_floor", 1, 100),
    "images/s": (("images_per_s",), None, 0, 1),
    "peak MB": (("peak_mb",), None, 0, 1),
    "error of a classifier, alone, %": (("error_alone",), None, 1, 100),
    "beside real ones, %": (("error_added",), None, 1, 100),
}
HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot tell"


class Claim(NamedTuple):
    """What a paper's table says: `better` is so than `worse` by a figure; less, or more."""

    source: str
    better: str
    worse: str
    figure: str
    more: bool = False


T1, T2, T3 = "Defect-GAN, table 1", "Defect-GAN, table 2", "Defect-GAN, table 3"
D1, D2, BASELINE = "DFMGAN, table 1", "DFMGAN, table 2", "baseline"
CLAIMS = (
    Claim("thesis, tables 4.4 and 4.7", "dtgan", BASELINE, "error_added"),
    Claim(T1, "defect_gan", "cyclegan", "one_fid"),
    Claim(T1, "cyclegan", "stargan_spade", "one_fid"),
    Claim(T1, "stargan_spade", "stackgan_cond", "fid"),
    Claim(T1, "stackgan_cond", "diffaug", "fid"),
    Claim(T1, "diffaug", "stylegan2", "fid"),
    Claim(T1, "stylegan2", "stargan", "fid"),
    Claim(T2, "stargan_spade", "stargan", "fid"),
    Claim(T2, "scc_ani", "stargan_spade", "fid"),
    Claim(T2, "scc_lwc", "stargan_spade", "fid"),
    Claim(T2, "scc_lwc_sc", "scc_lwc", "fid"),
    Claim(T2, "defect_gan", "scc_lwc_sc", "fid"),
    Claim(T3, "defect_gan", BASELINE, "error_added"),
    Claim(T3, "stargan_spade", BASELINE, "error_added"),
    Claim(T3, BASELINE, "stackgan_cond", "error_added"),
    *(Claim(D1, "dfmgan", other, "kid_x1e3") for other in ("finetune", "diffaug", "defect_gan")),
    *(Claim(D1, "dfmgan", other, "one_kid_x1e3") for other in ("cdc", "sdgan")),
    *(
        Claim(D1, "dfmgan", other, "clustered_lpips", more=True)
        for other in ("finetune", "diffaug", "paste", "defect_gan")
    ),
    *(Claim(D1, "dfmgan", other, "one_clustered_lpips", more=True) for other in ("cdc", "sdgan")),
    *(
        Claim(D2, "dfmgan", other, "error_alone")
        for other in ("finetune", "diffaug", "paste", "defect_gan")
    ),
)


def equal_time(data):
    """List the scores of every method on a data set, each trained for the same time."""
    return _methods(read("methods_time")["cells"][data])


def equal_images(data):
    """List the scores of every method on a data set, each shown the same number of defects."""
    return _methods(read("methods_images")["cells"][data])


def orderings(data):
    """List what the papers' tables say, and whether that is so here."""
    rows = []
    for claim in CLAIMS:
        found, told = judge(claim, read("methods_time")["cells"][data])
        sign = ">" if claim.more else "<"
        names = [NAMES.get(name, "real images alone") for name in (claim.better, claim.worse)]
        rows.append((claim.source, f"{names[0]} {sign} {names[1]}", claim.figure, told, found))
    return table(("table", "says", "figure", "difference here", ""), rows)


def judge(claim, cells):
    """Tell whether a claim holds by the 95 % interval of the differences over seeds: (word, text).

    The difference is that by which `better` is better, of the same seeds.
    """
    better, worse = (_by_seed(cells, name, claim.figure) for name in (claim.better, claim.worse))
    sign = -1 if claim.more else 1
    seeds = sorted(better.keys() & worse.keys())
    gain = over_seeds([sign * (worse[seed] - better[seed]) for seed in seeds])
    if gain["ci95"] is None:
        told = "-" if gain["mean"] is None else f"{gain['mean']:+.3g}, one seed"
        return OPEN, told
    low, high = gain["ci95"]
    word = HOLDS if low > 0 else FAILS if high < 0 else OPEN
    return word, f"{gain['mean']:+.3g} [{low:+.3g}, {high:+.3g}]"


def _by_seed(cells, name, figure):
    """Read a figure of a row: {seed: number}, of seeds that have it."""
    if name == BASELINE:
        return {str(seed): error for seed, error in enumerate(cells[BASELINE])}
    found = {seed: (cell or {}).get(figure) for seed, cell in cells.get(name, {}).items()}
    return {seed: value for seed, value in found.items() if value is not None}


def _methods(cells):
    rows = []
    if cells[BASELINE]:
        blank = ["-"] * (2 + len(COLUMNS))
        rows.append(("real images alone", *blank, spread(cells[BASELINE], 1, 100)))
    for name, label in NAMES.items():
        done = [cell for cell in cells.get(name, {}).values() if cell]
        failed = sorted({cell["failed"] for cell in done if "failed" in cell})
        if failed:
            rows.append((label, f"failed: {'; '.join(failed)}", *["-"] * (2 + len(COLUMNS))))
        elif done:
            speed = _spread(done, "seconds_a_step", 3)
            told = [_told(done, *column) for column in COLUMNS.values()]
            rows.append((label, len(done), done[0]["step"] or "-", speed, *told))
    head = ("method", "seeds", "steps", "s a step", *COLUMNS)
    return table(head, rows)


def _told(cells, figures, floor, digits, factor):
    name = next((name for name in figures if any(c[name] is not None for c in cells)), None)
    if name is None:
        return "-"
    text = _spread(cells, name, digits, factor)
    return text if floor is None else f"{text} ({_spread(cells, floor, digits, factor)})"


def _spread(cells, name, digits, factor=1):
    values = [cell[name] for cell in cells if cell[name] is not None]
    return spread(values, digits, factor) if values else "-"
