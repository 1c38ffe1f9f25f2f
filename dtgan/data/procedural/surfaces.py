"""Defect-free procedural steel: four finishes, each a reflectance map under slow illumination.

Lengths are fractions of the image side, so one `Surface` looks the same at every size: the noise
of a layer shares its lowest frequencies between sizes and only adds detail at larger ones.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft2, rfft2
from scipy.spatial import cKDTree

FAMILIES = ("cold_rolled", "hot_rolled", "brushed", "galvanised")

_SHARED = 64  # noise frequencies below half of this (cycles per side) are common to all sizes
_BRIGHTNESS = {  # mean reflectance, lowest and highest
    "cold_rolled": (0.36, 0.74),
    "hot_rolled": (0.29, 0.50),
    "brushed": (0.40, 0.64),
    "galvanised": (0.44, 0.66),
}
_TILT = 0.07  # the rolling direction stays within this of the horizontal, radians


@dataclass(frozen=True)
class Surface:
    """One strip surface. Angles in radians with y pointing down; the rest are plain fractions."""

    family: str  # a name in FAMILIES
    seed: int  # of every texture layer
    angle: float = 0.0  # rolling direction, from the horizontal
    brightness: float = 0.5  # mean reflectance, 0..1
    grain: float = 1.0  # contrast of the texture, 1 = typical of the family
    scale: float = 1.0  # size of grain, patches and crystals, 1 = typical of the family
    light: float = -1.2  # direction the light comes from, in the image plane
    gradient: float = 0.15  # relative change of the illumination across the image
    stains: float = 0.3  # strength of stains, 0..1


def generator(*seed):
    """Make the NumPy generator of a seed, a tuple of non-negative integers."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))


def random_surface(seed, family=None):
    """Draw a surface from `seed`; `family` replaces the drawn one and changes nothing else."""
    rng = generator(seed, 1)
    drawn = FAMILIES[int(rng.random() * len(FAMILIES))]
    family = family or drawn
    if family not in FAMILIES:
        raise ValueError(f"family={family!r} is not a surface; use one of {', '.join(FAMILIES)}")
    low, high = _BRIGHTNESS[family]
    return Surface(
        family=family,
        seed=int(seed),
        angle=float(rng.uniform(-_TILT, _TILT)),
        brightness=float(rng.uniform(low, high)),
        grain=float(rng.uniform(0.7, 1.3)),
        scale=float(rng.uniform(0.8, 1.3)),
        light=float(rng.uniform(-np.pi / 2 - 0.9, -np.pi / 2 + 0.9)),
        gradient=float(rng.uniform(0.05, 0.4)),
        stains=float(rng.random() ** 2),
    )


def noise(seed, layer, size, along, across=None, angle=0.0, power=1.5):
    """Draw correlated noise [size, size] of mean 0 and variance 1, periodic at the borders.

    `along`, `across`: correlation lengths, fractions of the side, on the axes turned by `angle`.
    The amplitude spectrum is (1 + q) ** -power with q = (2 pi f length)^2: near 1 the noise is
    rough at all scales, near 4 it is smooth blobs.
    """
    across = along if across is None else across
    fy = np.fft.fftfreq(size, 1 / size)[:, None]
    fx = np.fft.rfftfreq(size, 1 / size)[None, :]
    fu, fv = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
    gain = (1.0 + (2 * np.pi) ** 2 * ((along * fu) ** 2 + (across * fv) ** 2)) ** -power
    gain[0, 0] = 0.0
    field = irfft2(_white_spectrum(seed, layer, size) * gain, s=(size, size))
    return field / field.std()


def reflectance(surface, size):
    """Compute the reflectance of the bare surface in 0..1, float64 [size, size], unlit."""
    relative, stain = _TEXTURES[surface.family](surface, size), _stains(surface, size)
    return np.clip(surface.brightness * np.exp(relative) * stain, 0.02, 1.0)


def illumination(surface, size):
    """Compute the slow multiplicative light field around 1, float64 [size, size]."""
    x = (np.arange(size) + 0.5) / size - 0.5
    ramp = np.cos(surface.light) * x[None, :] + np.sin(surface.light) * x[:, None]
    uneven = noise(surface.seed, 10, size, 0.3, power=4.0)
    return (1.0 + surface.gradient * ramp) * (1.0 + 0.12 * surface.gradient * uneven)


def sensor_noise(surface, size):
    """Draw additive camera noise in reflectance units, float64 [size, size]."""
    return 0.008 * noise(surface.seed, 11, size, 0.0015, power=1.0)


def _white_spectrum(seed, layer, size):
    """Draw the half spectrum of white noise whose low frequencies do not depend on `size`."""
    shared = rfft2(generator(seed, 2, layer).random((_SHARED, _SHARED)) - 0.5)
    if size == _SHARED:
        return shared
    spectrum = rfft2(generator(seed, 2, layer, size).random((size, size)) - 0.5)
    reach = min(size, _SHARED) // 2  # the Nyquist row is left out: it has no conjugate partner
    gain = size / _SHARED  # keeps the spectral density per pixel
    spectrum[:reach, :reach] = shared[:reach, :reach] * gain
    spectrum[1 - reach :, :reach] = shared[1 - reach :, :reach] * gain
    return spectrum


def _cold_rolled(surface, size):
    """Draw fine grain along the rolling direction, the work roll's print, faint cross bands."""
    seed, angle, k = surface.seed, surface.angle, surface.scale
    lines = noise(seed, 0, size, 0.30, 0.0025 * k, angle, 1.0)
    flecks = noise(seed, 1, size, 0.030 * k, 0.004 * k, angle, 1.5)
    print_ = noise(seed, 2, size, 0.004 * k, power=1.5)
    bands = noise(seed, 3, size, 1.5, 0.03, angle, 2.0)
    return surface.grain * (0.040 * lines + 0.035 * flecks + 0.030 * print_ + 0.018 * bands)


def _brushed(surface, size):
    """Draw a ground strip: long abrasive lines of every width, some deep, and waviness across."""
    seed, angle, k = surface.seed, surface.angle, surface.scale
    lines = noise(seed, 0, size, 0.50, 0.0025 * k, angle, 1.0)
    short = noise(seed, 1, size, 0.10, 0.003 * k, angle, 1.2)
    bands = noise(seed, 2, size, 2.0, 0.02 * k, angle, 1.5)
    deep = np.minimum(noise(seed, 3, size, 0.25, 0.003, angle, 1.2) + 1.7, 0.0)
    return surface.grain * (0.085 * lines + 0.060 * short + 0.045 * bands + 0.16 * deep)


def _hot_rolled(surface, size):
    """Draw dark oxide: mottling at all scales, patches of flaked scale, rolled-in specks."""
    seed, angle, k = surface.seed, surface.angle, surface.scale
    mottle = noise(seed, 0, size, 0.05 * k, 0.03 * k, angle, 0.75)
    grit = noise(seed, 1, size, 0.006, 0.004, angle, 1.0)
    patch = noise(seed, 2, size, 0.10 * k, 0.05 * k, angle, 0.95)
    level = 0.3 + 1.2 * generator(seed, 3).random()
    flaked = 1.0 / (1.0 + np.exp(-(patch - level) / 0.22))
    specks = np.maximum(noise(seed, 4, size, 0.018 * k, 0.007 * k, angle, 2.0) - 1.7, 0.0)
    tone = 0.24 if generator(seed, 4).random() < 0.6 else -0.24
    return surface.grain * (
        0.085 * mottle + 0.065 * grit + tone * flaked * (1 + 0.3 * grit) - 0.30 * specks
    )


def _galvanised(surface, size):
    """Draw zinc spangle: polygonal crystals of different tilt, soft facets with dendrite arms."""
    seed, rng = surface.seed, generator(surface.seed, 5)
    spacing = 0.10 * surface.scale
    number = int((1.0 + 2 * spacing) ** 2 / spacing**2)
    centres = rng.uniform(-spacing, 1.0 + spacing, (number, 2))
    tone, gloss = rng.uniform(-1, 1, number), rng.random(number)
    turn = rng.uniform(0, 2 * np.pi, number)
    x = (np.arange(size) + 0.5) / size
    warp = 0.10 * spacing
    px = x[None, :] + warp * noise(seed, 0, size, 0.05, power=3.0)
    py = x[:, None] + warp * noise(seed, 1, size, 0.05, power=3.0)
    distance, index = cKDTree(centres).query(np.stack([px, py], -1), k=2)
    near, second = index[..., 0], index[..., 1]
    # Neighbouring facets blend over a narrow seam, so that borders are soft at every size.
    seam = 0.5 * np.exp(-(distance[..., 1] - distance[..., 0]) / (0.05 * spacing))
    facet = tone[near] * (1 - seam) + tone[second] * seam
    du, dv = px - centres[near, 0], py - centres[near, 1]
    across = du * np.cos(turn[near]) + dv * np.sin(turn[near])
    arms = np.sin(across * (2 * np.pi / (0.34 * spacing))) * gloss[near] * (1 - 2 * seam)
    shade = across / spacing * (1 - 2 * seam)
    grit = noise(seed, 2, size, 0.004, power=1.2)
    rolled = noise(seed, 3, size, 0.30, 0.004, surface.angle, 1.0)
    texture = 0.13 * facet + 0.035 * arms + 0.11 * shade + 0.035 * grit + 0.018 * rolled
    return surface.grain * (texture - 0.05 * seam)


_TEXTURES = {
    "cold_rolled": _cold_rolled,
    "hot_rolled": _hot_rolled,
    "brushed": _brushed,
    "galvanised": _galvanised,
}


def _stains(surface, size):
    """Draw multiplicative stains around 1: broad clouds and drag marks of oil or water."""
    cloud = noise(surface.seed, 8, size, 0.10, 0.07, surface.angle, 2.0)
    drag = noise(surface.seed, 9, size, 0.45, 0.02, surface.angle, 2.0)
    wet = 1.0 / (1.0 + np.exp(-(cloud - 1.0) / 0.25))
    return np.exp(surface.stains * (-0.28 * wet - 0.08 * np.maximum(drag - 0.8, 0.0)))
