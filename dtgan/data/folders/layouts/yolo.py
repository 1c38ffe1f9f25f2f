"""YOLO's sets: data.yaml, and for each picture a text file of rows, outlines or boxes.

A row is a class number and, in shares of the picture, x y of each corner of an outline, or x y of
the middle, width and height of a box. Pictures with an empty file, or none, are normal. The keys
train, val and test of data.yaml, folders or lists of files, are the splits; where they name the
same pictures, the split is drawn.
"""

import os
import pathlib

import numpy as np
import yaml

from dtgan.config import ConfigError
from dtgan.data.folders import shapes
from dtgan.data.folders.layouts import base
from dtgan.data.splits import SPLITS

_BEYOND = 0.01  # by which a coordinate may leave 0..1: annotators' tools round
_LONGEST = 2**24  # bytes of a file of rows or of a list


def places(data):
    """List the files that are read of the set."""
    file = _find(data)
    content = _parse(file)
    root, found = _root(file, content), [file, file.parent / "splits.csv"]
    for split in SPLITS:
        for place in _places(root, file, content, split):
            if place.is_dir():
                found += [*base.walk(place), *base.walk(_labels_of(place / "x").parent)]
            else:
                found += [place, *base.walk(root)]
    return found


def list_set(data):
    """List the set without decoding: Contents.

    Raises ConfigError for a data.yaml that cannot be used, and where no training is possible.
    """
    file = _find(data)
    content = _parse(file)
    root, names = _root(file, content), _names(file, content)
    collector = base.Collector(root, data)
    pictures = {split: _pictures(collector, file, content, split) for split in SPLITS}
    pictures = {split: paths for split, paths in pictures.items() if paths}
    if not pictures:
        raise ConfigError(f"{file} has no train with pictures; write train: images")
    alike = len({frozenset(paths) for paths in pictures.values()}) == 1
    for split, paths in pictures.items():
        for path in paths:
            if path in collector.pictures and not alike:
                other = collector.pictures[path]
                detail = f"in {split} and in {other.split}, says {file.name}"
                collector.fault(path, "", "picture in two splits", detail, other)
            elif path not in collector.pictures:
                _read(collector, path, "" if alike else split, names)
    return collector.contents()


def _find(data):
    """Find data.yaml: data.path itself, or in that folder."""
    path = pathlib.Path(data.path)
    if path.is_file():
        return path
    files = [path / "data.yaml", *sorted([*path.glob("*.yaml"), *path.glob("*.yml")])]
    files = list(dict.fromkeys(file for file in files if file.is_file()))
    if files and (files[0].name == "data.yaml" or len(files) == 1):
        return files[0]
    raise ConfigError(f"data.path={data.path} is no data.yaml of YOLO, nor a folder with one")


def _parse(file):
    """Parse data.yaml: a dict."""
    try:
        if file.stat().st_size > _LONGEST:
            raise ValueError("it is too long")
        content = yaml.safe_load(file.read_bytes())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"{file} cannot be read as YAML ({detail})") from None
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise ConfigError(f"{file} holds a {kind} in the place of keys and values")
    return content


def _root(file, content):
    """Find the folder that data.yaml is about: its key path, if that is there, else its own."""
    path = content.get("path") or "."
    root = file.parent / path if isinstance(path, str) else file.parent
    return root if os.path.isdir(root) else file.parent


def _names(file, content):
    """List {number: class name} of data.yaml, a list or numbers with names."""
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    usable = isinstance(names, dict) and names and all(type(key) is int for key in names)
    if not usable or not all(type(name) in (str, int) for name in names.values()):
        raise ConfigError(
            f"{file}: names is no list of class names; write names: [crack, spot], words such as "
            "yes and no in quotes"
        )
    return {number: str(name).strip() for number, name in names.items()}


def _places(root, file, content, split):
    """List the folders and lists of pictures that data.yaml names for a split."""
    key = next((key for key in content if base.parse_split(str(key)) == split), None)
    listed = content.get(key) or []
    listed = listed if isinstance(listed, list) else [listed]
    found = [_place(root, name) for name in listed]
    if None in found:
        name = str(listed[found.index(None)])[:60]
        raise ConfigError(
            f"{file}: {key}: {name!r} is no folder of pictures in {root}, nor a list of them"
        )
    return found


def _pictures(collector, file, content, split):
    """List the pictures of a split: of folders, or named in text files."""
    found = []
    for place in _places(collector.root, file, content, split):
        if place.is_dir():
            found += base.pictures_in(place, collector.found)
            continue
        lines = place.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            if line.strip():
                path = base.find_picture(
                    collector, collector.root, line.strip(), place, f":{number}"
                )
                found += [path] if path else []
    return list(dict.fromkeys(found))


def _place(root, name):
    """Find what data.yaml names inside of the set; some tools write ../train for train."""
    for path in (root / str(name), root / str(name).removeprefix("../")):
        inside = os.path.exists(path) and base.is_inside(path, root)
        if inside and (path.is_dir() or path.is_file()):
            return path
    return None


def _read(collector, path, split, names):
    """Take in a picture with the rows of its file."""
    file = _labels_of(path)
    picture = collector.add(path, split, file)
    if not file.is_file():
        return
    if file.stat().st_size > _LONGEST:
        collector.fault(file, "", "wrong annotation", "the file is too long", picture)
        return
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            name, form = _row(line.split(), names)
        except ValueError as error:
            collector.fault(file, f":{number}", "wrong annotation", str(error), picture)
            continue
        if not base.is_normal(name):
            picture.shapes.append(shapes.Shape(name, f":{number}", form))


def _labels_of(path):
    """Name the file of a picture's rows: labels/ in the place of the last images/, and .txt."""
    parts = list(path.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return pathlib.Path(*parts).with_suffix(".txt")


def _row(words, names):
    """Parse a row: (class name, its form). Raises ValueError where it is none."""
    number = int(words[0]) if words[0].isdecimal() and len(words[0]) < 9 else -1
    if number not in names:
        raise ValueError(f"class {words[0][:20]} is none of {_range(names)} of names")
    try:
        values = [float(word) for word in words[1:]]
    except ValueError:
        raise ValueError("it holds something that is no number") from None
    if len(values) != 4:
        ring = shapes.parse_ring(values)
        return names[number], shapes.Outline((_within(ring),), relative=True)
    box = shapes.parse_box(values)  # but for x and y, which are of its middle
    side = np.array([box.width, box.height])
    low, high = _within([box.x, box.y] + np.array([[-0.5], [0.5]]) * side)
    return names[number], shapes.Box(*low, *(high - low), relative=True)


def _within(points):
    """Clip points [n, 2] to 0..1. Raises ValueError where one is further out than rounding is."""
    odd = max(points.flat, key=lambda value: abs(value - 0.5))
    if abs(odd - 0.5) > 0.5 + _BEYOND:
        raise ValueError(f"{odd:g} is outside 0..1; divide x by the width and y by the height")
    return points.clip(0.0, 1.0)


def _range(names):
    return f"0..{max(names)}" if len(names) == max(names) + 1 else ", ".join(map(str, names))[:60]
