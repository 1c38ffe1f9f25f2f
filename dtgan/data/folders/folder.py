"""A set of image files in any of the `layouts`, such as images/<class>/* and masks/<class>/*.

The class "normal" is defect-free and has label 0; the others, sorted by name, have 1..K. A mask has
its image's stem and size; `masks.py` says which of its values mark the defect, `shapes.py` what
annotations do.
"""

from dtgan.config import ConfigError
from dtgan.data.account import audit_command
from dtgan.data.folders import audit
from dtgan.data.folders.files import FileSource
from dtgan.data.folders.scan import check_count
from dtgan.data.splits import parse_split

_LISTED = 20  # findings in an error message


class FolderSource(FileSource):
    """Random access to one split, or several joined by "+", of a set of image files.

    data: config.data. Its source says how the set is laid out, one of config.FILE_SOURCES;
        data.fold overrules the splits that it has. With skip_bad, goes on without the files that
        the audit rejects; of a picture in two splits the copy in train is dropped (or that in val,
        for one in val and test), so that no test image is known from training.
    seed: of the automatic split.

    Attributes: `classes` ("normal" first), `labels` int32 [N], `sizes` int32 [N, 2] (height,
    width), `fingerprint` (16 hex digits of all splits' content), `skipped` (files left out,
    images and masks; an image goes with its bad mask).

    Raises ConfigError where the set cannot be used, or has bad files and skip_bad is off.
    """

    def __init__(self, data, split="train", seed=0):
        wanted = parse_split(split)
        if data.channels not in (1, 3):
            raise ConfigError(f"data.channels={data.channels!r} is not 1 (grey) or 3 (RGB)")
        report = audit.audit(data, seed)
        if report.errors:
            if not data.skip_bad:
                raise ConfigError(_complaint(report, data))
            _check_rest(report)
        self.skipped = len(report.rejected)
        records = [record for record in report.records if record.split in wanted]
        self.warnings = tuple(map(str, report.warnings))
        super().__init__(records, report.classes, data, report.has_masks, report.fingerprint)


def _complaint(report, data):
    """Format the message of a failed audit: number of files, remedy, first findings."""
    files = len({finding.file for finding in report.errors})
    lines = [
        f"{files} file{'' if files == 1 else 's'} in {report.path} fail{'s' if files == 1 else ''} "
        f"the audit; fix what `{audit_command(data)}` lists, "
        "or go on without them: --config.data.skip_bad=True"
    ]
    lines += [f"  {finding}" for finding in report.errors[:_LISTED]]
    if len(report.errors) > _LISTED:
        lines.append(f"  ... and {len(report.errors) - _LISTED} more")
    return "\n".join(lines)


def _check_rest(report):
    """Raise ConfigError where the files that remain are too few to train on."""
    for name, counts in report.counts.items():
        check_count(name, sum(counts.values()))
    for finding in report.errors:
        if finding.file.endswith("/"):
            raise ConfigError(str(finding))
