"""From what a person chose to the pictures: hybrid, mask, difference and twin."""

import time
from typing import NamedTuple

import numpy as np

from dtgan import images
from dtgan.annotations import instances
from dtgan.config import ConfigError
from dtgan.data import pipeline, windows
from dtgan.generation import vary
from dtgan.metrics.contrast import contrast
from dtgan.sampling import requests
from dtgan.studio import place
from dtgan.studio.controls import Controls

MASK_THRESHOLD = 0.1  # of the matte, above it is defect; as generate has it
USED = ("image", "mask", "clean")  # of what a model gives


class Wish(NamedTuple):
    """What a person asks for beside pictures; what the method cannot be told is not read.

    move: of the defect, down and right, in sides R of a drawn picture; from the middle of what is
    painted or, where nothing is, from where its own picture shows it. rotate: degrees. limit: uint8
    [H, W, 1] of the surface, 255 where a defect may be; None for anywhere.
    """

    label: int
    move: tuple = (0.0, 0.0)
    scale: float = 1.0
    rotate: float = 0.0
    strength: float = 1.0
    flip: tuple = (False, False)
    limit: np.ndarray | None = None
    number: int = 0  # of the noise
    truncation: float = 1.0
    object_seed: int = 0
    defect_seed: int = 0


class Drawn(NamedTuple):
    """A drawn picture.

    pictures: {"image", "clean", "surface": uint8 [H, W, C], "hard", "soft": [H, W, 1]}, as far as
    the method gives or needs them. variation: vary.Variation of the defect, None without one.
    window: (y, x) of the R x R pixels of the surface that were drawn. contrast: see
    `metrics.contrast`, None without a twin. notes: what a person should know, a line each.
    """

    wish: Wish
    surface: object  # stock.Surface or None
    defect: object  # stock.Defect or None
    pictures: dict
    variation: vary.Variation | None
    window: tuple
    contrast: float | None
    seconds: float
    notes: tuple

    @property
    def change(self):
        """|image - clean| uint8 [H, W, C]; None without a twin."""
        if "clean" not in self.pictures:
            return None
        image, clean = (self.pictures[name].astype(np.int16) for name in ("image", "clean"))
        return np.abs(image - clean).astype(np.uint8)

    @property
    def empty(self):
        """Whether the method gives masks and this one marks no defect."""
        hard = self.pictures.get("hard")
        return hard is not None and np.count_nonzero(hard) < instances.MIN_PIXELS


class Renderer:
    """Draws with one sampling.sampler.Sampler.

    Every request has the same fields and shapes, so that one program, compiled once, draws all.
    """

    def __init__(self, sampler):
        """Raises ConfigError for a run that draws no defects."""
        config, classes = sampler.config, sampler.classes
        requests.check_classes(sampler.method, config.method, classes[1:])
        self.sampler, self.config, self.classes = sampler, config, classes
        self.method, self.controls = sampler.method, Controls.of(sampler.method)
        self._outputs = [name for name in USED if name in self.method.gives]

    @property
    def whole(self):
        """Whether surfaces of any size are kept whole: drawn is a window, the rest stays."""
        return self.method.keeps_surface

    def warm_up(self):
        """Draw once, so that everything is compiled."""
        res, channels = self.config.data.res, self.config.data.channels
        grey = np.full((res, res, channels), 128, np.uint8)
        wish = Wish(label=1)
        request = self._request(wish, grey, self._free(), grey, grey[..., :1], {})
        self._draw(request, wish)

    def find(self, defect):
        """Tell where a stock.Defect has its defect: uint8 [R, R, 1], by the model where unknown.

        None where the method cannot tell. Raises ConfigError where it has to be known.
        """
        if defect.mask is not None:
            return defect.mask
        if self.controls.mask:
            raise ConfigError(
                f"{defect.name}: method={self.config.method} cuts defects out by their masks; "
                "upload one with it, or choose another picture"
            )
        if not (self.method.transfers and "mask" in self.method.gives):
            return None
        wish = Wish(label=1)
        request = self._request(wish, defect.image, self._free(), defect.image, None, {})
        found = self._draw(request, wish)["mask"] > MASK_THRESHOLD
        return np.where(found, np.uint8(255), np.uint8(0))

    def draw(self, surface, defect, wish):
        """Draw what a Wish asks for: Drawn.

        surface, defect: stock.Surface and stock.Defect, None where the method needs none. Raises
        ConfigError, in words for the page, where one is missing.
        """
        start, flags, notes = time.monotonic(), self.controls, []
        if flags.surface and surface is None:
            raise ConfigError("Choose or upload a surface first.")
        if flags.defect and defect is None:
            raise ConfigError("Choose or upload a defect first.")
        surface, defect = surface if flags.surface else None, defect if flags.defect else None
        own = None if defect is None else _known(self.find(defect), defect)
        if own is not None and not own.any():
            notes.append("The model does not find the defect in its own picture.")
        variation, (y, x) = self._arranged(surface, own, wish)
        window, limit = None, self._free()
        if surface is not None:
            window = windows.cut(surface.image, y, x, self.config.data.res)
            if wish.limit is not None:
                limit = windows.cut(wish.limit, y, x, self.config.data.res)
        varied = self._varied(defect, own, variation)
        request = self._request(wish, window, limit, *varied)
        pictures = self._pictures(self._draw(request, wish), window)
        value = self._contrast(pictures)
        if surface is not None:
            pictures = {
                name: self._set_in(surface.image, picture, name, (y, x))
                for name, picture in pictures.items()
            }
        seconds = time.monotonic() - start
        drawn = Drawn(wish, surface, defect, pictures, variation, (y, x), value, seconds, ())
        return drawn._replace(notes=(*notes, *_doubts(drawn)))

    def _arranged(self, surface, own, wish):
        """Choose (vary.Variation of the defect, corner (y, x) of the window on the surface).

        own: mask [R, R, 1] of the defect in its picture; None, as surface, where there is none.
        """
        res, variation = self.config.data.res, None
        centre = target = np.full(2, (res - 1) / 2)
        if own is not None:
            variation = vary.Variation(
                scale=(wish.scale, wish.scale),
                rotate=wish.rotate,
                strength=wish.strength if self.controls.strength else 1.0,
                flip=wish.flip,
            )
            centre = place.middle(vary.warp(own, own, _turn(variation))[1])
        corner = np.zeros(2, int)
        if surface is not None:
            sides = surface.image.shape[:2]
            corner, target = place.window(sides, res, centre, self._aim(wish), wish.move)
        if own is not None:
            shift = tuple(((target - corner - centre) / res).tolist())
            variation = variation._replace(shift=shift)
        return variation, tuple(corner.tolist())

    def _aim(self, wish):
        """Find the middle (y, x) of what is painted; None where nothing is."""
        if not self.controls.limit or wish.limit is None:
            return None
        if not wish.limit.any():
            raise ConfigError("What is painted is too small; paint a larger area.")
        return place.middle(place.largest(wish.limit))

    def _varied(self, defect, own, variation):
        """Apply a variation: (image of the defect, its mask, what the model is told of it).

        A model that moves and scales defects itself does that best.
        """
        if defect is None:
            return None, None, {}
        if not self._moves:
            return *place.moved(defect.image, own, variation), {}
        image, mask = place.moved(defect.image, own, _turn(variation))
        res, scale = self.config.data.res, variation.scale[0]
        # The model scales about the middle of the picture.
        past = (scale - 1.0) * (place.middle(mask) - (res - 1) / 2) / res
        return (
            image,
            mask,
            {"shift": np.float32(variation.shift - past), "scale": np.float32(scale)},
        )

    @property
    def _moves(self):
        """Whether the model can be told how to move and scale a defect."""
        return {"shift", "scale"} <= set(self.method.controls)

    def _request(self, wish, surface, limit, defect, mask, told):
        """Make the request of one row; what the method does not take is left out.

        told: the model's controls "shift" and "scale", {} for neither moved nor scaled.
        """
        method, flags = self.method, self.controls
        batch = {"label": np.array([wish.label])}
        for name, value in (("normal", surface), ("image", defect), ("mask", mask)):
            if value is not None:
                batch[name] = value[None]
        request = requests.of_pairs(method.needs, self.classes, batch)
        if self._moves:
            told = told or {"shift": np.zeros(2, np.float32), "scale": np.float32(1.0)}
            request |= {name: np.asarray(value)[None] for name, value in told.items()}
        for name in ("strength", "truncation", "object_seed", "defect_seed"):
            if getattr(flags, name):
                value = np.asarray(getattr(wish, name), requests.FIELDS[name].dtype)
                request[name] = value[None]
        if flags.limit:
            request |= requests.bounds(method, request, limit[None])
        return request

    def _draw(self, request, wish):
        """Draw one row: {name: float32 [R, R, C]}."""
        seed = pipeline.stream_seed(0, "studio")
        drawn = self.sampler(request, seed, np.array([wish.number]), outputs=self._outputs)
        return {name: array[0] for name, array in drawn.items()}

    def _pictures(self, drawn, window):
        """Convert what was drawn to bytes, beside the window of the surface."""
        found = {"image": images.to_uint8(drawn["image"])}
        if "clean" in drawn:
            found["clean"] = images.to_uint8(drawn["clean"])
        if window is not None:
            found["surface"] = window
        if "mask" in drawn:
            found["hard"] = np.where(drawn["mask"] > MASK_THRESHOLD, np.uint8(255), np.uint8(0))
            found["soft"] = np.round(255.0 * np.clip(drawn["mask"], 0.0, 1.0)).astype(np.uint8)
        return found

    def _contrast(self, pictures):
        """Measure how visible the defect is, where there is a twin to compare with."""
        if "clean" not in pictures:
            return None
        matte = pictures.get("soft", np.full_like(pictures["image"][..., :1], 255))
        return float(contrast(pictures["image"][None], pictures["clean"][None], matte[None])[0])

    def _set_in(self, surface, picture, name, origin):
        """Set a drawn window into the surface; a mask is 0 around it."""
        whole = np.zeros((*surface.shape[:2], 1), np.uint8) if name in ("hard", "soft") else surface
        whole = whole.copy()
        windows.cut(whole, *origin, self.config.data.res)[...] = picture
        return whole

    def _free(self):
        """Make the limit [R, R, 1] that forbids nothing."""
        res = self.config.data.res
        return np.full((res, res, 1), 255, np.uint8)


def _known(own, defect):
    """Return a mask [R, R, 1], empty where it is not known."""
    return np.zeros_like(defect.image[..., :1]) if own is None else own


def _turn(variation):
    """Return the part of a variation that every model is shown: turned and mirrored."""
    return vary.Variation(rotate=variation.rotate, flip=variation.flip)


def _doubts(drawn):
    """Say why a person may see little."""
    if drawn.empty:
        yield "No defect shows here: make it stronger, move it, or paint a larger area."
    elif drawn.contrast is not None and drawn.contrast < 1.0:
        yield "It hardly shows on this surface: make it stronger, or choose another surface."
