"""Examination of the files of a set: each decoded once, its faults, its size and its digests."""

import collections
import dataclasses
import functools
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import UnidentifiedImageError

from dtgan import images
from dtgan.config import NORMAL
from dtgan.data import windows
from dtgan.data.folders import masks as masks_lib
from dtgan.data.folders.scan import Finding, Findings, relative
from dtgan.data.folders.shapes import Annotated, Marked
from dtgan.progress import each

_BITS = (8, 10, 12, 14, 16)  # of cameras
_LISTED = 6  # values in a message
_ROWS = 256  # of a picture that are turned at a time: a strip's pixels are large
ENLARGED = 16e6  # pixels of an enlarged picture at most
_THREADS = 8  # at most
_LARGE = 4e6  # bytes of a file


def examine_all(root, entries, data):
    """Decode all files of a set: (records with contents, Findings).

    `data` is config.data, which says how they are read. Findings are of each file, and of what
    shows in all of them together alone.
    """
    own = functools.partial(examine, root, data=data)
    with ThreadPoolExecutor(min(os.cpu_count(), _THREADS)) as pool:
        # Large pictures one at a time and in this thread, whose memory the program goes on with.
        waiting = [None if _is_large(entry) else pool.submit(own, entry) for entry in entries]
        results = (f.result() if f else own(e) for f, e in zip(waiting, entries, strict=True))
        results = list(each(results, "reading", "files", len(entries)))
    records, found = [], Findings.none()
    has_masks = any(entry.mask and not entry.boxed for entry in entries)
    for entry, (own, errors, warnings) in zip(entries, results, strict=True):
        records += own
        found.errors.extend(errors)
        found.warnings.extend(warnings)
        if has_masks and entry.class_name != NORMAL and not entry.mask:
            detail = "reads has_mask=False"
            found.warnings.append(Finding(relative(root, entry.image), "no mask", detail))
    for check in (_check_range, _check_mask_values, _check_mask_area):
        found.warnings.extend(check(records, data))
    found.errors.extend(_check_empty(root, entries, records, found))
    return records, found


def _is_large(entry):
    """Tell whether the file of an entry is large; not where it cannot be looked at."""
    try:
        return entry.image.stat().st_size > _LARGE
    except OSError:
        return False


def examine(root, entry, data):
    """Decode one image and its mask: (records with contents, errors, warnings).

    `data` is config.data. There is one record, or with data.mask_values one for each class in the
    mask; none where there are errors. A mask without any defect is a missing label, so the record
    drops it, with a warning.
    """
    found = Findings.none()
    measured = _picture(root, entry, data, found)
    if not measured:
        return [], *found
    record, orientation = measured
    records = [record]
    if entry.mask is not None:
        records = _masked(root, record, orientation, data, found)
    return [] if found.errors else records, *found


def _picture(root, entry, data, found):
    """Decode the image of an entry: (its record, its EXIF orientation), None where it does not."""
    name = relative(root, entry.image)
    decoded = open_picture(root, entry.image, data, found)
    if not decoded:
        return None
    picture, pixels = decoded
    if min(pixels.shape[:2]) < 2:
        detail = f"{pixels.shape[1]}x{pixels.shape[0]} pixels"
        found.errors.append(Finding(name, "zero area", detail))
    if entry.image.suffix.lower() not in images.FORMATS[picture.format]:
        detail = f"holds {picture.format}, which its name does not say; rename it"
        found.warnings.append(Finding(name, "other format", detail))
    if picture.pages > 1:
        detail = f"{picture.pages} of them, of which the first is read; save each as its own file"
        found.warnings.append(Finding(name, "several pages", detail))
    record = _measured(entry, picture, pixels)
    _check_white(name, picture, record.greatest, data.range, found)
    return record, picture.orientation


def open_picture(root, path, data, found):
    """Decode an image file: (images.Picture, its pixels uint8 [H, W, C]), C as in the file.

    data: config.data. None, with an error in the Findings `found`, where the file is no picture, or
    too large.
    """
    return _attempt(root, path, found, _read, data)


def _read(path, data):
    """Decode an image file: (images.Picture, its pixels uint8 [H, W, C])."""
    picture = images.decode(path, data.max_megapixels, data.max_compression)
    _check_enlarged(picture.image.size, data)
    return picture, images.to_array(picture, None, data.range)


def _check_enlarged(size, data):
    """Raise TooLarge for a narrow picture (width, height) that scaling makes into a huge one."""
    height, width = windows.scaled_size(size[::-1], data)[0]
    if height * width > max(ENLARGED, size[0] * size[1]):
        raise images.TooLarge(
            f"{size[0]}x{size[1]} pixels become {width}x{height} where the shorter side is scaled "
            f"to {min(height, width)}; cut it into smaller pieces"
        )


def _attempt(root, path, found, read, data):
    """Return read(path, data), or None with an error in `found` where the file does not decode."""
    try:
        if path.stat().st_size:
            return read(path, data)
        reason, detail = "empty file", "0 bytes"
    except images.TooLarge as error:
        reason, detail = "too large", str(error)
    except images.OutOfRange as error:
        reason, detail = "value out of range", str(error)
    except UnidentifiedImageError:
        known = ", ".join(images.FORMATS)
        reason, detail = "unreadable", f"whatever its suffix says, it is none of {known}"
    except Exception as error:  # decoders raise errors of any type on broken bytes
        reason, detail = "unreadable", " ".join(str(error).split()) or type(error).__name__
    found.errors.append(Finding(relative(root, path), reason, detail))
    return None


def _measured(entry, picture, pixels):
    """Make the record of a decoded image, without what its mask says."""
    height, width, channels = pixels.shape
    if channels == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]  # a grey picture stored as RGB is still the same picture
    greatest = 0
    if picture.wide:
        greatest = int(np.max(np.asarray(picture.image)))
        greatest = greatest << 8 | 255 if picture.narrowed else greatest
    return dataclasses.replace(
        entry,
        size=(height, width),
        channels=channels,
        bits=16 if picture.wide else 8,
        greatest=greatest,
        digest=_digest(pixels.shape, np.ascontiguousarray(pixels)),
        canonical=_canonical(pixels),
    )


def _masked(root, record, orientation, data, found):
    """Read the mask of a record: the records with it; what is wrong with it goes to `found`."""
    annotated, normal = isinstance(record.mask, Annotated), record.class_name == NORMAL
    file = record.mask.file if annotated else record.mask
    value, name, records = "", relative(root, file), []
    if annotated:
        parts = _drawn(name, record, orientation, found)
    else:
        parts, value = _filed(root, record, orientation, data, found)
    for kind, (pixels, exact) in sorted(parts.items()):
        own = dataclasses.replace(record, class_name=kind or record.class_name)
        if pixels.any() or normal:
            own = dataclasses.replace(
                own,
                area=float(pixels.mean()),
                mask_value=value,
                mask_digest=_mask_digest(pixels, exact),
                boxed=not exact,
                shown=windows.shown(np.uint8(255) * pixels[..., None], data)._replace(
                    boxed=not exact
                ),
            )
        else:
            detail = "marks no pixel; ignored, so this defect reads has_mask=False"
            where = f"{name}{record.mask.where(kind)}" if annotated else name
            found.warnings.append(Finding(where, "zero-area mask", detail))
            own = dataclasses.replace(own, mask=None, boxed=False)
        records.append(own)
    return records


def _drawn(name, record, orientation, found):
    """Draw the annotations of a record: {class: Marked}, empty with an error in `found`."""
    parts, faults = record.mask.read(record.size)
    for where, detail in faults:
        if orientation > 4:
            detail += f", which its EXIF orientation {orientation} turns"
        found.errors.append(Finding(f"{name}{where}", "wrong annotation", detail))
    return {} if faults else parts


def _filed(root, record, orientation, data, found):
    """Read the mask file of a record: ({class, "" for the record's own: Marked}, its one value).

    There is none, with an error in `found`, where the mask cannot be used.
    """
    name, nothing = relative(root, record.mask), ({}, "")
    mask = _attempt(root, record.mask, found, masks_lib.read_mask, data)
    if mask is None:
        return nothing
    if mask.codes.shape != record.size:
        (height, width), (rows, columns) = mask.codes.shape, record.size
        detail = f"{width}x{height} for an image of {columns}x{rows}"
        if orientation > 4:
            detail += f", which its EXIF orientation {orientation} turns"
        detail += "; save it in the size of its image"
        found.errors.append(Finding(name, "wrong-size mask", detail))
        return nothing
    fault = masks_lib.fault(mask, data)
    if fault:
        found.errors.append(Finding(name, *fault))
        return nothing
    parts = {kind: marked for kind, marked in masks_lib.parts(mask, data).items() if marked.any()}
    if record.class_name == NORMAL and "" in parts:
        detail = f"{int(parts[''].sum())} defect pixels in an image of class {NORMAL}"
        found.errors.append(Finding(name, "mask on a normal image", detail))
    if not parts and data.mask_values and record.class_name != NORMAL:
        detail = f"has no defect of data.mask_values; move its image to images/{NORMAL}/"
        found.errors.append(Finding(name, "zero-area mask", detail))
    parts = parts or {"": np.zeros(record.size, bool)}
    marked = {kind: Marked(pixels, True) for kind, pixels in parts.items()}
    return marked, masks_lib.only_value(mask)


def _check_white(name, picture, greatest, white, found):
    """Find what data.range does not fit: values above it, and colours that it does not scale."""
    if not picture.wide:
        return
    if picture.narrowed and white != images.WHITE:
        detail = f"only its upper 8 bits are read, which data.range={white} does not fit"
        found.errors.append(Finding(name, "16-bit colour", f"{detail}; convert it to 8 bit"))
    elif greatest > white:
        detail = f"{greatest}, above data.range={white}; --config.data.range={_white(greatest)}, "
        detail += "or write the file in that range"
        found.errors.append(Finding(name, "value out of range", detail))


def _white(greatest):
    """Return the white of the camera with the least bits that has a value."""
    return next(2**bits - 1 for bits in _BITS if greatest < 2**bits)


def _check_range(records, data):
    """Find a set whose 16-bit files use a fraction of data.range: nearly black pictures."""
    wide = [record for record in records if record.bits == 16]
    greatest = max((record.greatest for record in wide), default=0)
    if not wide or 4 * greatest >= data.range:
        return []
    detail = f"{len(wide)} 16-bit pictures use 0..{greatest} of 0..{data.range}"
    white = _white(greatest)
    remedy = f"a {white.bit_length()}-bit camera? --config.data.range={white}"
    if any(record.channels == 3 for record in wide):
        remedy = "16-bit colour is read by its upper 8 bits; stretch it and convert it to 8 bit"
    return [Finding("images/", "nearly black", f"{detail}; {remedy}")]


def _check_mask_values(records, data):
    """Find a set whose masks mark defects with different values, perhaps of different kinds."""
    files = {record.mask: record.mask_value for record in records if record.mask_value}
    values = collections.Counter(files.values()).most_common()
    if len(values) < 2 or data.mask_values:
        return []
    detail = ", ".join(f"{value} in {number} files" for value, number in values[:_LISTED])
    detail += "; all read as defect; if they are kinds, name them: "
    detail += masks_lib.suggest([value for value, _ in values[:_LISTED]])
    return [Finding("masks/", "different values", detail)]


def _check_mask_area(records, data):
    """Find a set most of whose masks cover more than half of the picture."""
    files = [record for record in records if not isinstance(record.mask, Annotated)]
    areas = [record.area for record in files if record.area]
    if not areas or np.median(areas) <= 0.5:
        return []
    share = f"{100 * np.median(areas):.0f} % of the picture (median of {len(areas)})"
    remedy = f"is the defect black? --config.data.mask_invert={not data.mask_invert}"
    if data.mask_values:
        remedy = f"is one of data.mask_values the background? name it {NORMAL}"
    return [Finding("masks/", "large masks", f"masks cover {share}: {remedy}")]


def _check_empty(root, entries, records, found):
    """Find a set whose masks mark no defect, all of them: they are not what they should be."""
    masks = [entry.mask for entry in entries if entry.mask and entry.class_name != NORMAL]
    marked = any(record.mask and record.class_name != NORMAL for record in records)
    if not masks or marked or found.errors:
        return []
    first = masks[0]
    folder = first.file.parent if isinstance(first, Annotated) else first.parent.parent
    detail = f"none of {len(masks)} marks a pixel; mend them, or take them out to go on without"
    return [Finding(f"{relative(root, folder)}/", "every mask is empty", detail)]


def _digest(shape, data):
    digest = hashlib.sha256(repr(tuple(shape)).encode())
    digest.update(data)  # not joined first: a strip's pixels are large
    return digest.hexdigest()


def _mask_digest(pixels, exact):
    """Compute a digest of where a defect is, bool [H, W]: another of boxes than of a mask."""
    digest = _digest((*pixels.shape, 1), np.packbits(pixels).tobytes())
    return digest if exact else f"boxes {digest}"


def _canonical(pixels):
    """Compute a digest that a picture and its mirror images share: of the first of their bytes."""
    flips = [pixels, pixels[::-1], pixels[:, ::-1], pixels[::-1, ::-1]]
    for row in range(len(pixels)):
        if len(flips) == 1:
            break
        rows = [flip[row].tobytes() for flip in flips]
        flips = [flip for flip, own in zip(flips, rows, strict=True) if own == min(rows)]
    digest = hashlib.sha256(repr(pixels.shape).encode())
    for row in range(0, len(pixels), _ROWS):
        digest.update(np.ascontiguousarray(flips[0][row : row + _ROWS]))
    return digest.hexdigest()
