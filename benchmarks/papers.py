"""What the tables of the papers say, on their data: facts to hold the grid of methods against."""

import itertools
from typing import NamedTuple

from benchmarks.rows import ROWS

BASELINE = "baseline"  # real images alone


class Paper(NamedTuple):
    """A table of a paper.

    source: which; figure: what it tells, by the name that cells of the grid have for it; values:
    {row: the paper's}, the best first; says: pairs of rows (better, worse) that it compares. The
    lower value is the better one, the higher where `more`.
    """

    source: str
    figure: str
    values: dict
    says: tuple
    more: bool = False


class Claim(NamedTuple):
    """One comparison of a Paper: `better` has the lower figure, the higher one where `more`.

    values: the paper's, of better and worse.
    """

    source: str
    better: str
    worse: str
    figure: str
    values: tuple
    more: bool = False


def _chain(*rows):
    return tuple(itertools.pairwise(rows))


def _first(best, *others):
    return tuple((best, other) for other in others)


DFMGAN_OTHERS = ("finetune", "diffaug", "cdc", "paste", "sdgan", "defect_gan")
PAPERS = {
    "defect_gan_1": Paper(
        "Defect-GAN, table 1, FID",
        "fid",
        {
            "defect_gan": 65.6,
            "cyclegan": 94.5,
            "stargan_spade": 103.0,
            "stackgan": 111.1,
            "stackgan_cond": 132.1,
            "diffaug": 142.4,
            "stylegan2": 148.2,
            "stargan": 295.1,
        },
        # Without StackGAN++, which here is scored by a judge of its own.
        _chain(
            *("defect_gan", "cyclegan", "stargan_spade", "stackgan_cond"),
            *("diffaug", "stylegan2", "stargan"),
        ),
    ),
    "defect_gan_2": Paper(
        "Defect-GAN, table 2, FID",
        "fid",
        {
            "defect_gan": 65.6,
            "scc_lwc_sc": 69.5,
            "scc_lwc": 76.8,
            "scc_ani": 99.7,
            "stargan_spade": 103.0,
            "stargan": 295.1,
        },
        (
            ("stargan_spade", "stargan"),
            ("scc_ani", "stargan_spade"),
            ("scc_lwc", "stargan_spade"),
            ("scc_lwc_sc", "scc_lwc"),
            ("defect_gan", "scc_lwc_sc"),
        ),
    ),
    "defect_gan_3": Paper(
        "Defect-GAN, table 3, error % of ResNet-34",  # 100 % less its accuracy
        "error_added",
        {"defect_gan": 24.52, "stargan_spade": 28.10, BASELINE: 29.75, "stackgan_cond": 37.41},
        (("defect_gan", BASELINE), ("stargan_spade", BASELINE), (BASELINE, "stackgan_cond")),
    ),
    # Means over the four defects of its hazelnuts.
    "dfmgan_1_kid": Paper(
        "DFMGAN, table 1, KID",
        "kid_x1e3",
        {
            "dfmgan": 21.16,
            "diffaug": 26.50,
            "finetune": 30.68,
            "defect_gan": 33.33,
            "sdgan": 159.74,
            "cdc": 261.80,
        },
        _first("dfmgan", *(name for name in DFMGAN_OTHERS if name != "paste")),
    ),
    "dfmgan_1_lpips": Paper(
        "DFMGAN, table 1, clustered LPIPS",
        "clustered_lpips",
        {
            "dfmgan": 0.2428,
            "paste": 0.2058,
            "defect_gan": 0.1913,
            "sdgan": 0.1630,
            "finetune": 0.1381,
            "diffaug": 0.0524,
            "cdc": 0.0473,
        },
        _first("dfmgan", *DFMGAN_OTHERS),
        more=True,
    ),
    # 100 % less its accuracy, means over its three partitions; CDC and SDGAN learn one class here.
    "dfmgan_2": Paper(
        "DFMGAN, table 2, error %",
        "error_alone",
        {"dfmgan": 18.06, "finetune": 28.48, "diffaug": 34.72, "defect_gan": 38.89, "paste": 40.97},
        _first("dfmgan", "finetune", "diffaug", "paste", "defect_gan"),
    ),
    "thesis": Paper(
        "thesis, error %", "error_added", {"dtgan": 5.42, BASELINE: 9.03}, (("dtgan", BASELINE),)
    ),
}
THESIS = {  # tables 4.3 and 4.9: FID, KID, error % without and with synthetic images
    "scratch": (2.45, 0.10, 0.0, 11.4),
    "shell": (4.93, 0.07, 77.8, 11.1),
    "mark": (0.72, 0.13, 6.2, 3.1),
    "scoring": (7.12, 0.11, 11.1, 0.0),
    "tear": (0.74, 0.06, 15.2, 9.1),
    "notching": (1.15, 0.19, 0.0, 0.0),
    "normal": ("-", "-", 0.0, 0.0),
}


def figure_of(figure, *names):
    """Name the figure by which rows are compared: that of the one class where a row knows one."""
    single = any(name in ROWS and ROWS[name].single for name in names)
    return f"single_{figure}" if single else figure


CLAIMS = tuple(
    Claim(
        paper.source,
        better,
        worse,
        figure_of(paper.figure, better, worse),
        (paper.values[better], paper.values[worse]),
        paper.more,
    )
    for paper in PAPERS.values()
    for better, worse in paper.says
)
