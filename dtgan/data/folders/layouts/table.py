"""A table of labels: CSV with a file and a class a row, and perhaps run lengths or boxes.

data.csv_columns says which column is which; without it the columns are called as the fields are:

file        name of the picture, relative to data.images
class       of the defect; "normal", or empty: the picture has none
file_class  both in one, joined by "_": a.jpg_1
rle         "start length start length ...", down the columns, from 1 on; empty: no defect
x y w h     a box in pixels that holds the defect
split       train, val or test

Of a table with run lengths or boxes, pictures that no row names are normal.
"""

import csv
import pathlib

from dtgan.config import NORMAL, ConfigError, nearest
from dtgan.data.folders import shapes
from dtgan.data.folders.layouts import base

FIELDS = ("file", "class", "file_class", "rle", "x", "y", "w", "h", "split")
_BOX = ("x", "y", "w", "h")
_WHOLE = shapes.Box(0.0, 0.0, 1.0, 1.0, relative=True)  # holds a defect whose place is not known
_NONE = ("", "nan", "none", "null")  # how tools write an empty cell
csv.field_size_limit(2**31 - 1)  # run lengths of a large picture are long


def places(data):
    """List the files that are read of the set."""
    file = _find(data)
    pictures = base.walk(base.find_images(file.parent, data, file.name))
    return [file, file.parent / "splits.csv", *pictures]


def list_set(data):
    """List the set without decoding: Contents.

    Raises ConfigError for a table without the columns, and where no training is possible.
    """
    file = _find(data)
    folder, (columns, rows) = base.find_images(file.parent, data, file.name), _read(file, data)
    collector = base.Collector(file.parent, data)
    names = [_named(row, columns)[0] for _, row in rows]
    folder = base.holding([folder], names, file)
    seen = set()
    for line, row in rows:
        name, class_name = _named(row, columns)
        path = base.find_picture(collector, folder, name, file, f":{line}")
        if path:
            key = tuple(row.get(column) for column in columns.values())
            _take(collector, path, class_name, row, columns, file, f":{line}", key in seen)
            seen.add(key)
    for path, picture in collector.pictures.items():
        if {NORMAL} < picture.names:
            detail = f"{file.name} has it as {' and '.join(sorted(picture.names))}"
            collector.fault(path, "", "label conflict", detail, picture)
        _settle(picture)
    if columns.keys() & {"rle", "x"}:
        for path in base.pictures_in(folder, collector.found):
            collector.add(path, "", file)
    else:
        base.tell_unlabelled(collector, [file])
    if "split" in columns:
        for path, picture in collector.pictures.items():
            if not picture.split and not picture.bad:
                detail = f"{file.name} gives it none; write train, val or test"
                collector.fault(path, "", "unknown split", detail, picture)
    return collector.contents()


def parse_columns(text):
    """Parse "file:ImageId,class:ClassId" to {field: column}. Raises ConfigError for other text."""
    columns = {}
    for item in filter(None, text.split(",")):
        field, colon, column = (part.strip() for part in item.partition(":"))
        if field not in FIELDS:
            raise ConfigError(
                f"data.csv_columns={text!r}: {field!r} is not one of {', '.join(FIELDS)}"
                f"{nearest(field, FIELDS)}"
            )
        if not colon or not column or field in columns:
            raise ConfigError(
                f"data.csv_columns={text!r}: {item.strip()!r} is not FIELD:COLUMN, each field "
                "once, as in file:ImageId,class:ClassId"
            )
        columns[field] = column
    return columns


def _find(data):
    """Find the table: data.path itself, or the one of that folder."""
    path = pathlib.Path(data.path)
    if path.is_file():
        return path
    files = [file for file in sorted(path.glob("*.csv")) if file.name != "splits.csv"]
    if len(files) == 1:
        return files[0]
    have = "is no CSV file, nor a folder with one"
    if files:
        have = f"holds {', '.join(file.name for file in files)}"
    raise ConfigError(f"data.path={data.path} {have}; give the file, as in DIR/train.csv")


def _read(file, data):
    """Read the table: ({field: column}, [(line, {column: text})])."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            head = opened.readline()
            delimiter = max(",;\t", key=head.count)
            opened.seek(0)
            reader = csv.DictReader(opened, delimiter=delimiter, skipinitialspace=True)
            header = [str(name).strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            columns = _columns(file, header, data)
            return columns, [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{file} cannot be read ({error}); save it as UTF-8 CSV") from None


def _columns(file, header, data):
    """List {field: column} of a table. Raises ConfigError where it lacks what is needed."""
    columns = {field: field for field in FIELDS if field in header}
    columns |= parse_columns(data.csv_columns)
    has = f"{file} has the columns {base.one_line(', '.join(header)) or '(none)'}"
    for field, column in columns.items():
        if column not in header:
            raise ConfigError(
                f"{has}, and no {column!r}{nearest(column, header)}; "
                f"mend {field}:{column} in --config.data.csv_columns"
            )
    if "file_class" not in columns and not {"file", "class"} <= columns.keys():
        raise ConfigError(
            f"{has}; say which hold the file and the class: "
            "--config.data.csv_columns=file:COLUMN,class:COLUMN"
        )
    if 0 < len(columns.keys() & set(_BOX)) < len(_BOX):
        raise ConfigError(f"{has}; a box needs four of them: x, y, w and h")
    return columns


def _named(row, columns):
    """Read (name of the picture, class) of a row."""
    if "file_class" in columns:
        name, _, class_name = _cell(row, columns["file_class"]).rpartition("_")
        return name, class_name
    return _cell(row, columns["file"]), _cell(row, columns["class"])


def _cell(row, column):
    text = row.get(column)
    text = text.strip() if isinstance(text, str) else ""
    return "" if text.lower() in _NONE else text


def _take(collector, path, class_name, row, columns, file, where, again):
    """Take in a row about a picture. again: whether an equal row was there before."""
    picture = collector.add(path, "", file)
    if again:
        collector.fault(file, where, "row twice", f"{path.name} is there already", picture)
        return
    if "split" in columns:
        word = _cell(row, columns["split"])
        split = base.parse_split(word)
        if not split or picture.split not in ("", split):
            detail = f"{word!r}" + (f" and {picture.split}" if picture.split else "")
            detail += "; use one of train, val, test for all rows of a picture"
            collector.fault(file, where, "unknown split", detail, picture)
            return
        picture.split = split
    try:
        form = _form(row, columns)
    except ValueError as error:
        collector.fault(file, where, "wrong annotation", str(error), picture)
        return
    if form and not class_name:
        collector.fault(file, where, "wrong annotation", "a defect without a class", picture)
    elif class_name == NORMAL or not class_name or ("rle" in columns and not form):
        if form:
            collector.fault(file, where, "wrong annotation", f"a defect of class {NORMAL}", picture)
        if class_name == NORMAL:
            picture.names.add(NORMAL)
    else:
        picture.names.add(class_name)
        if form:
            picture.shapes.append(shapes.Shape(class_name, where, form))


def _form(row, columns):
    """Parse the run lengths or the box of a row, None where it has none."""
    if "rle" in columns:
        text = _cell(row, columns["rle"])
        return shapes.parse_runs(text) if text else None
    if "x" not in columns:
        return None
    cells = [_cell(row, columns[name]) for name in _BOX]
    if not any(cells):
        return None
    try:
        return shapes.parse_box([float(cell) for cell in cells])
    except ValueError as error:
        raise ValueError(f"{','.join(cells)[:60]}: {error}") from None


def _settle(picture):
    """Give the classes of a picture without a place, beside others with one, the whole of it."""
    placed = {shape.class_name for shape in picture.shapes}
    if placed:
        left = sorted(picture.names - placed - {NORMAL})
        picture.shapes += [shapes.Shape(name, "", _WHOLE) for name in left]
