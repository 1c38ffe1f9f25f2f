"""Image files, ranges, resizing, pasting and grids of images. NumPy, SciPy and Pillow only.

Everywhere in dtgan an image on the host is uint8 [H, W, C] with C = 1 (grey) or 3 (RGB), and an
image in a network is float32 in [-1, 1].
"""

import contextlib
import functools
import io
import math
import os
import pathlib
import re
import sys
import threading
import warnings
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageFont, ImageOps, features
from scipy import ndimage, sparse

from dtgan.files import write_atomic

RESIZE_FILTER = Image.Resampling.BICUBIC  # Pillow widens its support when shrinking: antialiased
WHITE = 65535  # what becomes 255 of a 16-bit file
MEGAPIXELS = 179.0  # limit of a file; Pillow's own
COMPRESSION = 200.0  # limit of the bytes of pixels to those of their file, of one above _SMALL
_ROWS = 256  # of a picture that are converted at a time
_BANDS = 4  # at most, where they are not known yet
_SMALL = 35.0  # megapixels; an empty mask of a strip has few bytes, and few pixels for a bomb

# The formats that are opened, with the suffixes of their files. Pillow knows others, some of which
# it hands to programs outside. Some of these need a library that Pillow may be built without.
_NEED = {"webp": "WEBP", "jpg_2000": "JPEG2000", "avif": "AVIF"}
FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif"),  # of a telephone
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "TGA": (".tga",),
    "PPM": (".pbm", ".pgm", ".ppm", ".pnm"),
    "WEBP": (".webp",),
    "JPEG2000": (".jp2", ".j2k"),
    "AVIF": (".avif",),
}
for _library, _format in _NEED.items():
    if not features.check(_library):
        del FORMATS[_format]
_OPENED = tuple(name for name in FORMATS if name != "MPO")  # begins as JPEG, is told afterwards
SUFFIXES = tuple(dict.fromkeys(suffix for own in FORMATS.values() for suffix in own))


def to_float(image):
    """Convert uint8 [0, 255] to float in [-1, 1]; works on NumPy and JAX arrays."""
    return image.astype("float32") / 127.5 - 1.0


def to_uint8(image):
    """Convert float in [-1, 1] to uint8, by clip(127.5 x + 128)."""
    return np.clip(np.asarray(image, np.float32) * 127.5 + 128.0, 0.0, 255.0).astype(np.uint8)


def paste(x1, mask, x2):
    """Paste the masked pixels of x1 on x2 (Crop&Paste); works on NumPy and JAX arrays.

    x1, x2: uint8 [..., H, W, C]; mask: uint8 [..., H, W, 1], above 127 is pasted.
    """
    inside = (mask > 127).astype("uint8")
    return x1 * inside + x2 * (1 - inside)


class TooLarge(ValueError):
    """A file with more pixels than are allowed."""


class OutOfRange(ValueError):
    """A file of whole numbers with values that 16 bits without sign do not have."""


class Picture(NamedTuple):
    """A decoded file.

    image: Pillow image of the first page, upright; format: Pillow's name of the type; wide: 16 bits
    a value in the file; pages: how many there are; orientation: EXIF's, 1 where there is none.
    """

    image: Image.Image
    format: str
    wide: bool
    pages: int
    orientation: int

    @property
    def narrowed(self):
        """Whether Pillow kept only the upper 8 of 16 bits, as it does in colour."""
        return self.wide and not self.image.mode.startswith("I")


def decode(path, max_megapixels=MEGAPIXELS, max_compression=COMPRESSION):
    """Decode the first page of a file and turn it as its EXIF orientation says: a Picture.

    The content decides how it is read, whatever the file's name. Raises TooLarge for one of more
    pixels, or of many and strangely few bytes, before it is decoded, and what Pillow raises
    (OSError, ValueError and others) where the file is of none of FORMATS or cannot be decoded.
    """
    size = _size(path)
    # Beyond it a file is refused whatever its pixels are; of those below, some are.
    largest = min(max_megapixels, max(_SMALL, size * max_compression / 1e6))
    limits = max_megapixels, max_compression
    with _LIMIT(largest), _opened(path, size, largest, *limits) as file:
        megapixels = file.width * file.height / 1e6
        if megapixels > max_megapixels:
            raise _too_large(megapixels, max_megapixels)
        times = file.width * file.height * len(file.getbands()) / max(size, 1)
        if megapixels > _SMALL and times >= max_compression:
            raise _too_compressed(times, max_compression)
        # The second image of an MPO, a JPEG of a telephone, is a preview of the first.
        pages = 1 if file.format == "MPO" else getattr(file, "n_frames", 1)
        # Pillow narrows 16-bit colour while decoding: only the raw mode, gone afterwards, tells.
        wide = file.mode.startswith("I") or any(";16" in str(tile[3]) for tile in file.tile)
        orientation = _orientation(file)
        file.load()
        if orientation != 1:
            ImageOps.exif_transpose(file, in_place=True)
        return Picture(file, file.format, wide, pages, orientation)


def _opened(path, size, largest, max_megapixels, max_compression):
    """Open a file of FORMATS. Raises TooLarge where opening alone would take too much memory."""
    pixels = _webp_pixels(path)
    try:
        if pixels <= largest * 1e6:
            return Image.open(path, formats=_OPENED)
    except Image.DecompressionBombError as error:  # names the pixels first
        pixels = int(re.search(r"\d+", str(error))[0])
    if pixels > max_megapixels * 1e6:
        raise _too_large(pixels / 1e6, max_megapixels)
    raise _too_compressed(_BANDS * pixels / max(size, 1), max_compression)


def _webp_pixels(path):
    """Read the pixels that the head of a WebP file announces; 0 for other files.

    Pillow before 13 gives its decoder memory for all of them before it looks at their number.
    """
    if isinstance(path, io.BytesIO):
        head = bytes(path.getbuffer()[:30])
    else:
        with open(path, "rb") as file:
            head = file.read(30)
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return 0
    number = functools.partial(int.from_bytes, byteorder="little")
    if head[12:16] == b"VP8X":
        return (number(head[24:27]) + 1) * (number(head[27:30]) + 1)
    if head[12:16] == b"VP8L":
        sides = number(head[21:25])
        return ((sides & 0x3FFF) + 1) * ((sides >> 14 & 0x3FFF) + 1)
    return (number(head[26:28]) & 0x3FFF) * (number(head[28:30]) & 0x3FFF)


def _too_large(megapixels, limit):
    digits = 1 if megapixels > 1 else 1000
    number = f"{math.ceil(megapixels * digits) / digits:g}"  # enough as a new limit
    return TooLarge(
        f"{number} megapixels, above data.max_megapixels={limit:g}; raise it "
        f"(--config.data.max_megapixels={number}; of generate and studio "
        f"--max_megapixels={number}) if the file is as it should be"
    )


def _too_compressed(times, limit):
    return TooLarge(
        f"its pixels take up to {times:.0f} times the bytes of the file, above "
        f"data.max_compression={limit:g}; raise it (--config.data.max_compression="
        f"{math.ceil(times) + 1}) if the file is as it should be"
    )


def _size(path):
    return len(path.getbuffer()) if isinstance(path, io.BytesIO) else os.path.getsize(path)


def _orientation(file):
    """Read the EXIF orientation, 1 to 8; 1, upright, where there is none or it cannot be read."""
    try:
        found = file.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF data raise errors of any type; viewers ignore them as well
        return 1
    return found if found in range(1, 9) else 1


class _Limit:
    """Moves Pillow's global limit of pixels to `decode`'s own while any thread is inside.

    Pillow refuses twice MAX_IMAGE_PIXELS as a file is opened, before a decoder of WebP takes memory
    for all of them. Threads share the largest limit of theirs.
    """

    def __init__(self):
        self._lock, self._inside = threading.Lock(), 0

    @contextlib.contextmanager
    def __call__(self, max_megapixels):
        with self._lock:
            if not self._inside:
                self._own, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, 1
            self._inside += 1
            limit = max(1, math.ceil(min(max_megapixels * 1e6 / 2, sys.maxsize)))  # may be inf
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, limit)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    Image.MAX_IMAGE_PIXELS = self._own


_LIMIT = _Limit()
# Of pictures of half the limit, which are fine.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def to_array(picture, channels=None, white=WHITE):
    """Convert a Picture to uint8 [H, W, C]; transparency is dropped.

    channels: 1 or 3 to convert, None to keep what the file has. white: the value of a 16-bit grey
    file that becomes 255, with all above it. Raises ValueError for floating-point images,
    OutOfRange where a value is not in 0..WHITE.
    """
    image = picture.image
    if image.mode == "F":
        raise ValueError("floating-point images are not supported; convert to 8 or 16 bit")
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.size and wide.min() < 0:
            raise OutOfRange("a value is below 0; convert it to 16 bit without sign")
        if wide.size and wide.max() > WHITE:
            raise OutOfRange(f"{wide.max()}, above {WHITE}; convert it to 16 bit")
        image = Image.fromarray(_narrowed(wide, white))
    grey = image.mode in ("L", "1", "LA")
    target = {1: "L", 3: "RGB", None: "L" if grey else "RGB"}[channels]
    array = np.asarray(image if image.mode == target else image.convert(target), np.uint8)
    return array[..., None] if array.ndim == 2 else array


def _narrowed(wide, white):
    """Convert whole numbers [H, W] in 0..WHITE to uint8, some rows at a time.

    NumPy indexes by 8 bytes a pixel.
    """
    narrow = np.empty(wide.shape, np.uint8)
    for y in range(0, len(wide), _ROWS):
        narrow[y : y + _ROWS] = _narrow(white)[wide[y : y + _ROWS]]
    return narrow


@functools.lru_cache(maxsize=8)
def _narrow(white):
    """Tabulate uint8 [65536]: round(255 value / white), at most 255."""
    values = np.arange(65536, dtype=np.int64)
    return np.minimum((510 * values + white) // (2 * white), 255).astype(np.uint8)


def read_image(
    path, channels=None, white=WHITE, max_megapixels=MEGAPIXELS, max_compression=COMPRESSION
):
    """Read an image file, 8 or 16 bit, grey or colour, upright, as uint8 [H, W, C].

    See `decode` and `to_array` for the arguments and for what is raised.
    """
    return to_array(decode(path, max_megapixels, max_compression), channels, white)


def write_image(path, image, wait=True):
    """Write uint8 [H, W, C] (C = 1 or 3) or a Pillow image; the suffix names the format. Atomic.

    wait: for the disk, as of `files.write_atomic`.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = image if isinstance(image, Image.Image) else as_pillow(image)
    kind = Image.registered_extensions()[path.suffix.lower()]
    write_atomic(path, lambda file: picture.save(file, format=kind), wait)


def as_pillow(image):
    """Convert uint8 [H, W, C] to a Pillow image of mode L or RGB."""
    image = np.asarray(image, np.uint8)
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def resize(image, size):
    """Resize uint8 [H, W, C] to `size` = (height, width) with the package's one filter."""
    if image.shape[:2] == tuple(size):
        return image
    array = np.asarray(as_pillow(image).resize((size[1], size[0]), RESIZE_FILTER), np.uint8)
    return array[..., None] if array.ndim == 2 else array


def resize_mask(mask, size):
    """Resize a mask [H, W, 1], above 127 is defect, to {0, 255} of `size` = (height, width).

    A pixel is marked where the defect covers half of it, and, so that thin defects stay, where it
    touches it and no pixel around is marked. So no pixel is marked that the defect does not touch,
    every touched pixel is marked or next to a marked one, and a mask never gets empty.
    """
    inside = mask[..., 0] > 127
    if inside.shape == tuple(size):
        return np.where(inside, np.uint8(255), np.uint8(0))[..., None]
    covered = _covered(inside, size)
    half = covered >= 0.5
    thin = (covered > 0) & ~ndimage.binary_dilation(half, np.ones((3, 3), bool))
    return np.where(half | thin, np.uint8(255), np.uint8(0))[..., None]


def _covered(inside, size):
    """Compute the share of a bool [H, W] that each of `size` = (height, width) equal cells has."""
    marked = [np.flatnonzero(inside.any(1 - axis)) for axis in (0, 1)]
    if not len(marked[0]):
        return np.zeros(size)
    # What lies outside of the marked rows and columns needs no memory: masks are mostly empty.
    box = [(int(lines[0]), int(lines[-1]) + 1) for lines in marked]
    cells = [_cells(*args) for args in zip(inside.shape, size, box, strict=True)]
    (rows, high), (columns, wide) = cells
    part = inside[slice(*box[0]), slice(*box[1])]
    return (rows @ part.view(np.uint8)) @ columns.T / np.multiply.outer(high, wide)


def _cells(side, size, kept):
    """Assign the pixels kept = (start, stop) of a side to `size` equal cells, by their middles.

    Where there are more cells than pixels, each takes the pixel in its middle. Returns (a sparse
    matrix [size, stop - start] of ones, the number of pixels of each cell).
    """
    if size >= side:
        cell, pixel = np.arange(size), (np.arange(size) * 2 + 1) * side // (2 * size)
    else:
        cell, pixel = (np.arange(side) * 2 + 1) * size // (2 * side), np.arange(side)
    inside = (pixel >= kept[0]) & (pixel < kept[1])
    at = cell[inside], pixel[inside] - kept[0]
    shape = size, kept[1] - kept[0]
    return sparse.csr_array((np.ones(len(at[0]), np.float32), at), shape=shape), np.bincount(cell)


def tile(images, columns=None, pad=2, value=255):
    """Arrange uint8 images [N, H, W, C] (or a list of equal shapes) row by row in one image."""
    images = np.asarray(images, np.uint8)
    n, h, w, c = images.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    sheet = np.full((rows * (h + pad) + pad, columns * (w + pad) + pad, c), value, np.uint8)
    for i, image in enumerate(images):
        y, x = pad + (i // columns) * (h + pad), pad + (i % columns) * (w + pad)
        sheet[y : y + h, x : x + w] = image
    return sheet


def with_header(sheet, titles, pad=2, size=12):
    """Put one title above each of len(titles) equal columns of a sheet made by `tile`."""
    strip = Image.new("L", (sheet.shape[1], size + 6), 255)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(size)
    step = (sheet.shape[1] - pad) / len(titles)
    for i, title in enumerate(titles):
        x = pad + (i + 0.5) * step - draw.textlength(title, font) / 2
        draw.text((x, 2), title, 0, font)
    band = np.repeat(np.asarray(strip, np.uint8)[..., None], sheet.shape[-1], axis=-1)
    return np.concatenate([band, sheet], axis=0)
