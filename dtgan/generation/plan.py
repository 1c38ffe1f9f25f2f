"""The plan of which defect goes to which surface: from settings alone, for all shards alike."""

import copy
from typing import NamedTuple

import numpy as np

from dtgan.annotations.instances import HOW
from dtgan.config import ConfigError, nearest
from dtgan.data import pipeline
from dtgan.generation import places, surfaces, vary

SIZES = ("crop", "native")
BLOCK = 64  # images rendered and finished together: what a killed job loses at most


class Settings(NamedTuple):
    """Settings of a set; two jobs with equal settings make equal bytes."""

    num_per_class: int
    classes: tuple = ()  # names; () = all defect classes
    seed: int = 0
    strength: float = 1.0  # of the defects; 1 = as in the reference
    projection_steps: int = 300  # of the search for surfaces, where a model draws its own
    truncation: float = 1.0  # of what is drawn of noise: less is nearer to the mean, 1 is all
    mask_threshold: float = 0.1  # of the soft mask, above it is defect
    copy_filter: bool = False  # replace images that copy a training image
    backgrounds: str = ""  # folder of surfaces; "" = the run's training normals
    references: str = ""  # folder of defects; "" = the run's training defects
    instances: str = "parts"  # of a mask, one of annotations.instances.HOW
    vary: str = ""  # preset of vary.PRESETS; "" = mild where the model draws given defects
    vary_shift: str | None = None  # "low,high" in the preset's stead, see vary.Ranges
    vary_scale: str | None = None
    vary_rotate: str | None = None
    vary_strength: str | None = None
    vary_elastic: str | None = None
    vary_two: float | None = None  # a share
    surfaces: str = "any"  # one of surfaces.HOW
    surface_temperature: float = 0.2  # of "like": small is choosy
    limits: str = ""  # folder of masks of the surfaces: where a defect may be
    size: str = "crop"  # one of SIZES: squares as in training, or the surfaces' own pictures
    windows: int = 1  # of a whole picture, each with defects of its class
    place: str = "random"  # of a window, one of places.HOW
    surface_above: float | None = None  # grey level of what is no background of a part
    boxes: str = ""  # CSV file of where defects shall be, in place of num_per_class
    shift: str | None = None  # "down,right": of every defect, in place of vary; see vary.FIXED
    scale: str | None = None
    flip: str | None = None
    defects: int | None = None  # in a window
    visibility: bool = True  # refuse defects that do not show
    min_contrast: float | None = None  # of all classes; None = calibrated

    def fixed(self):
        """Return what the user says of every defect; see `vary.FIXED`."""
        return {name: getattr(self, name) for name in vary.FIXED}

    def ranges(self):
        """Return what the user says of the ranges of vary.Ranges."""
        prefix = "vary_"
        return {
            name.removeprefix(prefix): value
            for name, value in self._asdict().items()
            if name.startswith(prefix)
        }


class Candidate(NamedTuple):
    """An image to be tried: of which defects, varied how, on which surface.

    defects: ((index, vary.Variation), ...), empty where the model needs none; surface: index or
    None, likewise. Of a whole picture: window, its corner (y, x) in pixels of the picture, None
    where there is no room; box: (x, y, width, height) in the picture that the defect shall fill.
    """

    number: int
    attempt: int
    defects: tuple
    surface: int | None
    window: tuple | None = None
    box: tuple | None = None


class Plan:
    """Image number n of the set: its class, and for each attempt its defect and its surface.

    kinds: of images that the model needs, of "defect" and "normal". labels: of the defects'
    source, int [N]; classes: names of all labels; num_surfaces: how many there are. ranges:
    vary.Ranges; data: config.data, whose flips they keep to. likeness: surfaces.Likeness or None.
    The images of one class have consecutive numbers; of whole pictures with several windows each
    window has a number, and those of a picture follow each other. Within a class every defect and,
    without a likeness, every surface is used before one is used again, in a random order; a further
    attempt, where an image was refused, draws both anew.
    """

    def __init__(
        self,
        settings,
        classes,
        kinds,
        labels=(),
        num_surfaces=0,
        ranges=vary.PRESETS["none"],
        data=None,
        likeness=None,
    ):
        """Raises ConfigError for settings that cannot be met."""
        labels = np.asarray(labels)
        check(settings, classes, labels if "defect" in kinds else None)
        self.settings, self._kinds = settings, kinds
        self._ranges, self._data, self._likeness = ranges, data, likeness
        self._fixed = vary.fixed(settings.fixed())
        self.labels = [classes.index(name) for name in settings.classes or classes[1:]]
        self._classes = classes
        self._found = {label: np.flatnonzero(labels == label) for label in self.labels}
        self._defects = self._order(self._found)
        self._surfaces = self._rounds(np.arange(num_surfaces), "surfaces")
        self._per_class = settings.num_per_class * settings.windows
        self.num = self._per_class * len(self.labels)
        self._block = max(1, BLOCK // settings.windows) * settings.windows
        self.num_blocks = -(-self.num // self._block)

    def without(self, unseen):
        """Leave out defects, a set of indices, that the model does not find: a Plan of the others.

        Raises ConfigError where a class has no other.
        """
        left = copy.copy(self)
        left._found = {
            label: np.setdiff1d(rows, list(unseen)) for label, rows in self._found.items()
        }
        for label, rows in left._found.items():
            if not len(rows):
                raise ConfigError(
                    f"class {self._classes[label]!r}: the model finds none of its "
                    f"{len(self._found[label])} defects in their own images; train longer, lower "
                    "--mask_threshold, or leave the class out with --classes"
                )
        left._defects = left._order(left._found)
        return left

    def _order(self, defects):
        """Order the defects {label: indices} of each class at random."""
        return {label: self._rounds(rows, f"defects/{label}") for label, rows in defects.items()}

    def _rounds(self, indices, name):
        return pipeline.Epochs(indices, pipeline.stream_seed(self.settings.seed, name))

    def numbers(self, block):
        """Return the numbers of the images of a block."""
        return range(block * self._block, min((block + 1) * self._block, self.num))

    def pictures(self, block):
        """Divide the numbers of a block: a tuple of those of each picture."""
        numbers, each = self.numbers(block), self.settings.windows
        return [tuple(numbers[start : start + each]) for start in range(0, len(numbers), each)]

    def label(self, number):
        """Return the class of an image."""
        return self.labels[number // self._per_class]

    def place(self, number):
        """Return the number of a picture among those of its class."""
        return number % self._per_class // self.settings.windows

    def pair(self, number, attempt):
        """Choose (index of the defect, of the surface); None for what the model does not need."""
        label, place = self.label(number), number % self._per_class
        defect, surface, turn = None, None, number // self.settings.windows
        if attempt:
            place, turn = self._rng("retry", number, attempt).integers(2**31, size=2).tolist()
        if "defect" in self._kinds:
            defect = int(self._defects[label][place])
        if "normal" in self._kinds and self._likeness:
            surface = self._likeness.draw(defect, self._rng("like", number, attempt))
        elif "normal" in self._kinds:
            surface = int(self._surfaces[turn])
        return defect, surface

    def candidate(self, number, attempt):
        """Choose all that an attempt at an image is made of."""
        defect, surface = self.pair(number, attempt)
        if defect is None:
            return Candidate(number, attempt, (), surface)
        rng, indices = self._rng("vary", number, attempt), [defect]
        further = int(rng.random() < self._ranges.two)
        others = self._defects[self.label(number)]
        for _ in range((self.settings.defects or 1 + further) - 1):
            indices.append(int(others[int(rng.integers(2**31))]))
        varied = tuple(
            (index, vary.draw(self._ranges, self._data, rng)._replace(**self._fixed))
            for index in indices
        )
        return Candidate(number, attempt, varied, surface)

    def window_rng(self, candidate):
        """Make the random numbers that place a candidate on its picture."""
        return self._rng("window", candidate.number, candidate.attempt)

    def _rng(self, *words):
        stream = "/".join(map(str, words))
        return np.random.default_rng(pipeline.stream_seed(self.settings.seed, stream))

    def shard(self, text):
        """List the blocks of the shard "i/n", 0 <= i < n. Raises ConfigError for another text."""
        part, _, count = text.partition("/")
        if not (part.isdecimal() and count.isdecimal() and int(part) < int(count)):
            raise ConfigError(
                f"--shard={text} is not i/n with 0 <= i < n; write 0/4, 1/4, 2/4, 3/4"
            )
        return range(int(part), self.num_blocks, int(count))


def check(settings, classes, labels=None):
    """Raise ConfigError for settings that cannot be met.

    classes: names of all labels. labels: of the defects that the model draws, None where it draws
    none or they are not known yet.
    """
    if settings.boxes and settings.num_per_class:
        raise ConfigError(
            f"--num_per_class={settings.num_per_class} does not go with --boxes={settings.boxes}, "
            "which says how many; give one"
        )
    if settings.num_per_class < 1 and not settings.boxes:
        raise ConfigError(f"--num_per_class={settings.num_per_class} is not at least 1")
    if not 0.0 < settings.mask_threshold < 1.0:
        raise ConfigError(f"--mask_threshold={settings.mask_threshold} is outside (0, 1)")
    if not (np.isfinite(settings.strength) and settings.strength > 0):
        raise ConfigError(
            f"--strength={settings.strength} is not above 0; 1 draws defects as in the reference"
        )
    if not 0.0 <= settings.truncation <= 1.0:
        raise ConfigError(f"--truncation={settings.truncation} is not within 0..1; 1 is all")
    if settings.instances not in HOW:
        raise ConfigError(f"--instances={settings.instances} is not one of {', '.join(HOW)}")
    _check_native(settings)
    if settings.surfaces not in surfaces.HOW:
        raise ConfigError(f"--surfaces={settings.surfaces} is not one of {', '.join(surfaces.HOW)}")
    if not (np.isfinite(settings.surface_temperature) and settings.surface_temperature > 0):
        raise ConfigError(
            f"--surface_temperature={settings.surface_temperature} is not above 0; small is choosy"
        )
    least = settings.min_contrast
    if least is not None and not (np.isfinite(least) and least >= 0):
        raise ConfigError(f"--min_contrast={least} is not 0 or more; 1 is bare grain")
    if least is not None and not settings.visibility:
        raise ConfigError(f"--min_contrast={least} does not go with --no_visibility; give one")
    for name in settings.classes:
        if name not in classes[1:]:
            raise ConfigError(
                f"--classes={','.join(settings.classes)}: {name!r} is no defect class of this run"
                f"{nearest(name, classes[1:])}; known: {', '.join(classes[1:])}"
            )
    if len(set(settings.classes)) < len(settings.classes):
        raise ConfigError(f"--classes={','.join(settings.classes)} names a class twice")
    for name in settings.classes or classes[1:]:
        if labels is not None and not np.any(labels == classes.index(name)):
            raise ConfigError(
                f"there is no defect image of class {name!r} to start from; leave it out with "
                "--classes, or give --references"
            )


def _check_native(settings):
    """Raise ConfigError for settings of whole pictures that cannot be met, or have none."""
    if settings.size not in SIZES:
        raise ConfigError(f"--size={settings.size} is not one of {', '.join(SIZES)}")
    if settings.windows < 1:
        raise ConfigError(f"--windows={settings.windows} is not at least 1")
    if settings.defects is not None and settings.defects < 1:
        raise ConfigError(f"--defects={settings.defects} is not at least 1")
    places.check(settings.place, settings.surface_above)
    usual = Settings(1)
    for name in ("windows", "place", "surface_above", "boxes"):
        value = getattr(settings, name)
        if settings.size == "crop" and value != getattr(usual, name):
            raise ConfigError(f"--{name}={value} is of whole pictures; add --size=native")
