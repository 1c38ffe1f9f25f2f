"""A generated set for a page: its numbers by class, and some of its images."""

from dtgan.generation import tally
from dtgan.pages import pictures

EXAMPLES = 8  # images of a class


def describe(made):
    """Describe a read.Set: {"path", "step", "complete", "surfaces", "classes"}.

    classes: dicts {"name", "drawn", "refused" (text), "recognised", "contrast" (median or None),
    "examples": [data URI]}, with the outlines of masks; of whole pictures their first window.
    """
    fakes = [record for record in made.records if record["synthetic"]]
    return {
        "path": made.path,
        "step": made.plan.get("step", "?"),
        "complete": made.complete,
        "surfaces": len(made.records) - len(fakes),
        "classes": [
            {
                "name": name,
                "drawn": part["drawn"],
                "refused": tally.listed(part["refused"]),
                "recognised": part["recognised"],
                "contrast": _median([r["contrast"] for r in fakes if r["class"] == name]),
                "examples": _examples(made, [r for r in fakes if r["class"] == name]),
            }
            for name, part in tally.counts(fakes).items()
        ],
    }


def _median(values):
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None


def _examples(made, records):
    """Encode some images of a class."""
    found = []
    for record in pictures.thinned(records, EXAMPLES):
        image, mask = (_read(made, record.get(name)) for name in ("file", "mask"))
        if image is not None:
            if record.get("defects"):  # of a whole picture, which is too large for a thumbnail
                x, y, width, height = record["defects"][0]["window"]
                image, mask = (
                    whole if whole is None else whole[y : y + height, x : x + width]
                    for whole in (image, mask)
                )
            fits = mask is not None and mask.shape[:2] == image.shape[:2]
            shown = pictures.outlined(image, mask[..., :1]) if fits else image
            found.append(pictures.thumbnail(shown))
    return found


def _read(made, name):
    """Read a picture of a set; None without a name, and for a name that leads out of the set."""
    path = name and (made.path / name).resolve()
    if not path or not path.is_relative_to(made.path.resolve()):
        return None
    return pictures.read(path)
