"""Pictures of a page: as data URIs, cut out of sheets, with the outlines of their masks."""

import base64
import io

import numpy as np
from scipy import ndimage

from dtgan import images

SMALL = 100_000  # bytes, up to which a picture is kept as it is, as PNG
QUALITY = 88  # of JPEG, for larger ones
OUTLINE = (225, 29, 72)  # of masks, red
THUMBNAIL = 192  # pixels: twice what a page shows, for sharp screens
LEAST = 128  # pixels of a side to draw an outline on


def uri(image):
    """Encode uint8 [H, W, C] as a data URI: PNG, or JPEG where that would be large."""
    picture, file = images.as_pillow(image), io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    kind = "png"
    if file.tell() > SMALL:
        file, kind = io.BytesIO(), "jpeg"
        picture.save(file, "JPEG", quality=QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def thumbnail(image):
    """Encode a picture that is shown small, of THUMBNAIL pixels a side at most, as a data URI."""
    largest = max(image.shape[:2])
    if largest > THUMBNAIL:
        image = images.resize(image, [max(1, n * THUMBNAIL // largest) for n in image.shape[:2]])
    return uri(image)


def read(path):
    """Read a picture of a run as uint8 [H, W, C]; None where it is none, or too large."""
    try:
        return images.read_image(path)
    except Exception:  # as `images.decode` raises: of any type for a file that is no picture
        return None


def cells(sheet, side, columns, pad=2):
    """Cut a sheet of `images.tile` into rows of pictures, uint8 [rows, columns, side, side, C]."""
    step = side + pad
    rows = (sheet.shape[0] - pad) // step
    if rows < 1 or sheet.shape[1] != columns * step + pad:
        raise ValueError(f"a sheet of {sheet.shape[:2]} holds no {columns} columns of {side} px")
    grid = sheet[pad : pad + rows * step, pad:].reshape(rows, step, columns, step, -1)
    return grid[:, :side, :, :side].swapaxes(1, 2)


def outlined(image, mask):
    """Draw the outline of a mask [H, W, 1], above 127 is defect, in red: uint8 [h, w, 3].

    Small pictures are enlarged, so that the outline lies beside the defect and not on it.
    """
    times = max(1, -(-LEAST // image.shape[0]))
    rgb = np.broadcast_to(image, (*image.shape[:2], 3)).repeat(times, 0).repeat(times, 1)
    inside = (mask[..., 0] > 127).repeat(times, 0).repeat(times, 1)
    edge = ndimage.binary_dilation(inside) & ~inside
    return np.where(edge[..., None], np.uint8(OUTLINE), rgb)


def thinned(entries, most):
    """Keep `most` of a list, evenly, the first and the last among them."""
    if len(entries) <= most:
        return list(entries)
    return [entries[round(k * (len(entries) - 1) / (most - 1))] for k in range(most)]
