"""What happens on the page: from components to the `session.Session` of a tab, and back.

Every handler returns values of its outputs, the last of them a line of text for the person. What
that person can mend, a ConfigError, is shown there; anything else is told in the terminal.
"""

import functools
import logging
import pathlib

import gradio as gr
import numpy as np

from dtgan import images
from dtgan.config import ConfigError
from dtgan.studio.layout import LOUDER
from dtgan.studio.markup import line
from dtgan.studio.render import Wish
from dtgan.studio.session import Session

log = logging.getLogger("dtgan")

EDITOR = 512  # pixels of a side that a small surface is enlarged to, for a steady brush
PAINTED = 32  # of 255: alpha of the brush from which on a pixel counts as painted


def safe(handler, outputs):
    """Wrap a handler: its errors become a line in the last of its outputs."""

    @functools.wraps(handler)
    def guarded(*args):
        try:
            return handler(*args)
        except ConfigError as error:
            said = str(error)
        except Exception as error:  # a fault of ours: the page stays usable and says so
            log.exception("the studio failed")
            said = f"The studio failed ({type(error).__name__}); its terminal says more."
        return (*(gr.skip() for _ in range(outputs - 1)), line(said, "bad"))

    return guarded


class Events:
    """The handlers; `connect` binds them to the components of `layout`."""

    def __init__(self, studio):
        self._studio = studio
        self._classes = studio.renderer.classes

    def connect(self, blocks, session, say, w):
        """session: gr.State; say: of the last line; w: components by the parts of `layout`."""
        choose, ask, see, kept = w.choosing, w.asking, w.seeing, w.keeping
        asked = [
            *(choose.label, ask.surface, ask.down, ask.right, ask.scale, ask.turn, ask.strength),
            *(ask.upside, ask.sideways, ask.number, ask.truncation),
            *(ask.object_seed, ask.defect_seed),
        ]
        seen = [see.hybrid, see.twin, see.mask, see.change, see.notes, say]
        held = [kept.gallery, kept.files, kept.chosen, kept.count, say]
        shelves = [choose.surfaces, choose.defects]

        def on(event, handler, inputs, outputs, **more):
            event(safe(handler, len(outputs)), inputs, outputs, api_visibility="private", **more)

        on(blocks.load, self.load, None, [session, *shelves, ask.surface, say])
        on(choose.surfaces.select, self.surface, [session], [ask.surface, say])
        on(choose.more_surfaces.click, self.more_surfaces, [session], [choose.surfaces, say])
        uploaded = [session, choose.upload_surface]
        on(choose.upload_surface.upload, self.upload_surface, uploaded, [ask.surface, say])
        on(choose.label.change, self.open_class, [session, choose.label], [choose.defects, say])
        on(choose.defects.select, self.defect, [session], [say])
        on(choose.more_defects.click, self.more_defects, [session], [choose.defects, say])
        uploaded = [session, choose.upload_defect]
        on(choose.upload_defect.upload, self.upload_defect, uploaded, [say])
        moved = (ask.down, ask.right, ask.scale, ask.turn, ask.strength, ask.truncation)
        at_once = (ask.draw.click, *(slider.release for slider in moved))
        drawing = {"show_progress_on": see.hybrid, "trigger_mode": "always_last"}
        for event in at_once:
            on(event, self.draw, [session, *asked], seen, **drawing)
        next_one = ask.another.click(lambda n: int(n or 0) + 1, ask.number, ask.number)
        on(next_one.then, self.draw, [session, *asked], seen, show_progress_on=see.hybrid)
        usual = (0, 0, 1, 0, 1, False, False)
        changed = [*moved[:5], ask.upside, ask.sideways]
        ask.reset.click(lambda: usual, None, changed, api_visibility="private")
        on(see.keep.click, self.keep, [session], [say])
        on(see.undo.click, self.undo, [session], [say])
        on(kept.tab.select, self.held, None, held)
        on(kept.undo.click, self.undo_there, [session], held)
        on(kept.gallery.select, self.choose_kept, [kept.files], [kept.chosen, say])
        on(kept.remove.click, self.remove, [session, kept.chosen], held)

    def load(self):
        """Begin a tab."""
        session = Session(self._studio)
        shelves = self._surfaces(session), self._defects(session)
        said = line("Choose, paint where it may be, then draw.")
        return session, *shelves, self._chosen(session.surface), said

    def surface(self, session, event: gr.SelectData):
        """Choose a surface of the shelf."""
        surface = session.choose_surface(session.surfaces.shown[event.index])
        return self._chosen(surface), _on(surface, "Surface")

    def more_surfaces(self, session):
        """Show other surfaces."""
        session.surfaces.turn()
        return self._surfaces(session, None), line("Other surfaces are shown.")

    def upload_surface(self, session, path):
        """Choose an uploaded surface."""
        surface = session.upload_surface(path)
        return self._chosen(surface), _on(surface, "Surface")

    def open_class(self, session, name):
        """Show the defects of a class."""
        session.open_class(self._classes.index(name))
        said = f"Defects of class {name} are shown; the first is chosen."
        if session.defect is None:
            said = f"Class {name} is drawn."
            if self._studio.renderer.controls.defect:
                said = f"The run's data show no defect of class {name}: upload one."
        return self._defects(session), line(said)

    def defect(self, session, event: gr.SelectData):
        """Choose a defect of the shelf."""
        return (_on(session.choose_defect(session.defects.shown[event.index]), "Defect"),)

    def more_defects(self, session):
        """Show other defects."""
        session.defects.turn()
        return self._defects(session, None), line("Other defects are shown.")

    def upload_defect(self, session, paths):
        """Choose an uploaded defect, perhaps with its mask."""
        paths = [paths] if isinstance(paths, str) else paths
        paths = sorted(paths, key=lambda path: ("mask" in pathlib.Path(path).stem.lower(), path))
        if len(paths) > 2:
            raise ConfigError(f"{len(paths)} files: upload one picture and its mask.")
        return (_on(session.upload_defect(*paths), "Defect"),)

    def draw(self, session, name, painted, down, right, scale, turn, strength, *more):
        """Draw what the controls say."""
        upside, sideways, number, truncation, object_seed, defect_seed = more
        wish = Wish(
            label=self._classes.index(name),
            move=(down / 100, right / 100),
            scale=scale,
            rotate=turn,
            strength=strength,
            flip=(upside, sideways),
            limit=_limit(painted, session.surface) if self._flags.limit else None,
            number=int(number or 0),
            truncation=truncation,
            object_seed=int(object_seed or 0),
            defect_seed=int(defect_seed or 0),
        )
        drawn = session.draw(wish)
        pictures, change = drawn.pictures, drawn.change
        notes = "".join(line(note, "bad") for note in drawn.notes)
        if change is not None:
            change = np.minimum(255, change.astype(np.uint16) * LOUDER).astype(np.uint8)
        views = (pictures["image"], pictures.get("clean"), pictures.get("soft"), change)
        return *map(_shown, views), notes, line(_told(drawn), "good")

    def keep(self, session):
        """Keep what was drawn."""
        return (line(f"Kept as {session.keep()['file']}.", "good"),)

    def undo(self, session):
        """Take the last keep or remove back."""
        return (line(session.undo(), "good"),)

    def held(self):
        """Show what is kept, in whichever tab."""
        return *self._held(), line("All that is kept is shown.")

    def undo_there(self, session):
        """Take the last keep or remove back, and show what is kept."""
        (said,) = self.undo(session)
        return *self._held(), said

    def choose_kept(self, files, event: gr.SelectData):
        """Choose a kept picture."""
        return files[event.index], line(f"{files[event.index]} is chosen.")

    def remove(self, session, file):
        """Remove the chosen kept picture."""
        if not file:
            raise ConfigError("Choose a kept picture first: click on it.")
        session.remove(file)
        return *self._held(), line(f"{file} is removed; Undo brings it back.", "good")

    @property
    def _flags(self):
        return self._studio.renderer.controls

    def _chosen(self, surface):
        """Show the chosen surface, to be painted on where that is a control."""
        if surface is None:
            return None
        return (_editable if self._flags.limit else _shown)(surface.image)

    def _surfaces(self, session, chosen=0):
        """Show the surfaces on the shelf; chosen: place of the chosen one, None for none."""
        found = [self._studio.stock.surface(number) for number in session.surfaces.shown]
        return _shelf([surface.image for surface in found], chosen)

    def _defects(self, session, chosen=0):
        """Show the defects on the shelf."""
        found = [self._studio.stock.defect(number) for number in session.defects.shown]
        return _shelf([defect.image for defect in found], chosen)

    def _held(self):
        """Show what is kept: gallery, files, none chosen, how many."""
        kept = self._studio.kept
        records = kept.records[::-1]
        pictures = [(_shown(kept.read(r)), r["class"]) for r in records]
        count = f"Pictures in {kept.named}: {len(records)}, the newest first. Click to choose one."
        return (
            gr.Gallery(pictures, selected_index=None),
            [r["file"] for r in records],
            "",
            line(count),
        )


def _on(picture, what):
    """Name what was chosen, with what a person should know of it."""
    height, width = picture.image.shape[:2]
    notes = " ".join(picture.notes)
    return line(f"{what}: {picture.name}, {width} x {height} pixels. {notes}", "good")


def _told(drawn):
    told = f"Drawn in {drawn.seconds:.2f} s."
    if drawn.contrast is not None and not drawn.empty:
        told += f" Contrast {drawn.contrast:.1f}; 1 is the grain of the surface."
    return told


def _shelf(pictures, chosen):
    return gr.Gallery(list(map(_shown, pictures)), selected_index=chosen if pictures else None)


def _shown(picture):
    """Make what Gradio takes: [H, W] or [H, W, 3], None for none."""
    return picture if picture is None or picture.shape[-1] == 3 else picture[..., 0]


def _editable(picture):
    """Make the value of the editor: a picture, enlarged where it is small, nothing painted."""
    k = max(1, EDITOR // max(picture.shape[:2]))
    large = np.repeat(np.repeat(picture, k, axis=0), k, axis=1)
    if large.shape[-1] == 1:
        large = np.repeat(large, 3, axis=-1)
    return {"background": large, "layers": [], "composite": None}


def _limit(editor, surface):
    """Read what is painted: uint8 [H, W, 1] of the surface, 255 where a defect may be; None where
    nothing is. A pixel that is painted in part is not."""
    layers = [] if editor is None else editor["layers"]
    if surface is None or not any((layer[..., 3] >= PAINTED).any() for layer in layers):
        return None
    painted = np.any([layer[..., 3] >= PAINTED for layer in layers], axis=0)
    free = np.where(painted, np.uint8(0), np.uint8(255))[..., None]
    return 255 - images.resize_mask(free, surface.image.shape[:2])
