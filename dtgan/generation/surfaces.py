"""Which surface a defect is drawn on, and where on it a defect may be."""

import functools
import hashlib
import pathlib
import zlib

import numpy as np

from dtgan import images
from dtgan.config import ConfigError, nearest
from dtgan.data import pipeline, windows
from dtgan.data.folders import masks, scan
from dtgan.data.names import picture_of
from dtgan.generation.checks import RENDER

HOW = ("any", "like")


class Likeness:
    """Draws a surface for a defect, the likelier the more its own surface is like it.

    P(surface j | defect i) ~ exp(-d_ij / temperature). d is the mean of three squared distances, in
    standard deviations over the surfaces: of the texture codes (mean over their numbers), of the
    mean brightness, and of the logarithm of its deviation.
    """

    def __init__(self, defects, surfaces, temperature):
        """defects, surfaces: features of `describe`; temperature: above 0."""
        self._temperature = temperature
        spread = [(part.mean(axis=0), part.std(axis=0) + 1e-6) for part in surfaces]
        self._defects, self._surfaces = (
            [(part - mean) / std for part, (mean, std) in zip(parts, spread, strict=True)]
            for parts in (defects, surfaces)
        )

    def chances(self, defect):
        """Compute the chance of every surface for the defect with this index: float64 [S]."""
        parts = zip(self._defects, self._surfaces, strict=True)
        distance = np.mean([np.mean((s - d[defect]) ** 2, axis=1) for d, s in parts], axis=0)
        weight = np.exp(-(distance - distance.min()) / self._temperature)
        return weight / weight.sum()

    def draw(self, defect, rng):
        """Draw the index of a surface."""
        chances = self.chances(defect)
        return int(rng.choice(len(chances), p=chances))


def describe(sampler, source):
    """Describe the images of a source: (texture code [N, d], brightness [N, 1], deviation [N, 1]).

    Raises ConfigError where the model has no codes.
    """
    if not sampler.method.codes:
        raise ConfigError(
            f"--surfaces=like: method={sampler.config.method} has no texture codes to compare; use "
            "--surfaces=any"
        )
    found = []
    for start in range(0, len(source), RENDER):
        rows = np.arange(start, min(start + RENDER, len(source)))
        image = pipeline.load_records(sampler.config, source, rows)["image"]
        grey = image.astype(np.float64).reshape(len(rows), -1)
        codes = np.asarray(sampler.codes(image, RENDER)["texture"], np.float64)
        found.append((codes, grey.mean(1, keepdims=True), np.log(1.0 + grey.std(1, keepdims=True))))
    return [np.concatenate(part) for part in zip(*found, strict=True)]


class Limits:
    """Masks of where on a surface a defect may be, one for each surface, by the stem of its name.

    A file is read like other masks: marked is where a defect may be. It has the size of the surface
    and is scaled and cropped with it; a pixel that is forbidden in part is forbidden.
    """

    def __init__(self, directory, source, config):
        """source: of whole surfaces, or crops.FixedWindows of them.

        Raises ConfigError for missing or unfit files.
        """
        self._flag, self._config = f"--limits={directory}", config
        root = pathlib.Path(directory)
        listed = []
        if root.is_dir():
            listed = scan.list_files(root, root, scan.Findings.none()).files
        if not listed:
            raise ConfigError(f"{self._flag} holds no masks; put one there for each surface")
        self._files = {path.stem: path for path in map(pathlib.Path, listed)}
        self._data = config.data.copy_and_resolve_references()
        self._data.mask_values, self._data.mask_invert = "", False
        self._source = source
        # Masks of whole pictures are large, and mostly of few areas.
        self._packed, self._names = {}, []
        for j in range(len(source)):
            name = picture_of(source.id(j))
            self._names.append(name)
            if name not in self._packed:
                forbidden = self._read(name, self._size(j))
                self._packed[name] = zlib.compress(np.packbits(forbidden))

    @property
    def fingerprint(self):
        """16 hexadecimal digits that change with the masks."""
        return hashlib.sha256(b"".join(self._packed.values())).hexdigest()[:16]

    def of_crops(self, surfaces):
        """Stack the limits of surfaces that are fixed crops: uint8 [N, R, R, 1], 0 or 255."""
        res, found = self._config.data.res, []
        for j in surfaces:
            size, (y, x) = self._source.window(j)
            scaled, _ = windows.scaled_size(size, self._config.data)
            found.append(windows.cut(_shrunk(self._whole(j), scaled), y, x, res))
        return np.stack(found)

    def crop(self, surface, corner, side, size):
        """Cut the window at (y, x) of a surface's limit, scaled to (height, width): uint8."""
        return _shrunk(windows.cut(self._whole(surface), *corner, side), size)

    def _size(self, surface):
        """Return the (height, width) of a surface's picture."""
        if self._source.cropped:
            return self._source.window(surface)[0]
        return tuple(int(side) for side in self._source.sizes[surface])

    @functools.lru_cache(maxsize=1)  # noqa: B019, of a large picture, as long as the limits live
    def _whole(self, surface):
        """Unpack where no defect may be: bool [H, W]."""
        size = self._size(surface)
        packed = np.frombuffer(zlib.decompress(self._packed[self._names[surface]]), np.uint8)
        return np.unpackbits(packed, count=size[0] * size[1]).reshape(size).astype(bool)

    def _read(self, name, size):
        """Read where on a surface no defect may be: bool [H, W]."""
        stem, flag = pathlib.PurePath(str(name)).stem, self._flag
        if stem not in self._files:
            raise ConfigError(
                f"{flag} has no mask {stem}.png for the surface {name}"
                f"{nearest(stem, self._files)}; add it, white where a defect may be"
            )
        path = self._files[stem]
        try:
            mask = masks.read_mask(path, self._data)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{flag}: {path.name} is unreadable ({error}); mend it") from error
        if fault := masks.fault(mask, self._data):
            raise ConfigError(f"{flag}: {path.name}: {fault[0]}; save it black and white")
        if mask.codes.shape != size:
            raise ConfigError(
                f"{flag}: {path.name} is {mask.codes.shape[0]}x{mask.codes.shape[1]}, its surface "
                f"{size[0]}x{size[1]}; save it in that size"
            )
        allowed = masks.parts(mask, self._data)[""]
        if not allowed.any():
            raise ConfigError(
                f"{flag}: {path.name} allows no pixel; mark in white where a defect may be"
            )
        return ~allowed


def limited(method):
    """Tell whether a `Method` keeps defects within limits by itself."""
    return bool({"limit", "where"} & set(method.controls))


def check_limits(flag, method, name):
    """Raise ConfigError where a method of this name cannot keep defects within limits."""
    if not limited(method):
        raise ConfigError(f"{flag}: method={name} has no control 'limit' or 'where'; leave it out")


def _shrunk(forbidden, size):
    """Scale where no defect may be, bool [H, W]: uint8 [h, w, 1], 255 where all of a pixel may."""
    marked = np.where(forbidden, np.uint8(255), np.uint8(0))[..., None]
    return 255 - images.resize_mask(marked, size)
