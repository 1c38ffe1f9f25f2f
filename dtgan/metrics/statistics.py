"""Distances between two sets of images, from their features: float64, seeded, NumPy only.

A score that is not defined for two sets, such as the FID of a single image, raises `Undefined`;
`compare` turns that into None and a reason. All but the KID's subsets and the cap of clustered
LPIPS in mode "repo" are invariant to the order of the images.
"""

from typing import NamedTuple

import numpy as np

from dtgan.config import ConfigError
from dtgan.metrics import intervals
from dtgan.metrics.intervals import Estimate

BLOCK = 1024  # rows of a kernel or distance matrix held at a time
REPO_CAP = 200  # images of one cluster that the published code of clustered LPIPS keeps


class Undefined(ValueError):
    """The score is not defined for these sets; the message says why."""


def frechet_distance(real, fake):
    """Compute the FID of features [N, d] and [M, d] (Heusel et al. 2017): Estimate >= 0; N, M >= 2.

    |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^1/2, covariances with N - 1. With the rows of A and B
    centred and divided by sqrt(N - 1), tr (C1 C2)^1/2 is the sum of the singular values of A B^T:
    exact for singular covariances too, without a matrix square root.

    The interval holds the mean FID of sets of these sizes, which is above the FID of infinite sets
    (Chong & Forsyth 2020). Its standard error is the infinitesimal jackknife (Jaeckel 1972; Efron
    1982, chapter 6): each row's derivative falls out of the same decomposition. A bootstrap is no
    alternative: repeated images raise FID, and its spread up to threefold. In simulations (Gaussian
    and heavy tails, d = 32 to 256) the interval held that mean in 88 to 100 % of the cases for N, M
    from 12 to 1000, in 92 % for 5 against 50, and in 77 to 90 % for 3 against 3.
    """
    _require(2, "FID", real, fake)
    (a, mean_a), (b, mean_b) = _centred(real), _centred(fake)
    shift = mean_a - mean_b
    share_a, share_b = _shares(a, b)
    excess_a, excess_b = _squares(a) - share_a, _squares(b) - share_b
    value = max(float(shift @ shift + excess_a.sum() + excess_b.sum()), 0.0)

    def variance(rows, excess, shift):
        """Compute one set's part of the value's variance from N times its derivatives.

        Derivatives are with respect to the weights of the rows.
        """
        n = len(rows)
        influence = n * excess + 2 * np.sqrt(n - 1) * (rows @ shift)
        return np.var(influence, ddof=1) / n

    error = float(np.sqrt(variance(a, excess_a, shift) + variance(b, excess_b, -shift)))
    low, high = intervals.normal(value, error)
    return Estimate(value, (max(low, 0.0), high))


def _centred(features):
    """Centre features: A [N, d] with A^T A = covariance, and the mean [d]."""
    features = np.asarray(features, np.float64)
    mean = features.mean(axis=0)
    return (features - mean) / np.sqrt(len(features) - 1), mean


def _squares(rows):
    """Compute |row|^2 [N] of rows [N, d]."""
    return np.einsum("nd,nd->n", rows, rows)


def _shares(a, b):
    """Divide the nuclear norm of K = a b^T among the rows of a [N] and of b [M].

    These are the diagonals of (K K^T)^1/2 and (K^T K)^1/2; each sums to the norm. Where K would be
    larger than d x d, the triangular factors of a and b take their place.
    """
    if min(len(a), len(b)) > a.shape[1]:
        (qa, ra), (qb, rb) = np.linalg.qr(a), np.linalg.qr(b)
        u, s, vt = np.linalg.svd(ra @ rb.T)
        u, v = qa @ u, qb @ vt.T
    else:
        u, s, vt = np.linalg.svd(a @ b.T, full_matrices=False)
        v = vt.T
    return np.square(u) @ s, np.square(v) @ s


class Kid(NamedTuple):
    """KID times 1000, its 95 % interval, the size of a subset, and the method of the interval."""

    value: float
    ci95: tuple[float, float]
    subset_size: int
    interval: str  # "subsets" | "jackknife"


def kid(real, fake, subset_size=1000, subsets=100, seed=0):
    """Compute the KID (Binkowski et al. 2018) of features [N, d] and [M, d]; N, M >= 3.

    The mean of `mmd2` over random subsets of min(subset_size, N, M) rows of each, drawn without
    replacement. Values below 0 are usual for equal distributions.

    Subsets of m out of N images share images: their spread is as large as the error of the value at
    m = N/2, larger below, and 0 at m = N. While m is at most half of the smaller set, the interval
    is the 2.5 and 97.5 percentiles over the subsets, too wide rather than too narrow. Beyond, it is
    the value -+ 1.96 standard errors by the delete-one jackknife of both full sets (Efron & Stein
    1981: on average not too small). In simulations the latter held the true value in 92 to 99 % of
    the cases for N, M from 3 to 1000. Raises ConfigError for a subset size below 2.
    """
    if subset_size < 2:
        raise ConfigError(f"subset_size {subset_size} of KID has no pairs; use 2 or more")
    _require(3, "KID", real, fake)
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    smaller = min(len(real), len(fake))
    size = min(subset_size, smaller)
    g = np.random.default_rng(seed)
    of_real, of_fake = (_subsets(len(rows), size, subsets, g) for rows in (real, fake))
    values = 1e3 * _mmd2(real, fake, of_real, of_fake)
    value = float(values.mean())
    if 2 * size <= smaller:
        low, high = np.quantile(values, [0.025, 0.975])
        return Kid(value, (float(low), float(high)), size, "subsets")
    error = 1e3 * _mmd2_error(real, fake)
    return Kid(value, intervals.normal(value, error), size, "jackknife")


def mmd2(x, y):
    """Compute the unbiased squared MMD of rows x [N, d] and y [M, d], a float; N, M >= 2.

    Kernel k(a, b) = (a.b / d + 1)^3; terms k(a, a) are left out (Gretton et al. 2012, equation 3).
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return float(_mmd2(x, y, np.ones((len(x), 1)), np.ones((len(y), 1)))[0])


def _subsets(n, size, count, g):
    """Draw `count` subsets of `size` of n rows, as indicators [n, count] in {0, 1}."""
    chosen = np.zeros((n, count))
    for column in chosen.T:
        column[g.choice(n, size, replace=False)] = 1.0
    return chosen


def _mmd2(x, y, of_x, of_y):
    """Compute `mmd2` [S] of the subsets with indicators of_x [N, S] and of_y [M, S]."""
    cross = np.sum(of_x * _kernel_times(x, y, of_y), axis=0)
    mean_cross = cross / (of_x.sum(axis=0) * of_y.sum(axis=0))
    return _mean_within(x, of_x) + _mean_within(y, of_y) - 2 * mean_cross


def _mean_within(x, of_x):
    """Compute the mean kernel [S] of two different rows of each subset."""
    n = of_x.sum(axis=0)
    pairs = np.sum(of_x * _kernel_times(x, x, of_x), axis=0) - _kernel_diagonal(x) @ of_x
    return pairs / (n * (n - 1))


def _mmd2_error(x, y):
    """Compute the standard error of mmd2(x, y), N, M >= 3, by delete-one jackknife over both."""

    def variance(x, y):
        """Compute the part of x. Terms that do not depend on the row left out are dropped."""
        n, m = len(x), len(y)
        within = _kernel_times(x, x, np.ones((n, 1)))[:, 0] - _kernel_diagonal(x)
        cross = _kernel_times(x, y, np.ones((m, 1)))[:, 0]
        left = (within.sum() - 2 * within) / ((n - 1) * (n - 2))
        left -= 2 * (cross.sum() - cross) / ((n - 1) * m)
        return (n - 1) * np.var(left)

    return float(np.sqrt(variance(x, y) + variance(y, x)))


def _kernel_times(x, y, weights):
    """Compute K @ weights [N, S], K [N, M] the kernel matrix by blocks of rows, weights [M, S]."""
    products = np.empty((len(x), weights.shape[1]))
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK] @ y.T / x.shape[1] + 1
        products[start : start + BLOCK] = (block * block * block) @ weights
    return products


def _kernel_diagonal(x):
    return (_squares(x) / x.shape[1] + 1) ** 3


def mean_distance(real, fake):
    """Compute |m1 - m2|^2 of the mean features of [N, d], [M, d]; N, M >= 1. The thesis's KID."""
    _require(1, "the mean distance", real, fake)
    shift = np.mean(real, axis=0, dtype=np.float64) - np.mean(fake, axis=0, dtype=np.float64)
    return float(shift @ shift)


def precision_recall(real, fake, k=3):
    """Compute improved precision and recall of [N, d], [M, d] (Kynkaanniemi et al. 2019).

    Returns two Estimates.
    Precision is the share of fakes within the distance of some real to its k-th nearest other real;
    recall is the same with the sets exchanged. Needs N, M > k. Wilson intervals: they hold for new
    images judged by the same balls.
    """
    _require(k + 1, f"precision and recall with k = {k}", real, fake)
    return _covered(fake, real, k), _covered(real, fake, k)


def _covered(x, y, k):
    """Estimate the share of rows of x inside the k-nearest-neighbour balls of the rows of y."""
    # Every row is its own nearest: at index 0 of the sorted distances, the k-th other at k.
    radii = np.concatenate([np.partition(d, k, axis=1)[:, k] for d in _distances(y, y)])
    inside = sum(int(np.sum(np.any(d <= radii, axis=1))) for d in _distances(x, y))
    return Estimate(inside / len(x), intervals.wilson(inside, len(x)))


def _distances(x, y):
    """Yield squared distances of rows of x [N, d] to all of y [M, d], in blocks [<= BLOCK, M]."""
    centre = np.mean(y, axis=0, dtype=np.float64)
    y = y - centre
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK] - centre
        scale = _squares(rows)[:, None] + _squares(y)[None]
        squared = scale - 2 * rows @ y.T
        yield np.where(squared > 1e-12 * scale, squared, 0.0)  # below is rounding of equal rows


class Clustered(NamedTuple):
    """Mean over all clusters, over those above 0 (None if none is), and number with a member."""

    mean: float
    mean_nonzero: float | None
    clusters: int


def clustered_lpips(fakes, reals, mode="paper"):
    """Compute clustered LPIPS: diversity of the fakes around one real image (Ojha et al. 2021).

    fakes [N, D], reals [M, D], N, M >= 1: embeddings with |a - b|^2 = LPIPS(a, b). Each fake joins
    its nearest real; the score is the mean over the M clusters of the mean LPIPS of two different
    members, 0 for clusters of fewer than two.
    mode: "paper", or "repo" as in the code published with DFMGAN (Duan et al. 2023), which keeps
    the first 200 members of a cluster. That code gives LPIPS reals of 0..255 instead of [-1, 1]; to
    reproduce its numbers pass reals embedded so.
    Raises ConfigError for another mode.
    """
    if mode not in ("paper", "repo"):
        raise ConfigError(f"mode {mode!r} of clustered LPIPS is unknown; use 'paper' or 'repo'")
    _require(1, "clustered LPIPS", reals, fakes)
    nearest = np.concatenate([d.argmin(axis=1) for d in _distances(fakes, reals)])
    cap = REPO_CAP if mode == "repo" else len(fakes)
    within = np.zeros(len(reals))
    occupied = np.unique(nearest)
    for cluster in occupied:
        within[cluster] = _mean_pairwise(fakes[np.flatnonzero(nearest == cluster)[:cap]])
    nonzero = within[within > 0]
    mean_nonzero = float(nonzero.mean()) if len(nonzero) else None
    return Clustered(float(within.mean()), mean_nonzero, len(occupied))


def _mean_pairwise(rows):
    """Compute the mean |a - b|^2 of two different rows [N, D], 0 for N < 2.

    This is twice the unbiased variance.
    """
    if len(rows) < 2:
        return 0.0
    # Row by row, as all in float64 may not fit; relative to the first, so that equal rows give 0.
    first = rows[0].astype(np.float64)
    total, squares = np.zeros_like(first), 0.0
    for row in rows:
        offset = row - first
        total += offset
        squares += offset @ offset
    return max(float(2 * (squares - total @ total / len(rows)) / (len(rows) - 1)), 0.0)


def compare(real, fake, seed=0):
    """Compute all scores of two sets of images as JSON-able (values, notes).

    real, fake: {"pool": [N, 2048], "tap64": [N, 64], "lpips": [N, D]}, real also "lpips_raw" for
    `clustered_lpips` in mode "repo"; all but "pool" may be absent.
    values: num_real, num_fake and, each a finite number, [low, high] or None: fid, fid_ci95,
    fid_64, fid_64_ci95, kid_x1e3, kid_ci95, kid_subset_size, mean_distance, precision,
    precision_ci95, recall, recall_ci95, and clustered_lpips and clustered_lpips_repo, both also
    without clusters of 0 (`_nonzero`) and with the number of real images nearest to a fake
    (`_clusters`).
    notes: {key of values: a sentence}: why a score is None, or a caveat.
    """

    def pair(name, of_real=None):
        return _features(real, of_real or name, "real"), _features(fake, name, "fake")

    def keys(name):
        return name, f"{name}_nonzero", f"{name}_clusters"

    scores = {
        ("fid", "fid_ci95"): lambda: _fid(*pair("pool")),
        ("fid_64", "fid_64_ci95"): lambda: _fid(*pair("tap64")),
        ("kid_x1e3", "kid_ci95", "kid_subset_size"): lambda: _kid(*pair("pool"), seed),
        ("mean_distance",): lambda: ([mean_distance(*pair("pool"))], None),
        ("precision", "precision_ci95", "recall", "recall_ci95"): lambda: _both(*pair("pool")),
        keys("clustered_lpips"): lambda: _clustered(*pair("lpips"), "paper"),
        keys("clustered_lpips_repo"): lambda: _clustered(*pair("lpips", "lpips_raw"), "repo"),
    }
    values = {"num_real": len(real["pool"]), "num_fake": len(fake["pool"])}
    notes = {}
    for names, score in scores.items():
        try:
            numbers, caveat = score()
        except Undefined as reason:
            numbers, caveat = [None] * len(names), str(reason)
        missing = [name for name, x in zip(names, numbers, strict=True) if x is None]
        notes.update(dict.fromkeys(missing or names[:1], caveat) if caveat else {})
        lists = [list(x) if isinstance(x, tuple) else x for x in numbers]
        values.update(zip(names, lists, strict=True))
    return values, notes


def _fid(real, fake):
    """Compute FID and its interval, and a caveat or None."""
    smaller, d = min(len(real), len(fake)), real.shape[1]
    caveat = (
        f"{smaller} images do not span {d} dimensions: FID is far above that of large sets; "
        "compare it only with that of real against real images in the same numbers"
    )
    return frechet_distance(real, fake), caveat if smaller <= d else None


def _kid(real, fake, seed):
    """Compute KID, its interval and subset size, and a caveat or None."""
    *numbers, interval = kid(real, fake, seed=seed)
    caveat = (
        f"the interval is a jackknife over images: subsets of {numbers[-1]} out of "
        f"{min(len(real), len(fake))} share too many for their spread to show the error"
    )
    return numbers, caveat if interval == "jackknife" else None


def _both(real, fake):
    """Compute precision and recall with their intervals; no caveat."""
    precision, recall = precision_recall(real, fake)
    return [*precision, *recall], None


def _clustered(real, fake, mode):
    """Compute a Clustered, and the reason where the mean above 0 is None."""
    result = clustered_lpips(fake, real, mode)
    return result, "all clusters are 0" if result.mean_nonzero is None else None


def _features(features, name, which):
    if name not in features:
        raise Undefined(f"there are no {name!r} features of {which} images")
    return features[name]


def _require(least, score, real, fake):
    """Raise Undefined where one of the sets has fewer rows than `score` needs."""
    if min(len(real), len(fake)) < least:
        raise Undefined(
            f"{score} needs at least {least} real and {least} fake images, "
            f"here are {len(real)} and {len(fake)}"
        )
