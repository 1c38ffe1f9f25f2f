"""How visible a defect is: its contrast, in units of the grain of the surface that it lies on.

A contrast-to-noise ratio after Rose (JOSA 38, 196, 1948) and Burgess (The Rose model, revisited,
JOSA A 16, 633, 1999): a defect shows where its change, averaged over an area, exceeds what the
surface itself changes by in averages over equal areas. d = image - clean, weighted by the matte m,
is divided into squares Q of 1, 2, 4, ... pixels; in each, weighted by m, are taken the mean and the
three differences between its quarters (Haar wavelets: edges along, across, diagonal). For each of
these channels k, and for pieces p_t = clean moved by t - clean of the surface itself,

  D_k(d)   = sqrt(sum_Q m_Q value_Q^2 / sum_Q m_Q)       m_Q = sum of m in Q
  grain_k  = sqrt(q D_k(p_t)^2 + FLOOR^2)                q: the QUANTILE-quantile over the moves t
  contrast = max_k D_k(d) / grain_k,  divided by q of the same of the pieces themselves, at least 1

All averages stay within the matte: a thin stroke is averaged along itself, a blob over its area; a
relief, whose bright and dark side cancel in a mean, shows in the differences. The grain is measured
at the same place and scale, by other pieces of the surface in the defect's stead. So contrast 1 is
what one of ten such pieces reaches, whatever the texture: a stroke along brushed lines has to
exceed those lines, one across them does not.
"""

import numpy as np

QUANTILE = 0.9
FLOOR = 1.0  # grey levels: what 8 bits can tell, where the surface has no grain
DIRECTIONS, REACH = 8, (1 / 16, 1 / 8, 1 / 4)  # of the moves; lengths in image sides
FAINT = 1 / 64  # of the matte's greatest value; below it is no defect
# Colours to brightness, red against green, both against blue; grey has the first alone.
OPPONENT = np.array([[1 / 3, 1 / 2, 1 / 4], [1 / 3, -1 / 2, 1 / 4], [1 / 3, 0, -1 / 2]], np.float32)


def contrast(image, clean, matte):
    """Measure how visible defects are: float64 [N], from 0 (not at all) up.

    image, clean: uint8 [N, R, R, C], with and without the defect; C is 1, or 3, of which brightness
    and two opponent colours are measured and the largest counts. matte: [N, R, R, 1], where the
    defect is, of any positive scale; one that is 0 everywhere has contrast 0.
    """
    rows = zip(image, clean, np.asarray(matte, np.float32)[..., 0], strict=True)
    return np.array([_contrast(*row) for row in rows], np.float64)


def _contrast(image, clean, matte):
    """Measure one defect; see `contrast`."""
    matte = np.where(matte > FAINT * matte.max(), matte, 0.0)
    if not matte.any():
        return 0.0
    ys, xs = (np.flatnonzero(matte.any(axis)) for axis in (1, 0))
    box = slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1)
    image, clean = _opponent(image), _opponent(clean)
    changes = [image[box], *_pieces(clean, box)] - clean[box]
    power = _powers(changes, matte[box])
    grain = np.sqrt(np.quantile(power[1:], QUANTILE, axis=0) ** 2 + FLOOR**2)
    ratios = np.max(power / grain, axis=(1, 2))
    return ratios[0] / max(1.0, np.quantile(ratios[1:], QUANTILE))


def _pieces(clean, box):
    """Cut what lies in a box out of the surface [R, R, C] moved everywhere, mirrored at borders."""
    side, (rows, columns) = len(clean), box
    moves = _moves(side)
    margin = max(abs(step) for move in moves for step in move)
    padded = np.pad(clean, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
    return [
        padded[
            rows.start + margin + dy : rows.stop + margin + dy,
            columns.start + margin + dx : columns.stop + margin + dx,
        ]
        for dy, dx in moves
    ]


def _moves(side):
    """List the moves (dy, dx) in pixels; each length has directions of its own."""
    angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    moves = [
        (round(length * side * np.sin(angle + k)), round(length * side * np.cos(angle + k)))
        for k, length in enumerate(REACH)
        for angle in angles
    ]
    return [move for move in dict.fromkeys(moves) if any(move)]


def _powers(changes, matte):
    """Compute D_k of changes [T, H, W, C] under a matte [H, W]: [T, channels, C]."""
    found, mass, product = [], matte[..., None], matte[..., None] * changes
    total = mass.sum()

    def add(values, mass):
        power = np.einsum("thwc,hw->tc", values**2, 1.0 / np.maximum(mass[..., 0], 1e-6))
        found.append(np.sqrt(power / total))

    add(product, mass)
    while max(mass.shape) > 1:
        quarters = a, b, c, d = _quarters(product)
        mass, product = sum(_quarters(mass)), sum(quarters)
        for values in (product, a + b - c - d, a - b + c - d, a - b - c + d):
            add(values, mass)
    return np.stack(found, axis=1)


def _quarters(x):
    """Split [..., H, W, C] into the four pixels of each square of two; odd sides get a 0."""
    *outer, height, width, channels = x.shape
    if height % 2 or width % 2:
        even = np.zeros((*outer, height + height % 2, width + width % 2, channels), x.dtype)
        even[..., :height, :width, :] = x
        x = even
    return [x[..., i::2, j::2, :] for i in (0, 1) for j in (0, 1)]


def _opponent(image):
    image = np.asarray(image, np.float32)
    return image @ OPPONENT if image.shape[-1] == 3 else image
