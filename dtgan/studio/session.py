"""What one tab of the browser has chosen, drawn and kept; no other tab sees it.

Pure logic: the page (`page.py`) calls these methods and shows what they return. Whatever a person
can mend is a ConfigError whose text the page shows.
"""

from typing import NamedTuple

from dtgan.annotations import instances
from dtgan.config import ConfigError
from dtgan.studio.kept import Kept
from dtgan.studio.render import Renderer
from dtgan.studio.stock import Stock

MOST_UNDONE = 20  # actions that can be undone
SHELF = 12  # pictures to choose from that are shown at a time


class Studio(NamedTuple):
    """What all tabs share. about: what every record says of the model, {"checkpoint", ...}."""

    renderer: Renderer
    stock: Stock
    kept: Kept
    about: dict


class Shelf:
    """Some of many numbered pictures, which are shown a few at a time. shown: their numbers."""

    def __init__(self, numbers=()):
        self._numbers, self._first = list(numbers), 0

    @property
    def shown(self):
        return self._numbers[self._first : self._first + SHELF]

    def turn(self):
        """Go on to the next ones, after the last to the first."""
        self._first += SHELF
        if self._first >= len(self._numbers):
            self._first = 0


class Session:
    """The choices of one tab; at first a surface and a defect of the run.

    surface, defect: stock.Surface and stock.Defect or None; drawn: render.Drawn or None. surfaces,
    defects: Shelf of those to choose from.
    """

    def __init__(self, studio):
        self.studio = studio
        self.surface = self.defect = self.drawn = None
        flags = studio.renderer.controls
        self.surfaces = Shelf(studio.stock.surfaces() if flags.surface else ())
        if self.surfaces.shown:
            self.choose_surface(self.surfaces.shown[0])
        self.open_class(1)
        self._done = []  # what undo takes back: ("keep", file) or ("remove", (record, pictures))
        self._file = ""  # of the picture that was drawn last, once it is kept

    def open_class(self, label):
        """Put the defects of a class on the shelf and choose the first, where there is one."""
        needed = self.studio.renderer.controls.defect
        self.defects = Shelf(self.studio.stock.defects_of(label) if needed else ())
        self.defect = None
        if self.defects.shown:
            self.choose_defect(self.defects.shown[0])

    def choose_surface(self, number):
        """Choose a surface of the run by its number; returns the Surface."""
        self.surface = self.studio.stock.surface(number)
        return self.surface

    def upload_surface(self, path):
        """Choose an uploaded surface; returns it. Raises ConfigError for an unfit file."""
        self.surface = self.studio.stock.upload_surface(path)
        return self.surface

    def choose_defect(self, number):
        """Choose a defect of the run by its number; returns the Defect."""
        self.defect = self.studio.stock.defect(number)
        return self.defect

    def upload_defect(self, path, mask_path=None):
        """Choose an uploaded defect; returns it. Raises ConfigError for an unfit file."""
        defect = self.studio.stock.upload_defect(path, mask_path)
        self.studio.renderer.find(defect)  # refuses one whose mask is needed
        self.defect = defect
        return defect

    def draw(self, wish):
        """Draw what a render.Wish asks for of the chosen pictures: render.Drawn."""
        self.drawn = self.studio.renderer.draw(self.surface, self.defect, wish)
        self._file = ""
        return self.drawn

    def keep(self):
        """Keep what was drawn last; returns its record.

        Raises ConfigError where there is nothing to keep.
        """
        drawn = self.drawn
        if drawn is None:
            raise ConfigError("There is nothing to keep yet: draw first.")
        if self._file:
            raise ConfigError("This picture is kept already; draw another one.")
        if drawn.empty:
            raise ConfigError("No defect shows here, so there is nothing to label; draw again.")
        record = self.studio.kept.add(drawn.wish.label, drawn.pictures, self._record(drawn))
        self._file = record["file"]
        self._did("keep", self._file)
        return record

    def remove(self, file):
        """Remove a kept picture by the `file` of its record; undo brings it back."""
        self._did("remove", self.studio.kept.remove(file))
        self._forget(file)

    def undo(self):
        """Take back this tab's last keep or remove; returns what was done, in words."""
        if not self._done:
            raise ConfigError("There is nothing to undo in this tab.")
        what, of = self._done.pop()
        if what == "keep":
            self.studio.kept.remove(of)
            self._forget(of)
            return f"{of} is no longer kept."
        self.studio.kept.restore(*of)
        return f"{of[0]['file']} is kept again."

    def _forget(self, file):
        """Let the picture on the page be kept again, where it was this one."""
        if self._file == file:
            self._file = ""

    def _did(self, what, of):
        self._done = [*self._done, (what, of)][-MOST_UNDONE:]

    def _record(self, drawn):
        """Say where a picture comes from, in the words of `generation.draw`."""
        wish, flags = drawn.wish, self.studio.renderer.controls
        record = {}
        if drawn.defect is not None:
            record |= {"defect": drawn.defect.name, "varied": drawn.variation.described()}
        if drawn.surface is not None:
            record |= {"surface": drawn.surface.name, "window": list(drawn.window)}
        if wish.limit is not None:
            record["limit"] = instances.box(wish.limit[..., 0] > 0)
        for name in ("truncation", "object_seed", "defect_seed"):
            if getattr(flags, name):
                record[name] = getattr(wish, name)
        value = None if drawn.contrast is None else round(drawn.contrast, 3)
        return (
            record | {"strength": 1.0, "seed": wish.number, "contrast": value} | self.studio.about
        )
