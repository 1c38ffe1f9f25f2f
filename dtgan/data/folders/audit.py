"""The audit of a folder of images: decode every file once, list all that is wrong, split the rest.

Layout: images/<class>/*, and masks/<class>/* with the same stem and any image suffix. `folder.py`
reads what passes; `python -m dtgan.audit` prints the report.
"""

import collections
import dataclasses
import functools
import hashlib
import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from dtgan.config import ConfigError, nearest
from dtgan.data.folders import assign
from dtgan.data.folders.scan import Finding, examine, list_files, relative, signature, stem
from dtgan.data.splits import SPLITS


@dataclasses.dataclass(frozen=True)
class AuditReport:
    """Result of `audit`. `records` are the good files, sorted by label and name."""

    path: str
    classes: tuple  # "normal" first
    records: tuple
    errors: tuple  # of Finding
    warnings: tuple
    has_masks: bool  # whether the set holds any mask
    num_groups: int  # groups that the automatic split kept together; 0 with a splits.csv

    @property
    def rejected(self):
        """Image and mask files that fail, each once, sorted."""
        files = {finding.file for finding in self.errors}
        return sorted(f for f in files if f.startswith(("images/", "masks/")) and f[-1] != "/")

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


def audit(path, fractions=(0.7, 0.15, 0.15), seed=0, group=""):
    """Check every file under `path` and split what is good; writes nothing.

    A splits.csv in `path` (columns file,split) decides the splits; else they are drawn by class
    from `seed` and the file names, keeping together pictures whose stems have equal matches of
    the regular expression `group`, and copies of one picture (also mirrored).

    Exact copies are warnings within a split and errors across splits, where `records` keeps the
    copy in test before val before train: evaluation stays as it was, training loses a copy.

    Returns an AuditReport, remembered until a file changes.
    Raises ConfigError where the folder, the fractions or `group` cannot be used at all.
    """
    fractions = assign.check_fractions(fractions)
    assign.group_key("", group)
    root = pathlib.Path(path)
    if not root.is_dir():
        raise ConfigError(f"data.path={path} is not a folder; give one that holds images/<class>/*")
    return _audit(str(root), str(root.absolute()), fractions, int(seed), group, signature(root))


@functools.lru_cache(maxsize=8)
def _audit(shown, path, fractions, seed, group, state):
    """Audit as `audit` does; `state` stands for the files' content in the key of the cache."""
    del state
    root = pathlib.Path(path)
    entries, classes, has_masks, errors, warnings = list_files(root, shown)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(functools.partial(examine, root), entries))
    for entry, (_, failed, doubtful) in zip(entries, results, strict=True):
        errors += failed
        warnings += doubtful
        if has_masks and entry.label and not entry.mask:
            detail = "reads has_mask=False"
            warnings.append(Finding(relative(root, entry.image), "no mask", detail))
    good = [record for record, failed, _ in results if not failed]
    table, num_groups = root / "splits.csv", 0
    if table.exists():
        good, findings = _split_by_table(good, {entry.id for entry in entries}, table)
        errors += findings
    elif good:
        keys = [(assign.group_key(stem(r.image), group), ("pixels", r.canonical)) for r in good]
        groups = assign.components(keys)
        num_groups = int(groups.max()) + 1
        labels = np.asarray([r.label for r in good])
        drawn = assign.assign([r.id for r in good], labels, groups, fractions, seed)
        good = [dataclasses.replace(r, split=s) for r, s in zip(good, drawn, strict=True)]
    good, across, inside = _duplicates(good)
    errors += across
    warnings += inside
    gaps = _uncovered(classes, good)
    (warnings if table.exists() else errors).extend(gaps)
    order = {"key": lambda finding: (finding.reason, finding.file, finding.detail)}
    return AuditReport(
        path=shown,
        classes=classes,
        records=tuple(good),
        errors=tuple(sorted(errors, **order)),
        warnings=tuple(sorted(warnings, **order)),
        has_masks=has_masks,
        num_groups=num_groups,
    )


def _split_by_table(records, known, table):
    """Set each record's split from splits.csv: (records with one, findings)."""
    listed, findings = {}, []
    for line, name, word in assign.read_csv(table):
        if name not in known:
            findings.append(Finding(f"splits.csv:{line}", "unknown file", f"no images/{name}"))
        elif word not in SPLITS:
            hint = nearest(word, SPLITS)
            detail = f"{word!r} in splits.csv line {line}{hint}; use {', '.join(SPLITS)}"
            findings.append(Finding(f"images/{name}", "unknown split", detail))
            listed[name] = None
        elif listed.setdefault(name, word) != word:
            detail = f"splits.csv has it as {listed[name]} and, in line {line}, as {word}"
            findings.append(Finding(f"images/{name}", "unknown split", detail))
            listed[name] = None
    for record in records:
        if record.id not in listed:
            detail = "not listed in splits.csv"
            findings.append(Finding(f"images/{record.id}", "unknown split", detail))
    kept = [r for r in records if listed.get(r.id)]
    return [dataclasses.replace(r, split=listed[r.id]) for r in kept], findings


def _duplicates(records):
    """Find copies: (records without those in another split, errors, warnings)."""
    same = collections.defaultdict(list)
    for record in records:
        same[record.canonical].append(record)
    dropped, errors, warnings = set(), [], []
    for copies in same.values():
        last = max(SPLITS.index(copy.split) for copy in copies)
        first = next(copy for copy in copies if copy.split == SPLITS[last])
        for copy in (copy for copy in copies if copy is not first):
            across = copy.split != first.split
            how = "same pixels" if copy.digest == first.digest else "mirror image"
            detail = f"{how} as images/{first.id}"
            reason = "cross-split duplicate" if across else "duplicate"
            if across:
                detail += f"; this one is in {copy.split}, that one in {first.split}"
                dropped.add(copy.id)
            if copy.label != first.label:
                reason = f"label conflict: {copy.class_name} and {first.class_name}"
            (errors if across else warnings).append(Finding(f"images/{copy.id}", reason, detail))
    return [record for record in records if record.id not in dropped], errors, warnings


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
