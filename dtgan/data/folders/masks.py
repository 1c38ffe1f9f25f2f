"""Masks of defects, judged by the values in their files.

A mask's code at a pixel is its grey level, its palette index, its alpha where the colour says
nothing, or its colour 0xrrggbb. Code 0 is background; what else there is decides how it is read:

one other value      all of it is the defect, be it 1, 255 or 65535
soft edges           above half of the greatest value is the defect
levels, colours      kinds of defect, which data.mask_values has to name
JPEG and its like    above 127 is the defect, since compression changes values
"""

import functools
import shlex
from typing import NamedTuple

import numpy as np

from dtgan import images
from dtgan.config import NORMAL, ConfigError
from dtgan.data.names import check_names

_LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF")
_FEW = 8  # values that a mask without soft edges has at most
_PLATEAU = 0.25  # of a level's pixels, those inside a 3x3 neighbourhood of it
_SHARE = 0.01  # of the pixels that are not 0: of a level beside soft edges
_TAIL = 1 / 8  # of the greatest value: next to 0 and to it, soft edges run flat
_COMMON = 0.2  # of all pixels: a picture has no value as common as that
_DARK = 0.05  # of all pixels: nor so much background
_NOISE = 16  # of the values of a lossy mask
_LOSSY_SHARE = 0.05  # of the pixels that a lossy mask marks: of a level
_HUE = 0.25  # difference of colours scaled to a greatest part of 1: shades of one differ less
_LISTED = 6  # values in a message


class Mask(NamedTuple):
    """A decoded mask: codes, integers [H, W], whether they are colours, and whether inexact."""

    codes: np.ndarray
    colour: bool = False
    lossy: bool = False

    @property
    def strength(self):
        """How strongly a pixel is marked, [H, W]: its grey level or greatest colour part."""
        return _brightest(self.codes) if self.colour else self.codes


class Kinds(NamedTuple):
    """The parsed field data.mask_values: {code: class name}, and whether codes are colours."""

    names: dict
    colour: bool

    @property
    def classes(self):
        """Names of the defect classes, each once, in the order of the field."""
        return tuple(dict.fromkeys(name for name in self.names.values() if name != NORMAL))


@functools.lru_cache(maxsize=8)
def parse_kinds(text):
    """Parse "100:scratch,200:stain" or "#ff0000:scratch" to Kinds; None for an empty text.

    A value named `normal` is background. Raises ConfigError for another text.
    """
    if not text:
        return None
    names, colours = {}, set()
    for item in text.split(","):
        value, _, name = (part.strip() for part in item.partition(":"))
        colour = value.startswith("#")
        try:
            code = int(value[1:], 16) if colour and len(value) == 7 else int(value)
        except ValueError:
            code = -1
        if code < 0 or not name or "/" in name:
            raise ConfigError(
                f"data.mask_values={text!r}: {item.strip()!r} is not VALUE:CLASS; write numbers, "
                "100:scratch,200:stain, or colours, #ff0000:scratch,#00ff00:stain"
            )
        if code in names:
            raise ConfigError(f"data.mask_values={text!r} names the value {value} twice")
        names[code] = name
        colours.add(colour)
    if len(colours) > 1:
        raise ConfigError(
            f"data.mask_values={text!r} mixes numbers and colours; write all of one kind, the "
            "number 255 as #ffffff"
        )
    kinds = Kinds(names, colours.pop())
    if not kinds.classes:
        raise ConfigError(f"data.mask_values={text!r} names no defect; write 255:scratch")
    return kinds


def check_fields(data):
    """Raise ConfigError for fields of `data` (config.data) about masks that cannot work."""
    kinds = parse_kinds(data.mask_values)
    if kinds:
        check_names(kinds.classes, f"data.mask_values={data.mask_values!r}")
    for name in ("mask_values", "mask_invert"):
        if data[name] and data.source in ("coco", "yolo", "csv"):
            raise ConfigError(
                f"data.{name}={data[name]!r} is for files of masks, and data.source={data.source} "
                "has none; leave it out"
            )
    if kinds and data.mask_invert:
        raise ConfigError(
            "data.mask_invert=True does not go with data.mask_values; leave it out, and name the "
            f"value of the background {NORMAL}, as in 255:{NORMAL},0:scratch"
        )


def read_mask(path, data):
    """Read the codes of a mask file as a Mask; `data` is config.data.

    Colours are read as such where the file or data.mask_values has any. Raises what
    `images.decode` raises.
    """
    picture = images.decode(path, data.max_megapixels, data.max_compression)
    kinds = parse_kinds(data.mask_values)
    image, lossy = picture.image, picture.format in _LOSSY or _lossy_webp(picture.format, path)
    if image.mode == "F":
        raise ValueError("floating-point masks are not supported; convert to 8 or 16 bit")
    if kinds and kinds.colour:
        return Mask(_code(_seen(image)[0]), True, lossy)
    plain = image.mode in ("1", "L") or image.mode.startswith("I")
    if plain or (image.mode == "P" and (kinds or not _by_colour(image))):
        return Mask(np.asarray(image) + np.uint8(0), False, lossy)  # of mode 1: bool
    colours, alpha = _seen(image)
    if picture.narrowed and not colours.any():
        raise ValueError("16-bit colour is read by its upper 8 bits, all 0; convert it to 8 bit")
    if alpha is not None:
        return Mask(alpha, False, lossy)
    if (colours == colours[..., :1]).all():
        return Mask(np.ascontiguousarray(colours[..., 0]), False, lossy)
    return Mask(_code(colours), True, lossy)


def parts(mask, data):
    """Divide a Mask into {class name: bool [H, W]}, the classes of data.mask_values present in it.

    Without that field it is {"": where the defect is}.
    """
    kinds = parse_kinds(data.mask_values)
    if not kinds:
        limit = 127 if mask.lossy else int(mask.strength.max()) // 2
        marked = mask.strength > limit
        return {"": ~marked if data.mask_invert else marked}
    found = {}
    for code, name in kinds.names.items():
        marked = mask.codes == code
        if name != NORMAL and marked.any():
            found[name] = found.get(name, False) | marked
    return found


def fault(mask, data):
    """Tell why a Mask cannot be read as `parts` does: (reason, detail), or None where it can."""
    kinds = parse_kinds(data.mask_values)
    if kinds:
        return _unmapped(mask, kinds)
    if mask.lossy:
        greatest = int(mask.strength.max())
        if 0 < greatest <= 127 and not data.mask_invert:
            detail = f"its greatest value is {greatest}, and only above 127 is a defect, since "
            return "wrong mask values", detail + "lossy compression changes values; save it as PNG"
        return _lossy_level(mask.strength)
    if not mask.codes.any() or only_value(mask):
        return None
    codes, counts = _values(mask.codes)
    if len(codes) > _FEW and _is_picture(mask, counts):
        detail = f"{len(codes)} values and hardly any background"
        return "no mask but a picture", detail + "; take it out, or mark the defect with one value"
    levels = _levels(mask, codes, counts)
    if levels.sum() < 2:
        return None
    listed = _listed(codes[levels], counts[levels], mask.colour)
    detail = f"{listed}; name what each is, {NORMAL} for background: "
    texts = [format_code(code, mask.colour) for code in codes[levels].tolist()]
    return "several values", detail + suggest(texts[:_LISTED])


def suggest(texts):
    """Write the flag that names the kinds of some values, to be filled in."""
    named = ",".join(f"{text}:NAME" for text in texts)
    return f"--config.data.mask_values={shlex.quote(named)}"


def only_value(mask):
    """Return the one value beside 0 of a Mask as text; "" where there are several or none."""
    greatest = mask.codes.max()
    only = np.count_nonzero(mask.codes == greatest) == np.count_nonzero(mask.codes)
    return format_code(int(greatest), mask.colour) if greatest and only and not mask.lossy else ""


def format_code(code, colour):
    """Format a code as data.mask_values has it: 100 or #rrggbb."""
    return f"#{code:06x}" if colour else str(code)


def _unmapped(mask, kinds):
    """Find the fault of a mask with values that data.mask_values does not name, or of a JPEG."""
    if mask.lossy:
        detail = "lossy compression changes the values that data.mask_values names"
        return "lossy mask", detail + "; save it as PNG"
    codes, counts = _values(mask.codes)
    known = kinds.names if kinds.colour == mask.colour else ()
    unnamed = np.asarray([code not in known for code in codes.tolist()], bool)
    if not unnamed.any():
        return None
    listed = _listed(codes[unnamed], counts[unnamed], mask.colour)
    remedy = f"name them in data.mask_values, as {NORMAL} what is no defect"
    if unnamed.sum() > _FEW:
        remedy = "soft edges mix the values: save masks of several kinds without"
    return "unnamed mask values", f"{listed}; {remedy}"


def _levels(mask, codes, counts):
    """Mark the codes that are levels or colours in their own right: bool, as long as `codes`.

    A level fills areas: a quarter of its pixels have it all round them. Soft edges are narrow.
    Where there are more values than _FEW there are soft edges; then a level also has a share of
    _SHARE, and is not next to 0 or to the greatest value, where wide edges run flat.
    """
    few = len(codes) <= _FEW
    shares = counts / counts.sum()
    if mask.colour:
        rgb = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1) / 255
        hues = rgb / rgb.max(-1, keepdims=True)
        other = np.abs(hues - hues[counts.argmax()]).max(-1) > _HUE
        if other.any() and (few or shares[other].sum() > _SHARE):
            listed = shares > _SHARE
            listed[[counts.argmax(), np.where(other, counts, 0).argmax()]] = True
            return listed
    strength = _brightest(codes) if mask.colour else codes
    greatest = strength.max()
    inner = dict(zip(*_values(np.where(_flat(mask.codes), mask.codes, 0)), strict=True))
    filled = np.asarray([inner.get(code, 0) for code in codes.tolist()])
    level = (strength < greatest) & (filled > 0) & (filled >= _PLATEAU * counts)
    if not few:
        level &= (strength > _TAIL * greatest) & (strength < (1 - _TAIL) * greatest)
        level &= filled >= _SHARE * counts.sum()
    return level | (strength == greatest)


def _lossy_level(strength):
    """Find the fault of a lossy mask with areas of one value that is neither 0 nor above 127.

    Such an area is flat but for _NOISE; its values are most of the flat ones in between, which
    those of wide soft edges are not.
    """
    between = (strength > 2 * _NOISE) & (strength <= 127)
    flat = strength[between & _flat(strength, _NOISE)]
    marked = np.count_nonzero(strength > 2 * _NOISE)
    if len(flat) <= _LOSSY_SHARE * marked:
        return None
    middle = int(np.median(flat))
    if np.mean(np.abs(flat.astype(int) - middle) <= _NOISE) < 0.5:
        return None
    detail = f"about {middle} in {len(flat)} pixels, beside others above 127, which alone are a"
    return "several values", f"{detail} defect; save it as PNG, each kind with its own value"


def _listed(codes, counts, colour):
    """Format values with their numbers of pixels, the most frequent first."""
    order = np.argsort(-counts, kind="stable")[:_LISTED]
    listed = [f"{format_code(int(codes[i]), colour)} ({counts[i]} pixels)" for i in order]
    more = f" and {len(codes) - _LISTED} more" if len(codes) > _LISTED else ""
    return ", ".join(listed) + more


def _is_picture(mask, counts):
    """Tell whether a file is no mask, but a picture: no common value, no background.

    counts: of pixels of every value but 0.
    """
    commonest = max(counts.max(), mask.codes.size - counts.sum()) / mask.codes.size
    return commonest < _COMMON and np.mean(mask.strength <= _TAIL * mask.strength.max()) < _DARK


def _flat(codes, noise=0):
    """Mark the pixels whose 3x3 neighbourhood, as far as it is in the image, has one value.

    noise: by how much values may differ all the same.
    """
    from scipy import ndimage  # slow to import, and needed for masks of several values alone

    least = ndimage.minimum_filter(codes, 3, mode="nearest")
    return ndimage.maximum_filter(codes, 3, mode="nearest") - least <= noise


def _values(codes):
    """List (codes other than 0, their numbers of pixels), ascending."""
    if codes.min() >= 0 and codes.max() < 65536:  # counting is much faster than sorting
        counts = np.bincount(codes.ravel())
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(codes, return_counts=True)
    return values[values != 0], counts[values != 0]


def _seen(image):
    """Read (colours int32 [H, W, 3] with 0 where transparent, alpha or None).

    alpha: int32 [H, W] where it is what marks the defect: it varies, and what is seen has one
    colour, or so many that they are those of a picture.
    """
    if "A" not in image.getbands() and "transparency" not in image.info:
        return np.asarray(image.convert("RGB")).astype(np.int32), None
    colours = np.asarray(image.convert("RGBA")).astype(np.int32)
    colours, alpha = colours[..., :3], colours[..., 3]
    if (alpha == alpha[0, 0]).all():
        return colours, None
    number = len(np.unique(_code(colours[alpha > 0])))
    marks = number == 1 or number > _FEW
    return np.where(alpha[..., None] > 0, colours, 0), alpha if marks else None


def _by_colour(image):
    """Tell whether the palette, not the index, says what is background.

    So it is where a colour is transparent, or where black is used and is not that of index 0.
    """
    if "transparency" in image.info:
        return True
    return any(image.getpalette()[:3]) and not np.asarray(image.convert("RGB")).any(-1).all()


def _lossy_webp(kind, path):
    """Tell whether a WebP file is lossy: the chunk VP8L, near the start, holds lossless data."""
    if kind != "WEBP":
        return False
    with open(path, "rb") as file:
        return b"VP8L" not in file.read(64)


def _code(colours):
    """Code colours int32 [..., 3] as 0xrrggbb."""
    return colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]


def _brightest(codes):
    """Return the greatest part of the colours of codes."""
    return np.maximum(np.maximum(codes >> 16, codes >> 8 & 255), codes & 255)
