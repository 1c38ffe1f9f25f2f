"""What came of the drawing of a set, by class: refusals and their reasons, what is recognised."""

import collections

REASONS = {  # of a refusal, in the order in which they are looked for
    "cut": "left the picture",
    "room": "without room",
    "empty": "empty",
    "invisible": "invisible",
    "edge": "cut off at a side",
    "outside": "where none may be",
    "copied": "copies",
}
FOUND = 0.5  # share of a class's training defects that the model finds; a class below it is named
VISIBLE = 0.5  # share of the defects drawn; a class below it is named
RECOGNISED = 0.5  # times the share of real images: a class below it is named


def counts(records):
    """Count by class: {name: {"drawn": kept images, "refused": {reason: number}, "recognised"}}.

    records: of a manifest, or some of it. recognised: share of the kept images, None where nobody
    told.
    """
    groups = collections.defaultdict(list)
    for record in records:
        if record["synthetic"]:
            groups[record["class"]].append(record)
    return {
        name: {
            "drawn": len(group),
            "refused": {
                reason: sum(r["refused"].get(reason, 0) for r in group) for reason in REASONS
            },
            "recognised": _share([r["recognised"] for r in group]),
        }
        for name, group in groups.items()
    }


def total(records):
    """Describe the refusals of some records: "3 empty, 12 invisible", "" without any."""
    refused = collections.Counter()
    for record in records:
        refused.update(record.get("refused", {}))
    return listed(refused)


def listed(refused):
    """Write {reason: number} as "3 empty, 12 invisible"; "" where all are 0."""
    return ", ".join(
        f"{refused[name]} {text}" for name, text in REASONS.items() if refused.get(name)
    )


def lines(table, limits=None, real=None):
    """Describe a table of `counts`, a line a class, then a line for each class that is doubtful.

    limits: {class: contrast}, None where it is not checked. real: {class: share of held-out real
    images that the run's own classifier calls by it}. Returns (lines, warnings).
    """
    said, doubts = [], []
    for name, part in table.items():
        parts = [f"{part['drawn']} drawn"]
        if refused := listed(part["refused"]):
            parts.append(f"replaced: {refused}")
        if limits is not None and name in limits:
            parts.append(f"contrast from {limits[name]:.2f}")
        if part["recognised"] is not None:
            known = f" (real ones {100 * real[name]:.0f} %)" if real and name in real else ""
            parts.append(f"recognised {100 * part['recognised']:.0f} %{known}")
        said.append(f"{name}: {'; '.join(parts)}")
        doubts += _doubts(name, part, real or {})
    return said, doubts


def _doubts(name, part, real):
    """Say what is wrong with a class."""
    invisible = part["refused"]["invisible"]
    seen = part["drawn"] + part["refused"]["copied"]
    if invisible and seen / (seen + invisible) < VISIBLE:
        yield (
            f"class {name!r}: only {100 * seen / (seen + invisible):.0f} % of its defects show on "
            "the surfaces that were drawn; try --surfaces=like or a larger --strength, train "
            "longer, or leave it out with --classes"
        )
    share = part["recognised"]
    if share is None or name not in real:
        return
    if not real[name]:
        yield (
            f"class {name!r}: the run's own classifier calls no held-out real image by it, so it "
            "cannot tell whether these show it; look at them, or train longer"
        )
    elif share < RECOGNISED * real[name]:
        yield (
            f"class {name!r}: the run's own classifier takes {100 * share:.0f} % of its images for "
            f"it, of real ones {100 * real[name]:.0f} %; look at them, and leave it out with "
            "--classes where they do not show it"
        )


def _share(values):
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
