"""The contract of a family of models: all that loop, sampling and reports know about it.

A family is a tuple of pure functions. Consumers ask for what it can do (`needs`, `gives`, ...) and
never for its name.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

from dtgan.state import GanState

Batch = dict[str, Any]  # {name: array [N, ...]} with the names in `Method.reads`
Request = dict[str, Any]  # {name: array [N, ...]}, see `sampling.requests.FIELDS`
Images = dict[str, jax.Array]  # {name: float32 [N, ...]} with the names in `Method.gives`
Noise = dict[str, jax.Array]  # {name: float32 [N, ...]}


class Init(Protocol):
    """Makes the state of step 0; works under `jax.eval_shape`."""

    def __call__(self, key: jax.Array, batch_spec: Batch) -> GanState:
        """batch_spec: arrays, or shapes, like those of a training batch."""


class Run(Protocol):
    """One phase of a training step, pure, over the global batch."""

    def __call__(self, state: GanState, batch: Batch) -> tuple[GanState, dict[str, jax.Array]]:
        """Returns the new state, `step` as it was, and scalars {"loss/rec": float32 []}."""


class Infer(Protocol):
    """Makes images; a row depends on its own row of the request and of the noise alone."""

    def __call__(self, ema: Any, request: Request, noise: Noise) -> Images:
        """ema: `GanState.ema`; images in about [-1, 1], mattes in 0..1."""


class DrawNoise(Protocol):
    """Draws all random numbers of `Infer`, so that an exported model repeats or varies at will."""

    def __call__(self, key: jax.Array, n: int) -> Noise:
        """n: rows."""


class Score(Protocol):
    """Tells on validation pairs how good a checkpoint is; lower is better."""

    def __call__(self, ema: Any, batch: Batch, key: jax.Array) -> jax.Array:
        """batch: validation pairs with the names in `Method.reads`; returns float32 []."""


class Codes(Protocol):
    """Encodes images; probes test what the codes hold."""

    def __call__(self, ema: Any, image: jax.Array) -> dict[str, jax.Array]:
        """image: uint8 [N, R, R, C] -> {"structure", "texture"}: float32 [N, d]."""


class Classify(Protocol):
    """Tells the class of images by the family's own classifier."""

    def __call__(self, nets: Any, image: jax.Array) -> jax.Array:
        """image: uint8 [N, R, R, C] -> logits [N, number of classes]."""


class Donor(NamedTuple):
    """A finished run whose parameters another run starts from."""

    method: str  # its family
    classes: tuple[str, ...]
    nets: dict[str, Any]  # parameters by network
    ema: dict[str, Any]


class Adopt(Protocol):
    """Takes over the parameters of another run; works under `jax.eval_shape`."""

    def __call__(self, state: GanState, donor: Donor) -> GanState:
        """state: of step 0. Raises ConfigError where the donor does not fit."""


class Styles(NamedTuple):
    """What `sampling.projection` searches given surfaces in.

    start: (ema, n) -> float32 [n, slots, W], where a search begins. draw: (ema, styles) -> images
    [n, R, R, C] without noise and defects. The request's control "style" takes what was found.
    """

    start: Callable
    draw: Callable


class Phase(NamedTuple):
    """A part of a training step with a rhythm of its own; compiled as one program."""

    name: str  # in logs and timings: "r1", "d", "g", ...
    every: int  # it runs in the steps with step % every == at
    run: Run
    at: int = 0

    def due(self, step):
        """Tell whether the phase runs in the step with this number, counted from 0."""
        return step % self.every == self.at


class Method(NamedTuple):
    """A family of models for one config.

    reads: what a training batch holds, of "image label mask has_mask normal"; see
      `data.pipeline.batch_spec`.
    init: makes the state of step 0.
    phases: of one step, in order; the loop counts the step after the last. None for a family
      without parameters.
    infer: makes images.
    needs: what a request must hold, and `controls` what it may hold; see `sampling.requests`.
    gives: what `infer` returns: "image", and of "mask clean rec removed"; the last two, which are
      of the request's defect image, only where the request holds one.
      image: the picture [N, R, R, C]; mask: where its defect is [N, R, R, 1] in 0..1;
      clean: the same picture without a defect; rec: the request's defect image reconstructed;
      removed: that image without its defect.
    noise: None where nothing is random.
    learns_masks: whether it learns of masks, and leaves images without them out of that.
    several: whether a request may hold several defects an image, [N, K, ...].
    keeps_surface: whether clean is the request's surface, and image equals it, bit for bit, where
      mask is 0.
    adopt: None where no run can be started from another.
    starts_from: what run it has to start from, in words; "" where none is needed.
    score: None where "best" has to be the lowest KID of the reports.
    codes, classify: None where the family has no encoder, no classifier.
    styles: None where no surface can be searched for.
    shown: scalars in the log line.
    """

    reads: tuple[str, ...]
    init: Init
    phases: tuple[Phase, ...]
    infer: Infer
    needs: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    gives: tuple[str, ...] = ("image",)
    noise: DrawNoise | None = None
    learns_masks: bool = False
    several: bool = False
    keeps_surface: bool = False
    adopt: Adopt | None = None
    starts_from: str = ""
    score: Score | None = None
    codes: Codes | None = None
    classify: Classify | None = None
    styles: Styles | None = None
    shown: tuple[str, ...] = ()

    @property
    def transfers(self):
        """Whether the family carries the defect of one image to the surface of another."""
        return {"defect", "surface"} <= set(self.needs)

    def draw_noise(self, key, n):
        """Draw the noise of n rows; {} where nothing is random."""
        return self.noise(key, n) if self.noise else {}


Make = Callable[[Any, tuple[str, ...]], Method]  # (config, names of the classes, NORMAL first)
