"""The six steel defects as parametric shapes that change the surface under them.

A defect sets no grey values. It exposes other material, occludes light and tilts the surface, so
that its look depends on grain, brightness and illumination of the strip. Lengths are fractions of
the image side; thin lines are widened to stay visible on a coarse grid.
"""

from dataclasses import dataclass

import numpy as np

from dtgan.data.procedural.surfaces import generator, noise

KINDS = ("scratch", "shell", "mark", "scoring", "tear", "notching")

_CUT = 0.05  # an influence below this is dropped, so that the mask is tight
_T = np.linspace(-1.0, 1.0, 129)  # abscissa of all random curves
_BARE, _OXIDE, _VOID = 0.95, 0.14, 0.03  # reflectances of fresh metal, oxide and an opening


@dataclass(frozen=True)
class Defect:
    """One defect. Angles in radians with y pointing down."""

    kind: str  # a name in KINDS
    seed: int  # of outline and detail
    x: float = 0.5  # centre, 0 = left border, 1 = right border
    y: float = 0.5  # centre, 0 = top border, 1 = bottom border
    size: float = 1.0  # 1 = typical of the kind
    angle: float = 0.0  # of the long axis; notching: of the cut border, 0 = top, pi = bottom
    strength: float = 1.0  # 0..1
    bright: bool = True  # scratch: fresh metal (True) or oxidised; mark: glossy floor or dull


@dataclass(frozen=True)
class Layers:
    """Influence of a defect on a grid of [H, W] pixels; all float layers are 0 outside `mask`."""

    mask: np.ndarray  # bool: pixels that may change
    cover: np.ndarray  # 0..1: share of the surface that other material replaces
    paint: np.ndarray  # cover x reflectance of that material
    occlusion: np.ndarray  # >= 0: light lost, as exp(-occlusion)
    slope_x: np.ndarray  # surface slope, rising to the right
    slope_y: np.ndarray  # surface slope, rising downwards


def random_defect(kind, seed):
    """Draw a defect of `kind` from `seed`: place, size, direction and strength."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is not a defect; use one of {', '.join(KINDS)}")
    rng = generator(seed, 20, KINDS.index(kind))
    along = rng.uniform(-0.06, 0.06)
    oblique = rng.uniform(0.25, 1.3) * (1 if rng.random() < 0.5 else -1)
    transverse = np.pi / 2 + rng.uniform(-0.9, 0.9)
    border = (0.0, np.pi, 0.0, np.pi, -np.pi / 2, np.pi / 2)[int(rng.random() * 6)]
    angle = {
        "scratch": oblique if rng.random() < 0.6 else along,
        "mark": rng.uniform(0, np.pi),
        "tear": transverse,
        "notching": border,
    }.get(kind, along)
    return Defect(
        kind=kind,
        seed=int(seed),
        x=float(rng.uniform(0.3, 0.7)),
        y=float(rng.uniform(0.3, 0.7)),
        size=float(rng.uniform(0.8, 1.25)),
        angle=float(angle),
        strength=float(rng.uniform(0.75, 1.0)),
        bright=bool(rng.random() < {"scratch": 0.75, "mark": 0.25}.get(kind, 0.5)),
    )


def layers(defect, size):
    """Compute the influence of `defect` on an image of size x size pixels, on any surface."""
    canvas = _Canvas(defect, size)
    _SHAPES[defect.kind](canvas)
    return canvas.layers()


class _Canvas:
    """Pixel grid in the frame of a defect: u along its axis, v across, from its centre."""

    def __init__(self, defect, size):
        self.defect, self.size, self.px = defect, size, 1.0 / size
        self.rng = generator(defect.seed, 21, KINDS.index(defect.kind))
        centre = (np.arange(size) + 0.5) / size
        self.x, self.y = np.broadcast_arrays(centre[None, :], centre[:, None])
        self.cos, self.sin = np.cos(defect.angle), np.sin(defect.angle)
        dx, dy = self.x - defect.x, self.y - defect.y
        self.u, self.v = dx * self.cos + dy * self.sin, dy * self.cos - dx * self.sin
        self.cover, self.paint, self.occlusion, self.slope_x, self.slope_y = np.zeros(
            (5, size, size)
        )

    def draw(self, low, high):
        """Draw a uniform number from this defect's stream."""
        return self.rng.uniform(low, high)

    def sign(self):
        """Draw -1 or 1 from this defect's stream."""
        return 1.0 if self.rng.random() < 0.5 else -1.0

    def curve(self, waves, decay=1.0):
        """Draw a smooth curve on _T, of about unit amplitude, with `waves` harmonics."""
        k = np.arange(1, waves + 1)
        weight, phase = k**-decay, self.rng.uniform(0, 2 * np.pi, waves)
        parts = weight * np.sin(0.5 * np.pi * k * _T[:, None] + phase)
        return parts.sum(1) / np.sqrt((weight**2).sum() / 2)

    def jagged(self, knots):
        """Draw a piecewise linear curve on _T in -1..1 with `knots` uneven stretches."""
        at = np.linspace(-1.0, 1.0, knots + 1)
        at[1:-1] += self.rng.uniform(-0.35, 0.35, knots - 1) * (2.0 / knots)
        return np.interp(_T, at, self.rng.uniform(-1, 1, knots + 1))

    def step(self, distance):
        """Compute an antialiased indicator of distance < 0."""
        return np.clip(0.5 - distance / self.px, 0.0, 1.0)

    def over(self, cover, reflectance):
        """Lay material of `reflectance` over the previous one, with coverage 0..1."""
        cover = np.clip(cover, 0.0, 1.0)
        self.cover = self.cover + cover * (1.0 - self.cover)
        self.paint = self.paint * (1.0 - cover) + cover * reflectance

    def tilt(self, slope_u, slope_v):
        """Add a surface slope given in the frame of the defect."""
        self.slope_x = self.slope_x + slope_u * self.cos - slope_v * self.sin
        self.slope_y = self.slope_y + slope_u * self.sin + slope_v * self.cos

    def layers(self):
        slope = np.hypot(self.slope_x, self.slope_y)
        mask = np.maximum(np.maximum(self.cover, self.occlusion), 0.6 * slope) > _CUT
        parts = (self.cover, self.paint, self.occlusion, self.slope_x, self.slope_y)
        return Layers(mask, *(np.where(mask, part, 0.0) for part in parts))


def _scratch(c):
    """Add a fine, slightly bent line with an interrupted burr on one side."""
    half, power = c.draw(0.30, 0.46) * c.defect.size, c.defect.strength
    bend, side = c.draw(-0.12, 0.12) * half, c.sign()
    width = max(c.draw(0.004, 0.008), 0.65 * c.px)
    centre = bend * (_T**2 - 0.4) + 0.006 * c.curve(6)
    fade = (1 - _T**6) * np.clip(0.85 + 0.3 * c.curve(12, 0.5), 0.45, 1.0)
    ragged = np.clip(0.6 + 0.6 * c.curve(40, 0.0), 0.0, 1.0) * (1 - _T**6)
    t = c.u / half
    d = c.v - np.interp(t, _T, centre)
    inside = c.step(np.abs(t) * half - half)
    fade, ragged = np.interp(t, _T, fade) * inside, np.interp(t, _T, ragged) * inside
    c.over(power * fade * c.step(np.abs(d) - width), _BARE if c.defect.bright else _VOID)
    r = d / (width + 0.35 * c.px)
    c.tilt(0.0, power * fade * 1.1 * r * np.exp(-0.7 * r**2))
    burr = np.exp(-(((d * side - 2.0 * width) / width) ** 2))
    c.occlusion = c.occlusion + 0.5 * power * ragged * burr * (1.0 if c.defect.bright else 0.5)


def _shell(c):
    """Add a sliver of overlapping metal: streaky scab, bright curled lip, shadow under the lip."""
    half, power = c.draw(0.24, 0.36) * c.defect.size, c.defect.strength
    breadth, side = c.draw(0.055, 0.095) * c.defect.size, c.sign()
    lens = np.clip(1 - np.abs(_T) ** c.draw(1.6, 3.2), 0, None) ** 0.75
    lens = lens * (1 + c.draw(-0.35, 0.35) * _T)
    lip_line = breadth * lens * np.clip(1 + 0.16 * c.curve(5) + 0.14 * c.jagged(16), 0.3, None)
    root_line = breadth * lens * np.clip(0.8 + 0.3 * c.curve(7), 0.3, None)
    curl = np.clip(0.8 + 0.35 * c.curve(9, 0.5), 0.35, 1.0)
    v = c.v * side
    t = c.u / half + 0.07 * np.interp(v / breadth, _T, c.jagged(7))  # frays the ends
    lip, root = np.interp(t, _T, lip_line), np.interp(t, _T, root_line)
    there = np.interp(t, _T, np.minimum(1.0, 4 * lens))
    body = c.step(v - lip) * c.step(-v - root) * there
    across = np.clip((v + root) / np.maximum(lip + root, 1e-6), 0, 1)  # 0 at the root, 1 at the lip
    streaks = noise(c.defect.seed, 30, c.size, 0.12, 0.008, c.defect.angle, 1.2)
    oxide = np.clip(0.20 + 0.09 * streaks, 0.04, 0.6)
    c.over(power * body * (0.35 + 0.45 * across), oxide)
    rim = max(0.011, 0.9 * c.px)
    lit = np.interp(t, _T, curl) * there
    c.over(power * lit * np.exp(-(((v - lip + rim) / rim) ** 2)), _BARE)
    under = max(0.022, 1.3 * c.px)
    beyond = np.maximum(v - lip - 0.3 * rim, 0.0)
    shadow = np.exp(-((beyond / under) ** 2)) * (1 - c.step(v - lip - 0.3 * rim)) * there
    c.occlusion = c.occlusion + 1.6 * power * shadow + 0.25 * power * body
    c.tilt(0.0, side * 0.35 * power * body * across)


def _mark(c):
    """Add a roundish imprint: flattened floor, walls that catch or lose the light."""
    radius, power = c.draw(0.11, 0.19) * c.defect.size, c.defect.strength
    aspect = c.draw(0.72, 1.0)
    theta = np.arctan2(c.v / aspect, c.u) / np.pi
    # Harmonics of whole periods, so that the outline closes.
    k, phase = np.arange(2, 7), c.rng.uniform(0, 2 * np.pi, 5)
    outline = 1 + (0.11 / k * np.sin(np.pi * k * _T[:, None] + phase)).sum(1)
    rho = np.hypot(c.u, c.v / aspect) / (radius * np.interp(theta, _T, outline))
    wall = max(c.draw(0.08, 0.20), 0.5 * c.px / radius)
    floor = 0.5 * (1.0 - np.tanh((rho - 0.92) / wall))
    crater = np.exp(-(((rho - 0.97) / (1.3 * wall)) ** 2))  # where the wall is
    rough = noise(c.defect.seed, 31, c.size, 0.012, power=1.5)
    if c.defect.bright:
        c.over(0.60 * power * floor, np.clip(0.85 + 0.04 * rough, 0, 1))
    else:
        c.over(0.45 * power * floor, np.clip(0.24 + 0.05 * rough, 0, 1))
        c.occlusion = c.occlusion + 0.22 * power * floor
    c.occlusion = c.occlusion + 0.18 * power * crater
    length = np.maximum(np.hypot(c.u, c.v), 1e-6)
    c.tilt(1.5 * power * crater * c.u / length, 1.5 * power * crater * c.v / length)


def _scoring(c):
    """Add parallel ploughed grooves along the rolling direction, each with a thrown-up ridge."""
    power, number = c.defect.strength, 4 + int(c.draw(0, 4))
    pitch, side = c.draw(0.040, 0.056), c.sign()
    for k in range(number):
        half = c.draw(0.30, 0.62) * c.defect.size
        start = c.draw(-0.12, 0.12)
        offset = (k - (number - 1) / 2) * pitch + c.draw(-0.2, 0.2) * pitch
        width = max(c.draw(0.008, 0.015), 0.65 * c.px)
        depth = c.draw(0.8, 1.1) * power
        centre = offset + 0.003 * c.curve(3)
        fade = (1 - _T**8) * np.clip(0.9 + 0.25 * c.curve(9, 0.5), 0.5, 1.0)
        t = (c.u - start) / half
        d = c.v - np.interp(t, _T, centre)
        fade = np.interp(t, _T, fade) * depth * (np.abs(t) < 1)
        c.over(0.90 * fade * c.step(np.abs(d) - width), _OXIDE)
        ridge = (d * side - width - 0.55 * max(width, c.px)) / (0.6 * max(width, c.px))
        c.over(0.70 * fade * np.exp(-(ridge**2)), _BARE)
        r = d / (width + 0.3 * c.px)
        c.tilt(0.0, 0.7 * fade * r * np.exp(-0.7 * r**2))


def _tear(c):
    """Add a jagged dark opening with torn, partly bright edges and a few branches."""
    half = c.draw(0.24, 0.36) * c.defect.size
    gape, path = c.draw(0.020, 0.034), (0.11 * c.jagged(8) + 0.04 * c.jagged(26)) * half
    path = path + 0.10 * half * c.curve(2)
    _crack(c, c.u, c.v, half, path, gape)
    for _ in range(1 + int(c.draw(0, 2.5))):
        t0, turn = c.draw(-0.5, 0.5), c.draw(0.45, 0.95) * c.sign()
        length = c.draw(0.22, 0.40) * half
        du, dv = c.u - t0 * half, c.v - np.interp(t0, _T, path)
        u = du * np.cos(turn) + dv * np.sin(turn) - 0.75 * length
        v = dv * np.cos(turn) - du * np.sin(turn)
        _crack(c, u, v, length, 0.14 * length * c.jagged(7), 0.45 * gape)


def _crack(c, u, v, half, path, gape):
    """Add a crack along u with the centre line `path` (values on _T), at most `gape` wide."""
    power = c.defect.strength
    opening = (1 - _T**2) ** 0.7 * np.clip(0.72 + 0.38 * c.jagged(16), 0.25, None)
    # A steep centre line thins the band measured across u: divide by its slope.
    steep = np.sqrt(1 + (np.gradient(path, _T) / half) ** 2)
    t = u / half
    inside = np.abs(t) < 1
    d = (v - np.interp(t, _T, path)) / np.interp(t, _T, steep)
    width = np.maximum(np.interp(t, _T, opening * gape), 0.6 * c.px * inside)
    lip = max(0.30 * gape, 0.010, 0.8 * c.px)
    torn = np.interp(t, _T, np.clip(0.45 + 0.6 * c.jagged(20), 0, 1) * (1 - _T**4)) * inside
    side, edge = c.sign(), np.abs(d) - width
    r = (edge - 0.6 * lip) / lip
    c.over(0.75 * power * torn * np.exp(-(r**2)) * (d * side > 0), _BARE)
    c.occlusion = c.occlusion + 0.6 * power * torn * np.exp(-(r**2)) * (d * side <= 0)
    c.over(np.clip(power + 0.1, 0, 1) * c.step(edge) * inside, _VOID)


def _notching(c):
    """Add bites out of one border: missing material, a bright sheared rim, a bent edge."""
    power = c.defect.strength
    # t along the border, s into the strip; the border is the one that `angle` turns to the top.
    t = (c.x - 0.5) * c.cos + (c.y - 0.5) * c.sin
    s = 0.5 + (c.y - 0.5) * c.cos - (c.x - 0.5) * c.sin
    number = 1 + int(c.draw(0, 3.4))
    pitch = c.draw(0.20, 0.26)
    first = (c.defect.x - 0.5) * 0.9 - (number - 1) / 2 * pitch * 0.7
    gap, torn = np.full((c.size, c.size), np.inf), np.zeros((c.size, c.size))
    for k in range(number):
        breadth = c.draw(0.065, 0.095) * c.defect.size * (1.6 if number == 1 else 1.0)
        depth = c.draw(0.11, 0.20) * c.defect.size * (1.4 if number == 1 else 1.0)
        sharp = c.draw(1.1, 2.6)  # 1 is a V, 2 an ellipse, more is a slot
        at = first + k * pitch + c.draw(-0.02, 0.02)
        across, into = (t - at) / breadth, s / depth
        angle = np.arctan2(into, across) / np.pi
        rough = 0.09 * c.jagged(26) + 0.08 * c.jagged(9) + 0.05 * c.curve(4)
        outline = 1 + np.interp(angle, _T, rough)
        rho = (np.abs(across) ** sharp + into**sharp) ** (1 / sharp)
        # rho is no distance where the bite is longer than wide: divide by its slope, without the
        # roughness, whose slope would leave rays far from the edge.
        here = (rho / outline - 1) / np.clip(np.hypot(*np.gradient(rho, c.px)), 1.0, 40.0)
        sheared = np.interp(angle, _T, np.clip(0.7 + 0.5 * c.jagged(14), 0.25, 1.0))
        torn, gap = np.where(here < gap, sheared, torn), np.minimum(here, gap)
    rim = max(0.009, 0.8 * c.px)
    edge = np.exp(-(((gap - 0.4 * rim) / rim) ** 2))
    bent = np.exp(-(((gap - 2.4 * rim) / (1.5 * rim)) ** 2)) * (gap > 0)
    c.over(0.72 * power * torn * edge, _BARE)
    c.occlusion = c.occlusion + 0.30 * power * bent
    down, right = np.gradient(gap, c.px)
    c.slope_x = c.slope_x - 0.8 * power * bent * np.clip(right, -1, 1)
    c.slope_y = c.slope_y - 0.8 * power * bent * np.clip(down, -1, 1)
    c.over(c.step(gap), _VOID)


_SHAPES = {
    "scratch": _scratch,
    "shell": _shell,
    "mark": _mark,
    "scoring": _scoring,
    "tear": _tear,
    "notching": _notching,
}
