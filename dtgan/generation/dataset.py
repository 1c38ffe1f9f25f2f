"""A set of synthetic images on disk: complete, or visibly not, and the same whoever made it.

OUT/plan.json                     what was asked for, of which checkpoint and data
OUT/images/<class>/*.png          hybrids; images/normal/*.png: the surfaces they stand on
OUT/masks/  soft_masks/  twins/   the same names: binary mask, matte, image without the defect
OUT/manifest.jsonl                a record an image, see `draw.py`
OUT/annotations/  labels/  data.yaml  mvtec/     see `dtgan.annotations`
OUT/SHA256SUMS                    digests of all of these: sha256sum -c, generate --verify
OUT/_SUCCESS                      last of all
OUT/.parts/<block>.jsonl          records of a finished block
"""

import errno
import itertools
import json
import pathlib
import shutil
from concurrent.futures import ThreadPoolExecutor

from dtgan import annotations, images
from dtgan.config import NORMAL, ConfigError
from dtgan.files import is_part, parse_object, same_or_refuse, set_aside, sync_all, write_atomic
from dtgan.generation import digests

WRITERS = 4  # threads that encode PNG files


class Dataset:
    """The set of one plan in the directory `out`, however many jobs write to it."""

    def __init__(self, out, described, threads=WRITERS):
        """described: JSON-able, all that the bytes depend on; threads: that write pictures.

        Raises ConfigError where `out` holds other things, or a set described otherwise.
        """
        self.out = pathlib.Path(out)
        self._parts = self.out / ".parts"
        file = self.out / "plan.json"
        there = self.out.iterdir() if self.out.exists() else ()
        if not file.exists() and not all(map(is_part, there)):
            raise ConfigError(
                f"--out={out} is not empty and holds no such set; use a new directory"
            )
        try:
            same_or_refuse(file, described, "a set")
            if not self.complete:
                self._parts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _writing_failed(error, self.out, "") from error
        self._pool, self._begun = ThreadPoolExecutor(threads), set()

    @property
    def complete(self):
        """Whether the whole set is written."""
        return (self.out / "_SUCCESS").exists()

    def has(self, block):
        """Tell whether a block is finished."""
        return self._records(block) is not None

    def write(self, block, records, pictures):
        """Start writing a block -> a function that waits for its files and marks it finished.

        records: a dict an image; pictures: {path below `out`: uint8 [H, W, C]}, or functions that
        write a picture to the path that they are given.
        """
        new = pictures.keys() - self._begun  # blocks share surfaces
        self._begun |= new
        waiting = [
            self._pool.submit(_write, self.out / path, pictures[path]) for path in sorted(new)
        ]

        def finish():
            try:
                for future in waiting:
                    future.result()
                sync_all(self.out / path for path in new)
                write_atomic(self._part(block), "".join(json.dumps(r) + "\n" for r in records))
            except OSError as error:
                for future in waiting:
                    future.cancel()
                if self.complete:  # by an equal job, which has removed OUT/.parts
                    return
                raise _writing_failed(error, self.out, "; finished blocks are kept") from error

        return finish

    def finish(self, num_blocks, classes, instances, with_mvtec):
        """Join the blocks once all are there; returns the records, None while some are missing.

        classes, instances, with_mvtec: see `dtgan.annotations.write`.
        """
        blocks = [self._records(block) for block in range(num_blocks)]
        if None in blocks:
            return self.records() if self.complete else None
        records = list(itertools.chain.from_iterable(blocks))
        records += normals(records)
        try:
            complete(self.out, records, classes, instances, with_mvtec)
        except OSError as error:
            raise _writing_failed(error, self.out, "; all images are kept") from error
        shutil.rmtree(self._parts, ignore_errors=True)
        return records

    def records(self):
        """Read the records of a complete set. Raises what `verify` raises."""
        verify(self.out)
        return [parse_object(line) for line in (self.out / "manifest.jsonl").open("rb")]

    def _records(self, block):
        """Read the records of a finished block; None for others, and a damaged one, set aside."""
        try:
            lines = self._part(block).read_bytes().splitlines()
            return [parse_object(line) for line in lines]
        except FileNotFoundError:
            return None
        except ValueError as error:
            set_aside(self._part(block), error)
            return None

    def _part(self, block):
        return self._parts / f"{block:06d}.jsonl"


def verify(out):
    """Raise ConfigError where a set is not complete, or a file of it is missing or has changed."""
    out = pathlib.Path(out)
    if not (out / "_SUCCESS").exists():
        raise ConfigError(f"--out={out} is not complete; run its generate command again")
    found = digests.faults(out)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ConfigError(
            f"--out={out} is not as it was made: {found[0]}{more}; restore it, or remove the "
            "directory and run its generate command again, which gives the same bytes"
        )


def complete(out, records, classes, how, with_mvtec=False):
    """Write what makes a set of images: labels, manifest, digests and, last of all, _SUCCESS.

    records: of its manifest, in order; classes, how, with_mvtec: see `dtgan.annotations.write`.
    """
    annotations.write(out, records, classes, how, with_mvtec)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    write_atomic(out / "manifest.jsonl", lines)
    for left in out.rglob(".*.part"):
        if not _alive(left):
            left.unlink(missing_ok=True)
    digests.write(out)
    write_atomic(out / "_SUCCESS", "")


def _write(path, picture):
    if callable(picture):
        picture(path)
    else:
        images.write_image(path, picture, wait=False)


def _alive(part):
    """Tell whether the process that writes a part is there; else it was killed."""
    number = part.name.split(".")[-2]
    return number.isdigit() and pathlib.Path("/proc", number).exists()


def normal_file(index, suffix=".png"):
    """Name the file, within a set, of the surface with an index."""
    return f"images/{NORMAL}/{NORMAL}_{index:06d}{suffix}"


def normals(records):
    """Make the records of the surfaces that images stand on, each once; they are real images."""
    used = {r["surface_index"]: r for r in records if "surface_index" in r}
    return [
        {
            "file": normal_file(index, pathlib.PurePath(used[index]["file"]).suffix),
            "class": NORMAL,
            "label": 0,
            "size": used[index]["size"],
            "surface": used[index]["surface"],
            "surface_index": index,
            "synthetic": False,
        }
        for index in sorted(used)
    ]


def _writing_failed(error, out, kept):
    """Make the user's error for a file that could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space" if full else "check the directory"
    return ConfigError(
        f"{error.filename or out} cannot be written ({error.strerror}){kept}; {remedy} and run the "
        "same command again"
    )
