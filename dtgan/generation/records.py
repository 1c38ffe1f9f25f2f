"""What is written of a kept hybrid: its record and its pictures."""

from dtgan.annotations import instances
from dtgan.generation.dataset import normal_file

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
    contrast, copy_score, recognised: None where nobody told. reason: of a refusal, else None.
    """

    def __init__(self, candidate, pictures, area=None):
        self.candidate, self.pictures, self.area = candidate, pictures, area
        self.contrast = self.copy_score = self.recognised = self.reason = None


def make(entry, plan, classes, defects, surfaces):
    """Make (record, {path: picture}) of a kept image; see `draw.Drawer.block`.

    plan: plan.Plan; defects, surfaces: sources, None where the model needs none.
    """
    candidate, settings, drawn = entry.candidate, plan.settings, entry.pictures
    label = plan.label(candidate.number)
    name, place = classes[label], candidate.number % settings.num_per_class
    record, pictures = pictured(name, place, label, drawn, settings.instances)
    if candidate.defects:
        (first, variation), *more = candidate.defects
        record |= {"defect": defects[first]["id"], "varied": variation.described()}
        if more:
            ((second, variation),) = more
            also = {"defect": defects[second]["id"], "varied": variation.described()}
            record["second"] = also
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
