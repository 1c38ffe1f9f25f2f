"""What is written of a kept hybrid: its record and its pictures."""

import numpy as np

from dtgan.annotations import instances
from dtgan.data import labels
from dtgan.generation import tally
from dtgan.generation.dataset import normal_file

FURTHER = ("second", "third", "fourth")  # fields of a record, of further defects in a window
KINDS = {  # of a record's files: (folder, name among the pictures)
    "file": ("images", "image"),
    "mask": ("masks", "hard"),
    "soft_mask": ("soft_masks", "soft"),
    "twin": ("twins", "clean"),
}


class Entry:
    """A hybrid as it was drawn and judged.

    candidate: plan.Candidate. pictures: {"image", "hard", "soft", "clean", "surface": uint8 [R, R,
    C]}, as far as the model makes and needs them. area: pixels of the mask, None without one.
    contrast, copy_score, recognised: None where nobody told. reason: of a refusal, else None. mark:
    native.Mark, of whole pictures.
    """

    def __init__(self, candidate, pictures, area=None):
        self.candidate, self.pictures, self.area = candidate, pictures, area
        self.contrast = self.copy_score = self.recognised = self.reason = None
        self.mark = None


def make(entry, plan, classes, defects, surfaces):
    """Make (record, {path: picture}) of a kept image; see `draw.Drawer.block`.

    plan: plan.Plan; defects, surfaces: sources, None where the model needs none.
    """
    candidate, settings, drawn = entry.candidate, plan.settings, entry.pictures
    label = plan.label(candidate.number)
    name, place = classes[label], plan.place(candidate.number)
    record, pictures = pictured(name, place, label, drawn, settings.instances)
    record |= _made_of(candidate, defects)
    if candidate.surface is not None:
        j = candidate.surface
        record |= {"surface": surfaces[j]["id"], "surface_index": j}
        pictures[normal_file(j)] = drawn["surface"]
    record |= {
        "strength": settings.strength,
        "seed": settings.seed,
        "number": candidate.number,
        "contrast": entry.contrast,
        "copy_score": entry.copy_score,
        "recognised": entry.recognised,
        "synthetic": True,
    }
    return record, pictures


def make_whole(entries, plan, classes, defects, pictures, refused):
    """Make (record, {path: function that writes there}) of a whole picture with its defects.

    entries: of its windows; pictures: native.Pictures; refused: {number: {reason: number}} of all
    windows. The record is that of `make`, with what tells of single defects in "defects": class,
    label, window (x, y, width, height), box, area, and what `make` says of a defect; all in pixels
    of the picture.
    """
    first, settings = entries[0].candidate, plan.settings
    index, shown = first.surface, {plan.label(entry.candidate.number) for entry in entries}
    name = labels.SEPARATOR.join(classes[label] for label in sorted(shown))
    stem, suffix = f"{name}/{name}_{plan.place(first.number):06d}", pictures.suffix(index)
    surface = normal_file(index, suffix)
    marks = [entry.mark for entry in entries]
    hard = [pictures.hard(mark) for mark in marks]
    found = [
        _told(*pair, plan, classes, defects, pictures) for pair in zip(entries, hard, strict=True)
    ]
    record = {
        "file": f"images/{stem}{suffix}",
        "mask": f"masks/{stem}.png",
        "soft_mask": f"soft_masks/{stem}.png",
        "twin": surface,
        "class": name,
        "label": classes.index(name) if name in classes else None,
        "size": list(pictures.size(index)),
        "box": _union([one["box"] for one in found]),
        "area": sum(one["area"] for one in found),
        "instances": [part for one in found for part in one.pop("instances")],
        "defects": found,
        "surface": pictures.source.id(index),
        "surface_index": index,
        "strength": settings.strength,
        "seed": settings.seed,
        "number": first.number,
        "contrast": _least([one["contrast"] for one in found]),
        "copy_score": _least([one["copy_score"] for one in found], max),
        "recognised": _least([one["recognised"] for one in found]),
        "refused": {
            reason: sum(own[reason] for own in refused.values()) for reason in tally.REASONS
        },
        "synthetic": True,
    }
    hard = [(m.corner, 255 * part.astype(np.uint8)) for m, part in zip(marks, hard, strict=True)]
    soft = [(mark.corner, pictures.soft(mark)) for mark in marks]
    return record, {
        record["file"]: lambda path: pictures.write(path, index, marks),
        record["mask"]: lambda path: pictures.write_mask(path, index, hard),
        record["soft_mask"]: lambda path: pictures.write_mask(path, index, soft),
        surface: lambda path: pictures.write(path, index),
    }


def _told(entry, hard, plan, classes, defects, pictures):
    """Describe a defect in a window of a whole picture; hard: bool [S, S] there."""
    candidate, side = entry.candidate, pictures.side
    y, x = candidate.window
    label = plan.label(candidate.number)

    def moved(measured):
        left, top, width, height = measured["box"]
        return measured | {"box": [left + x, top + y, width, height]}

    parts = instances.split(hard, plan.settings.instances)
    return {
        "class": classes[label],
        "label": label,
        "window": [x, y, side, side],
        **moved(instances.measure(hard)),
        "instances": [moved(instances.measure(part)) for part in parts],
        **_made_of(candidate, defects),
        "contrast": entry.contrast,
        "copy_score": entry.copy_score,
        "recognised": entry.recognised,
    }


def _union(boxes):
    """Join boxes (x, y, width, height) to the smallest one around all."""
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right = max(box[0] + box[2] for box in boxes)
    bottom = max(box[1] + box[3] for box in boxes)
    return [left, top, right - left, bottom - top]


def _least(values, of=min):
    return None if None in values else of(values)


def _made_of(candidate, defects):
    """Say which defects a candidate is made of, and how they were varied."""
    if not candidate.defects:
        return {}
    (first, variation), *more = candidate.defects
    told = {"defect": defects[first]["id"], "varied": variation.described()}
    for name, (index, variation) in zip(FURTHER, more, strict=False):
        told[name] = {"defect": defects[index]["id"], "varied": variation.described()}
    return told


def pictured(name, number, label, drawn, how):
    """Make (record, {path: picture}) of what an image shows, wherever it comes from.

    name, label: of its class; number: of the image in it; drawn: as `Entry.pictures`; how: what an
    instance is, see `instances.split`. The record: paths, class, label, size and, where there is a
    mask, its box, area and instances.
    """
    file = f"{name}/{name}_{number:06d}.png"
    paths = {key: f"{folder}/{file}" for key, (folder, kind) in KINDS.items() if kind in drawn}
    pictures = {paths[key]: drawn[KINDS[key][1]] for key in paths}
    record = {**paths, "class": name, "label": label, "size": list(drawn["image"].shape[:2])}
    if "hard" in drawn:
        mask = drawn["hard"][..., 0]
        parts = instances.split(mask, how)
        record |= instances.measure(mask) | {"instances": list(map(instances.measure, parts))}
    return record, pictures
