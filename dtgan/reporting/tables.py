"""Tables as lines of aligned text: names flush left, numbers flush right."""


def aligned(rows):
    """Align rows of equally many texts: a list of lines, columns two spaces apart.

    The first column is flush left, the others flush right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        padded = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *padded]))
    return lines


def columns(title, rows, spec):
    """Format scores as aligned lines: a heading, then one line a row.

    rows: (name, {key: value}); spec: (heading, key, digits) of every column. Values are as in
    `number`. A column without any value is left out.
    """
    cells = [[title, *(heading for heading, _, _ in spec)]]
    for name, values in rows:
        cells.append([f"  {name}", *(number(values.get(key), digits) for _, key, digits in spec)])
    by_column = list(zip(*cells, strict=True))
    kept = by_column[:1] + [column for column in by_column[1:] if set(column[1:]) - {"-"}]
    return aligned(list(zip(*kept, strict=True)))


def number(value, digits):
    """Format a number with `digits` decimals; an interval as "[low, high]", None as "-"."""
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(number(part, digits) for part in value) + "]"
    return f"{value:.{digits}f}"
