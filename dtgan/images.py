"""Image files, ranges, resizing, pasting and grids of images. NumPy, SciPy and Pillow only.

Everywhere in dtgan an image on the host is uint8 [H, W, C] with C = 1 (grey) or 3 (RGB), and an
image in a network is float32 in [-1, 1].
"""

import io
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from dtgan.files import write_atomic

RESIZE_FILTER = Image.Resampling.BICUBIC  # Pillow widens its support when shrinking: antialiased
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


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


def read_image(path, channels=None):
    """Read a PNG/JPEG/BMP/TIFF file, 8 or 16 bit, grey or colour, as uint8 [H, W, C].

    16-bit data is scaled by its full range (65535 -> 255). Transparency is dropped.
    `channels`: 1 or 3 to convert, None to keep what the file has.
    Raises OSError or ValueError (from Pillow) where the file cannot be decoded.
    """
    with Image.open(path) as file:
        file.load()
        if file.mode.startswith("I") or file.mode == "F":
            wide = np.asarray(file, np.float64)
            if file.mode == "F":
                raise ValueError("floating-point images are not supported; convert to 8 or 16 bit")
            image = Image.fromarray(np.clip(wide / 257.0 + 0.5, 0, 255).astype(np.uint8))
        else:
            image = file
        grey = image.mode in ("L", "1", "LA")
        target = {1: "L", 3: "RGB", None: "L" if grey else "RGB"}[channels]
        array = np.asarray(image.convert(target), np.uint8)
    return array[..., None] if array.ndim == 2 else array


def write_image(path, image):
    """Write uint8 [H, W, C] (C = 1 or 3) to `path`; the suffix names the format. Atomic."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()
    as_pillow(image).save(encoded, format=Image.registered_extensions()[path.suffix.lower()])
    write_atomic(path, encoded.getvalue())


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
    covered = _share(_share(inside.astype(np.float32), size[0]).T, size[1]).T
    half = covered >= 0.5
    thin = (covered > 0) & ~ndimage.binary_dilation(half, np.ones((3, 3), bool))
    return np.where(half | thin, np.uint8(255), np.uint8(0))[..., None]


def _share(values, size):
    """Average the rows of [H, W] over `size` equal parts; a row is of the part with its middle."""
    height = len(values)
    if size >= height:
        return values[(np.arange(size) * 2 + 1) * height // (2 * size)]
    part = (np.arange(height) * 2 + 1) * size // (2 * height)
    starts = np.searchsorted(part, np.arange(size))
    return np.add.reduceat(values, starts, axis=0) / np.bincount(part)[:, None]


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
