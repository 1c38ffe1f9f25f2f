"""Which surface a defect is drawn on, and where on it a defect may be."""

import hashlib
import pathlib

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

    def __init__(self, directory, source, config, method):
        """source: pipeline.FixedWindows of the surfaces.

        Raises ConfigError for a model without the control, and for missing or unfit files.
        """
        flag, self._config = f"--limits={directory}", config
        if not {"limit", "where"} & set(method.controls):
            raise ConfigError(
                f"{flag}: method={config.method} has no control 'limit' or 'where'; leave it out"
            )
        root = pathlib.Path(directory)
        listed = []
        if root.is_dir():
            listed = scan.list_files(root, root, scan.Findings.none()).files
        if not listed:
            raise ConfigError(f"{flag} holds no masks; put one there for each surface")
        self._files = {path.stem: path for path in map(pathlib.Path, listed)}
        self._data = config.data.copy_and_resolve_references()
        self._data.mask_values, self._data.mask_invert = "", False
        self._masks = {}
        for j in range(len(source)):
            self._masks[j] = self._read(source, j, flag)

    @property
    def fingerprint(self):
        """16 hexadecimal digits that change with the masks."""
        joined = b"".join(self._masks[j].tobytes() for j in sorted(self._masks))
        return hashlib.sha256(joined).hexdigest()[:16]

    def __getitem__(self, surfaces):
        """Stack the limits of surfaces: uint8 [N, R, R, 1], 0 where no defect may be."""
        return np.stack([self._masks[j] for j in surfaces])

    def _read(self, source, j, flag):
        size, (y, x) = source.window(j)
        stem = pathlib.PurePath(picture_of(str(source[j]["id"]))).stem
        if stem not in self._files:
            raise ConfigError(
                f"{flag} has no mask {stem}.png for the surface {source[j]['id']}"
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
        forbidden = np.where(masks.parts(mask, self._data)[""], np.uint8(0), np.uint8(255))
        scaled, _ = windows.scaled_size(size, self._config.data)
        forbidden = images.resize_mask(forbidden[..., None], scaled)
        return 255 - windows.cut(forbidden, y, x, self._config.data.res)
