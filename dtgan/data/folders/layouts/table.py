"""A table of labels: CSV with a file and a class a row, and perhaps run lengths or boxes.

data.csv_columns says which column is which; without it the columns are called as the fields are:

file        name of the picture, relative to data.images
class       of the defect; "normal", "good", "OK" or empty: the picture has none
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
    columns, rows = _read(file, data)
    table = _Table(base.Collector(file.parent, data), file, columns)
    folder = base.find_images(file.parent, data, file.name)
    folder = base.holding([folder], [table.named(row)[0] for _, row in rows], file)
    for line, row in rows:
        table.take(f":{line}", row, folder)
    table.close(folder)
    return table.to.contents()


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


class _Table:
    """Takes the rows of a table into a `base.Collector`, `to`. columns: {field: column}."""

    def __init__(self, to, file, columns):
        self.to, self._file, self._columns, self._seen = to, file, columns, set()

    def named(self, row):
        """Read (name of the picture, class) of a row."""
        if "file_class" in self._columns:
            name, _, class_name = self._cell(row, "file_class").rpartition("_")
            return name, class_name
        return self._cell(row, "file"), self._cell(row, "class")

    def take(self, where, row, folder):
        """Take in a row about a picture in `folder`."""
        name, class_name = self.named(row)
        path = base.find_picture(self.to, folder, name, self._file, where)
        if not path:
            return
        picture = self.to.add(path, "", self._file)
        cells = tuple(self._cell(row, field) for field in self._columns)
        if cells in self._seen:
            self.to.fault(self._file, where, "row twice", f"{name} is there already", picture)
            return
        self._seen.add(cells)
        if "split" in self._columns:
            self._divide(where, self._cell(row, "split"), picture)
        try:
            self._label(where, class_name, self._form(row), picture)
        except ValueError as error:
            self.to.fault(self._file, where, "wrong annotation", str(error), picture)

    def close(self, folder):
        """Take in what the rows leave open, once all are there."""
        if self._columns.keys() & {"rle", "x"}:
            for path in base.pictures_in(folder, self.to.found):
                self.to.add(path, "", self._file)
        else:
            base.tell_unlabelled(self.to, [self._file])
        for path, picture in self.to.pictures.items():
            name = self._file.name
            if picture.normal and picture.names:
                detail = f"{name} has it as {NORMAL} and as {', '.join(sorted(picture.names))}"
                self.to.fault(path, "", "label conflict", detail, picture)
            if "split" in self._columns and not picture.split and not picture.bad:
                detail = f"{name} gives it none; write train, val or test"
                self.to.fault(path, "", "unknown split", detail, picture)
            # A class without a place beside others that have one may be anywhere.
            left = sorted(picture.names - {shape.class_name for shape in picture.shapes})
            if picture.shapes:
                picture.shapes += [shapes.Shape(name, "", _WHOLE) for name in left]

    def _cell(self, row, field):
        text = row.get(self._columns[field])
        text = text.strip() if isinstance(text, str) else ""
        return "" if text.lower() in _NONE else text

    def _divide(self, where, word, picture):
        """Put a picture into the split that a row gives it."""
        split = base.parse_split(word)
        if split and picture.split in ("", split):
            picture.split = split
            return
        detail = f"{word!r}" + (f" and {picture.split}" if picture.split else "")
        detail += "; use one of train, val, test for all rows of a picture"
        self.to.fault(self._file, where, "unknown split", detail, picture)

    def _form(self, row):
        """Parse the run lengths or the box of a row, None where it has none."""
        if "rle" in self._columns:
            text = self._cell(row, "rle")
            return shapes.parse_runs(text) if text else None
        cells = [self._cell(row, field) for field in _BOX if field in self._columns]
        if not any(cells):
            return None
        try:
            return shapes.parse_box([float(cell) for cell in cells])
        except ValueError as error:
            raise ValueError(f"{','.join(cells)[:60]}: {error}") from None

    def _label(self, where, class_name, form, picture):
        """Note what a row says that a picture shows. Raises ValueError where that is nonsense."""
        normal = not class_name or base.is_normal(class_name)
        if normal and form:
            raise ValueError(f"a defect of the class {class_name!r}")
        if normal:
            picture.normal |= bool(class_name)
        elif form or "rle" not in self._columns:
            picture.names.add(class_name)
            if form:
                picture.shapes.append(shapes.Shape(class_name, where, form))
