"""What is kept: a labelled set on disk in the layout and with the manifest of `dtgan.generate`.

It is complete after every change: `python -m dtgan.generate --verify --out=OUT` passes, and
whatever reads a generated set reads it. Records have "studio": true. OUT/.studio holds the lock and
what the browser is sent, and is removed at the end.
"""

import contextlib
import fcntl
import json
import pathlib
import shutil
import threading

import numpy as np

from dtgan import images
from dtgan.annotations import yolo
from dtgan.config import NORMAL, ConfigError
from dtgan.files import is_part, parse_object, same_or_refuse, write_atomic
from dtgan.generation import records as records_lib
from dtgan.generation import tally
from dtgan.generation.dataset import complete, normal_file, normals

HOW = "parts"  # an instance in the labels, see annotations.instances
OWN = ".studio"  # folder below OUT


class Kept:
    """The kept pictures below the directory `out`, safe to change from several threads.

    records: of the manifest, a dict each. named: `out` as it was given.
    """

    def __init__(self, out, classes, masks=True):
        """classes: names of all, NORMAL first; masks: whether the model draws them.

        Raises ConfigError where `out` holds something else, cannot be written, or is open in
        another studio.
        """
        self.out, self.named = pathlib.Path(out).absolute(), str(out)
        self.classes = tuple(classes)
        self._lock, self._used = threading.Lock(), {}
        plan = self.out / "plan.json"
        there = [p for p in self.out.iterdir() if p.name != OWN] if self.out.exists() else []
        if not plan.exists() and not all(map(is_part, there)):
            raise ConfigError(
                f"--out={out} is not empty and holds no set of the studio; use a new directory"
            )
        try:
            (self.out / OWN).mkdir(parents=True, exist_ok=True)
            self._held = (self.out / OWN / "lock").open("w")
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            described = {"studio": True, "classes": list(classes), "masks": masks}
            same_or_refuse(plan, described, "a set")
            self._records = self._read()
            if not (self.out / "_SUCCESS").exists():
                self._tidy()
                self._complete()
        except BlockingIOError:
            raise ConfigError(
                f"--out={out} is open in another studio; close that, or use another directory"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"--out={out} cannot be written ({error.strerror}); use another directory"
            ) from error

    @property
    def cache(self):
        """The folder for what the browser is sent."""
        return self.out / OWN

    @property
    def records(self):
        """The records of the kept pictures, in the order in which they were kept."""
        return list(self._records)

    def read(self, record):
        """Read the picture of a record: uint8 [H, W, C]."""
        return images.read_image(self.out / record["file"])

    def close(self):
        """Remove OUT/.studio."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self._held.close()

    def add(self, label, pictures, record):
        """Keep pictures of a class as `generate` would; returns the record.

        label: of the class; pictures: of `render.Drawn`; record: what is said of them beside that.
        Raises ConfigError where they cannot be written.
        """
        name = self.classes[label]
        with self._lock, self._writing():
            taken = [r["number"] for r in self._records if r["label"] == label]
            number = self._next(name, taken)
            made, files = records_lib.pictured(name, number, label, pictures, HOW)
            if "surface" in pictures:
                index = self._surface(pictures["surface"])
                record = {**record, "surface_index": index}
                files[normal_file(index)] = pictures["surface"]
            made |= record | {"number": number, "studio": True, "synthetic": True}
            made |= {"copy_score": None, "recognised": None}  # nobody told
            made["refused"] = dict.fromkeys(tally.REASONS, 0)
            self._change([*self._records, made], files)
        return made

    def remove(self, file):
        """Remove the picture with this `file`: (its record, its pictures by path), to restore it.

        Raises ConfigError where it is not kept (any more), or cannot be removed.
        """
        with self._lock, self._writing():
            found = [r for r in self._records if r["file"] == file]
            if not found:
                raise ConfigError(f"{file} is not kept any more.")
            record, paths = found[0], self._paths(found[0])
            pictures = {path: images.read_image(self.out / path) for path in paths}
            self._change([r for r in self._records if r is not record], {})
        return record, pictures

    def restore(self, record, pictures):
        """Undo `remove`."""
        with self._lock, self._writing():
            self._change([*self._records, record], pictures)

    def _change(self, records, files):
        """Make these the records, write files, remove those that no record names any more.

        A kill leaves no _SUCCESS, and what is left over is removed when the set is opened next.
        """
        (self.out / "_SUCCESS").unlink(missing_ok=True)
        for path, picture in files.items():
            images.write_image(self.out / path, picture)
        lines = "".join(json.dumps(r) + "\n" for r in [*records, *normals(records)])
        write_atomic(self.out / "manifest.jsonl", lines)
        paths = [path for record in self._records for path in self._paths(record)]
        self._records = records
        used = {path for record in records for path in self._paths(record)}
        for path in set(paths) - used:
            for file in {self.out / path, self.out / yolo.label_file(path)}:
                file.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # it holds others, or is not there
                    file.parent.rmdir()
        self._complete()

    def _complete(self):
        complete(self.out, [*self._records, *normals(self._records)], self.classes[1:], HOW)

    def _surface(self, picture):
        """Find the number of a surface in the set; the next where it is new."""
        known = {r["surface_index"]: r["size"] for r in self._records if "surface_index" in r}
        for index, size in known.items():
            if size == list(picture.shape[:2]):
                there = images.read_image(self.out / normal_file(index), picture.shape[-1])
                if np.array_equal(there, picture):
                    return index
        return self._next(NORMAL, known)

    def _next(self, name, taken):
        """Number the next picture of a class; never as one that was removed and may come back."""
        self._used[name] = 1 + max([self._used.get(name, -1), *taken])
        return self._used[name]

    def _paths(self, record):
        """List the files of a record, that of its surface among them."""
        paths = [record[key] for key in records_lib.KINDS if key in record]
        if "surface_index" in record:
            paths.append(normal_file(record["surface_index"]))
        return paths

    def _read(self):
        """Read the records of drawn pictures from the manifest."""
        manifest = self.out / "manifest.jsonl"
        if not manifest.exists():
            return []
        try:
            found = [parse_object(line) for line in manifest.read_bytes().splitlines()]
            drawn = [record for record in found if record.get("synthetic")]
            if wrong := [record for record in drawn if not self._is_own(record)]:
                raise ValueError(f"no record of this studio: {str(wrong[0])[:60]}")
        except ValueError as error:
            raise ConfigError(
                f"{manifest} is damaged ({error}); restore it, or use another directory"
            ) from None
        return drawn

    def _is_own(self, record):
        """Tell whether a record, maybe a stranger's, names no other files than it may."""
        name, number, index = (record.get(key) for key in ("class", "number", "surface_index"))
        if name not in self.classes[1:] or not isinstance(number, int):
            return False
        names = {
            key: f"{folder}/{name}/{name}_{number:06d}.png"
            for key, (folder, _) in records_lib.KINDS.items()
        }
        return (
            record.get("file") == names["file"]
            and all(record.get(key, path) == path for key, path in names.items())
            and record.get("label") == self.classes.index(name)
            and isinstance(record.get("size"), list)
            and (index is None or isinstance(index, int))
        )

    def _tidy(self):
        """Remove what a kill left of a picture that was being kept or removed."""
        known = {path for record in self._records for path in self._paths(record)}
        folders = [folder for folder, _ in records_lib.KINDS.values()]
        for file in (f for folder in folders for f in (self.out / folder).rglob("*.png")):
            if str(file.relative_to(self.out)) not in known:
                file.unlink()
        shutil.rmtree(self.out / "labels", ignore_errors=True)  # is written anew

    @contextlib.contextmanager
    def _writing(self):
        """Turn an OSError into the user's; the records are then those on disk."""
        try:
            yield
        except OSError as error:
            with contextlib.suppress(ConfigError):
                self._records = self._read()
            raise ConfigError(
                f"{error.filename or self.out} cannot be written ({error.strerror}); free some "
                "space or check the directory, then try again"
            ) from error
