"""The audit of the run's data as a piece of HTML: what is wrong, with the pictures."""

import base64
import io
import pathlib

from dtgan import images
from dtgan.config import FILE_SOURCES, ConfigError
from dtgan.data import account
from dtgan.data.folders.audit import audit
from dtgan.data.splits import SPLITS
from dtgan.studio.markup import line, text

SHOWN = 100  # findings with a picture; the rest are counted
_SIDE = 120  # pixels of a small picture


def page(config, trained):
    """Audit the data of a run: HTML.

    config: of the run; trained: its source, None where it cannot be read. Data that are not a
    folder have no files to audit; of them is told what scaling and cropping lose.
    """
    data, parts = config.data, []
    if data.source in FILE_SOURCES:
        try:
            report = audit(data)
        except ConfigError as error:
            return line(error, "bad")
        findings = [("error", f) for f in report.errors] + [("warning", f) for f in report.warnings]
        root = report.root
        parts.append(_counts(report))
        state = f"Errors: {len(report.errors)}. Warnings: {len(report.warnings)}."
        parts.append(line(state, "bad" if report.errors else "good"))
    else:
        findings, root = [], pathlib.Path()
        parts.append(line(f"The run learnt of data.source={data.source}: no files to check."))
    if trained is not None:
        told = account.findings(account.account(trained, data), data)
        parts += [line(found, "bad") for found in told]
        if not told:
            parts.append(line("Scaling and cropping leave every defect that has a mask.", "good"))
    parts.append(_table(findings[:SHOWN], root, data))
    if len(findings) > SHOWN:
        more = f"and {len(findings) - SHOWN} more: {account.audit_command(data)}"
        parts.append(line(more))
    return "".join(parts)


def _counts(report):
    """Tabulate the good images by class and split."""
    head = "".join(f"<th>{text(name)}</th>" for name in ("class", *SPLITS))
    rows = "".join(
        f"<tr><td>{text(name)}</td>{''.join(f'<td>{counts[s]}</td>' for s in SPLITS)}</tr>"
        for name, counts in report.counts.items()
    )
    return f'<table class="counts"><tr>{head}</tr>{rows}</table>'


def _table(findings, root, data):
    """Tabulate findings, each with a small picture of its file."""
    if not findings:
        return ""
    rows = "".join(
        f'<tr class="{kind}"><td>{_small(root / found.file, data)}</td><td>{kind}</td>'
        f"<td>{text(found.file)}</td><td>{text(found.reason)}</td><td>{text(found.detail)}</td></tr>"
        for kind, found in findings
    )
    head = "".join(f"<th>{name}</th>" for name in ("", "", "file", "finding", "detail"))
    return f'<table class="findings"><tr>{head}</tr>{rows}</table>'


def _small(path, data):
    """Make an <img> of a file, with its pixels in it; words where it cannot be shown."""
    if not path.is_file():
        return ""
    try:
        picture = images.decode(path, data.max_megapixels, data.max_compression)
        small = images.as_pillow(images.to_array(picture, None, data.range))
    except Exception:  # decoders raise errors of any type on broken bytes; the finding says which
        return '<span class="none">cannot be shown</span>'
    small.thumbnail((_SIDE, _SIDE))
    encoded = io.BytesIO()
    small.save(encoded, format="PNG")
    content = base64.b64encode(encoded.getvalue()).decode()
    return f'<img alt="" src="data:image/png;base64,{content}">'
