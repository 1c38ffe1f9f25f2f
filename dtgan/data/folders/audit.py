"""The audit of a folder of images: decode every file once, list all that is wrong, split the rest.

`layouts` lists what there is, be it folders by class, COCO, YOLO or a table; `folder.py` reads what
passes; `python -m dtgan.audit` prints the report.
"""

import collections
import dataclasses
import functools
import hashlib
import pathlib

import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from dtgan import images
from dtgan.config import NORMAL, ConfigError, check_scaling, nearest, parse_fold
from dtgan.data import labels, windows
from dtgan.data.folders import assign, layouts, masks
from dtgan.data.folders.examine import examine_all
from dtgan.data.folders.scan import Finding, relative, signature
from dtgan.data.folders.shapes import Annotated
from dtgan.data.splits import SPLITS


@dataclasses.dataclass(frozen=True)
class AuditReport:
    """Result of `audit`. `records` are the good files, sorted by label and name."""

    path: str
    root: pathlib.Path  # of the names of files in findings
    classes: tuple  # "normal" first
    records: tuple
    errors: tuple  # of Finding
    warnings: tuple
    has_masks: bool  # whether the set holds any mask
    num_groups: int  # groups that the automatic split kept together; 0 where the set has its own

    @property
    def rejected(self):
        """Image and mask files that fail, each once, sorted."""
        files = {finding.file for finding in self.errors}
        return sorted(f for f in files if f[-1] != "/" and not f.startswith("splits.csv"))

    @property
    def counts(self):
        """{class: {split: number of good images}}"""
        table = {name: dict.fromkeys(SPLITS, 0) for name in self.classes}
        for record in self.records:
            table[record.class_name][record.split] += 1
        return table

    @property
    def sizes(self):
        """{"height": (least, median, greatest), "width": ...} in pixels; zeros without images."""
        sides = np.asarray([record.size for record in self.records] or [(0, 0)])
        triple = np.stack([sides.min(0), np.median(sides, 0), sides.max(0)], axis=1).astype(int)
        return {"height": tuple(triple[0].tolist()), "width": tuple(triple[1].tolist())}

    @property
    def formats(self):
        """{"8-bit grey": number of files, ...}"""
        kinds = (f"{r.bits}-bit {'grey' if r.channels == 1 else 'RGB'}" for r in self.records)
        return dict(sorted(collections.Counter(kinds).items()))

    @property
    def fingerprint(self):
        """16 hex digits over class, name, pixels, mask and split of all good files."""
        rows = [(r.class_name, r.name, r.digest, r.mask_digest, r.split) for r in self.records]
        text = "\n".join("\0".join(row) for row in sorted(rows))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def lines(self):
        """Format all findings, warnings then errors, one a line with file and reason."""
        return [f"warning: {finding}" for finding in self.warnings] + [
            f"error: {finding}" for finding in self.errors
        ]


def audit(data, seed=0):
    """Check every file of a set and split what is good; writes nothing.

    data: config.data, which says where the set is and how its files are read. Where annotations
    divide the set, or a splits.csv beside (columns file,split), they decide the splits; else these
    are drawn by class from `seed` and the file names in the shares data.fractions, keeping together
    pictures whose stems have equal matches of the regular expression data.group, and copies of one
    picture (also mirrored). With data.fold they are those of a fold of all images, whatever the set
    says, which is warned.

    Exact copies are warnings within a split and errors across splits, where `records` keeps the
    copy in test before val before train: evaluation stays as it was, training loses a copy. Copies
    of different classes are errors anywhere.

    Returns an AuditReport, remembered until a file changes.
    Raises ConfigError where the folder or the fields cannot be used at all.
    """
    data = data.copy_and_resolve_references()
    check_scaling(data)
    data.fractions = assign.check_fractions(data.fractions)
    assign.check_group(data.group)
    parse_fold(data)
    masks.check_fields(data)
    if not 1 <= data.range <= images.WHITE:
        raise ConfigError(
            f"data.range={data.range} is not in 1..{images.WHITE}; give the greatest value of the "
            "camera, 4095 for 12 bits"
        )
    for name in ("max_megapixels", "max_compression"):
        if not data[name] > 0:
            raise ConfigError(f"data.{name}={data[name]:g} is not above 0")
    return _audit(FrozenConfigDict(data), int(seed), signature(layouts.find(data).places(data)))


@functools.lru_cache(maxsize=8)
def _audit(data, seed, state):
    """Audit as `audit` does; `state` stands for the files and their content in the cache's key."""
    del state
    data = ConfigDict(data)
    root, entries, folders, found = layouts.find(data).list_set(data)
    good, more = examine_all(root, entries, data)
    errors, warnings = found.errors + more.errors, found.warnings + more.warnings
    good, small = _large_enough(root, good, data)
    errors += small
    classes = _classes(folders, good, data, complete=not (more.errors or small))
    good = [dataclasses.replace(r, label=classes.index(r.class_name)) for r in good]
    good.sort(key=lambda record: record.label)
    table, num_groups = root / "splits.csv", 0
    own = any(entry.split for entry in entries)  # the annotations divide the set
    by_table = table.exists() and not own
    fold, listed = parse_fold(data), own or by_table
    if fold and listed:
        detail = "data.fold draws the splits of all images"
        name = "splits.csv" if by_table else relative(root, pathlib.Path(data.path))
        warnings.append(Finding(name, "not used", detail))
        listed = by_table = False
    if by_table:
        known = {entry.file: relative(root, entry.image) for entry in entries}
        good, findings = _split_by_table(good, known, table)
        errors += findings
    # Before the draw, so that a picture that is left out is nobody's only image in a split.
    good, refused, doubtful = _duplicates(root, good)
    errors += refused
    warnings += doubtful
    if good and not listed:
        groups = assign.groups_of(good, data.group)
        num_groups = int(groups.max()) + 1
        names, numbers = [r.id for r in good], np.asarray([r.label for r in good])
        if fold:
            drawn = assign.assign_fold(names, classes, numbers, groups, data.fractions, fold, seed)
        else:
            drawn = assign.assign(names, numbers, groups, data.fractions, seed)
        good = [dataclasses.replace(r, split=s) for r, s in zip(good, drawn, strict=True)]
    gaps = _uncovered(classes, good)
    (warnings if listed else errors).extend(gaps)

    def order(finding):
        """Order findings by reason; what a class lacks comes after the files that it lost."""
        return finding in gaps, finding.reason, finding.file, finding.detail

    return AuditReport(
        path=data.path,
        root=root,
        classes=classes,
        records=tuple(good),
        errors=tuple(sorted(errors, key=order)),
        warnings=tuple(sorted(warnings, key=order)),
        has_masks=any(entry.mask and not entry.boxed for entry in entries),
        num_groups=num_groups,
    )


def _classes(folders, records, data, complete):
    """List the classes of a set: its folders or, with data.mask_values, what that names.

    Of the folders then remain those with pictures whose masks say nothing. Raises ConfigError for a
    name that the masks of a `complete` set, one without bad files, hardly have.
    """
    kinds = masks.parse_kinds(data.mask_values)
    if not kinds:
        return (NORMAL, *sorted(set(folders) - {NORMAL}))
    counts = collections.Counter(record.class_name for record in records)
    for name in kinds.classes:
        if complete and counts[name] < 2:
            raise ConfigError(
                f"data.mask_values={data.mask_values!r}: {counts[name]} masks have the value of "
                f"{name!r}; every class needs at least 2; check the value, or leave it out"
            )
    return (NORMAL, *sorted((set(counts) | set(kinds.classes)) - {NORMAL}))


def _large_enough(root, records, data):
    """Leave out pictures too small to be cropped at data.scale: (the other records, errors)."""
    if not data.scale or data.upscale:
        return records, []
    small = {r.image: r.size for r in records if min(r.size) < windows.least_side(data)}
    errors = [
        Finding(
            relative(root, image),
            "too small",
            f"{size[1]}x{size[0]}, below {windows.told_least(data)}; use "
            f"{windows.for_small(size, data)}",
        )
        for image, size in small.items()
    ]
    return [record for record in records if record.image not in small], errors


def _split_by_table(records, known, table):
    """Set each record's split from splits.csv: (records with one, findings).

    known: {<class>/<name>: file, for messages} of all pictures.
    """
    listed, findings = {}, []
    for line, name, word in assign.read_csv(table):
        if name not in known:
            findings.append(Finding(f"splits.csv:{line}", "unknown file", f"no picture {name}"))
        elif word not in SPLITS:
            hint = nearest(word, SPLITS)
            detail = f"{word!r} in splits.csv line {line}{hint}; use {', '.join(SPLITS)}"
            findings.append(Finding(known[name], "unknown split", detail))
            listed[name] = None
        elif listed.setdefault(name, word) != word:
            detail = f"splits.csv has it as {listed[name]} and, in line {line}, as {word}"
            findings.append(Finding(known[name], "unknown split", detail))
            listed[name] = None
    for file in dict.fromkeys(record.file for record in records):
        if file not in listed:
            detail = "not listed in splits.csv"
            findings.append(Finding(known[file], "unknown split", detail))
    kept = [r for r in records if listed.get(r.file)]
    return [dataclasses.replace(r, split=listed[r.file]) for r in kept], findings


def _duplicates(root, records):
    """Find copies: (records without those in another split or class, errors, warnings).

    Before the splits are drawn no record has one: copies will share theirs.
    """
    order = ("", *SPLITS)
    same = collections.defaultdict(dict)  # {pixels: {file: its records}}
    for record in records:
        same[record.canonical].setdefault(record.image, []).append(record)
    dropped, errors, warnings = set(), [], []
    for files in same.values():
        if len(files) == 1:
            continue
        copies = [(own[0], {record.class_name for record in own}) for own in files.values()]
        last = max((copy.split for copy, _ in copies), key=order.index)
        first, shown = next(pair for pair in copies if pair[0].split == last)
        for copy, classes in copies:
            if copy is first:
                continue
            across, reason = copy.split != first.split, "duplicate"
            how = "same pixels" if copy.digest == first.digest else "mirror image"
            detail = f"{how} as {relative(root, first.image)}"
            if across:
                reason = "cross-split duplicate"
                detail += f"; this one is in {copy.split}, that one in {first.split}"
            if classes != shown:
                names = [labels.SEPARATOR.join(sorted(both)) for both in (classes, shown)]
                reason = f"label conflict: {names[0]} and {names[1]}"
                by_folder = all(
                    one.image.parent.name == one.class_name and not isinstance(one.mask, Annotated)
                    for one in (copy, first)
                )
                place = relative(root, copy.image.parent.parent) if by_folder else ""
                detail += f"; {_remedy(names, place)}"
            if across or classes != shown:
                dropped.add(copy.image)
                errors.append(Finding(relative(root, copy.image), reason, detail))
            else:
                warnings.append(Finding(relative(root, copy.image), reason, detail))
    return [record for record in records if record.image not in dropped], errors, warnings


def _remedy(names, place):
    """Say what to do with a picture of two classes. place: of the folders that tell them, or ""."""
    if NORMAL in names or not place:
        return "take one of them out"
    both = labels.SEPARATOR.join(sorted(labels.names(names)))
    return f"take one of them out or, if it shows both, put it into {place}/{both}/ alone"


def _uncovered(classes, records):
    """List findings for the classes without an image in train or val."""
    present = {(record.class_name, record.split) for record in records}
    detail = "too few good images, or they are one group (data.group, copies); add images"
    return [
        Finding(f"images/{name}/", f"class without an image in {split}", detail)
        for name in classes
        for split in ("train", "val")
        if (name, split) not in present
    ]
