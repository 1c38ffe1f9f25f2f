"""The Sampler of a checkpoint: find a step, restore it, make images."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np

from dtgan import config as config_lib
from dtgan import sharding
from dtgan.config import NORMAL, ConfigError
from dtgan.data.names import check_names
from dtgan.files import read_json
from dtgan.methods.registry import abstract_state, make_method
from dtgan.runs import checkpoints
from dtgan.sampling import requests

NUMBER = "number"  # of an image, beside the fields of its request


@dataclasses.dataclass
class Sampler:
    """Makes images with the EMA parameters of one checkpoint.

    config, classes (NORMAL first), step, ema: what the checkpoint holds; method: of that config.
    abstract: the shapes and types of its GanState, None where nothing more of it is restored.
    """

    config: Any
    classes: tuple
    step: int
    ema: Any
    method: Any
    abstract: Any = None

    def __post_init__(self):
        self.mesh = sharding.make_mesh()
        rows, whole = sharding.split(self.mesh), sharding.replicated(self.mesh)
        self.ema = jax.device_put(self.ema, whole)
        self._programs = {}  # that give only some outputs, by their names
        if self.method.codes:
            self._codes = jax.jit(self.method.codes, in_shardings=(whole, rows), out_shardings=rows)

    def _infer(self, ema, rows, key, outputs):
        def noise_of(number):
            return self.method.draw_noise(jax.random.fold_in(key, number), 1)

        request, numbers = dict(rows), rows[NUMBER]
        del request[NUMBER]
        noise = jax.tree.map(lambda x: x[:, 0], jax.vmap(noise_of)(numbers))
        drawn = self.method.infer(ema, request, noise)
        return {name: drawn[name] for name in outputs}

    def _program(self, outputs):
        """Return the jitted `_infer` that gives `outputs`; XLA leaves out what only others need."""
        if outputs not in self._programs:
            rows, whole = sharding.split(self.mesh), sharding.replicated(self.mesh)
            self._programs[outputs] = jax.jit(
                functools.partial(self._infer, outputs=outputs),
                in_shardings=(whole, rows, whole),
                out_shardings=rows,
            )
        return self._programs[outputs]

    def __call__(self, request, seed=0, numbers=None, outputs=None, batch_size=None):
        """Make the images of `Method.infer` as float32 NumPy arrays.

        request: {name: array [N, ...]}, what the method needs and of its controls what is wished
        (see `requests.FIELDS`). numbers: int [N], by default 0 .. N - 1: the noise of an image is
        a function of the seed and its number, wherever it stands in a batch; they also say N where
        the method needs nothing. outputs: names of `Method.gives`, by default all that the request
        allows; what they do not need is not computed. batch_size: rows computed at a time, by
        default all; one program is compiled for each. The rows are split over all devices.
        Raises ConfigError for a request that is not the method's, and for outputs that it lacks.
        """
        outputs = requests.outputs_of(self.method, self.config.method, request, outputs)
        requests.check(self.method, self.config.method, request)
        if numbers is None and not request:
            raise ConfigError(
                f"method={self.config.method} needs no request; say which images by numbers"
            )
        if numbers is None:
            numbers = np.arange(len(next(iter(request.values()))))
        key, rows = jax.random.key(seed), {NUMBER: np.asarray(numbers, np.int32), **request}
        program = self._program(outputs)
        parts = sharding.map_rows(
            lambda batch: program(self.ema, batch, key),
            rows,
            self.mesh,
            batch_size or len(rows[NUMBER]),
        )
        return _joined(parts)

    def codes(self, images, batch_size=None):
        """Encode uint8 images [N, R, R, C] -> {"structure", "texture"}: float32 [N, d].

        batch_size: images computed at a time, by default all. Raises ConfigError where the method
        has no codes.
        """
        if not self.method.codes:
            raise ConfigError(f"method={self.config.method} has no codes")
        parts = sharding.map_rows(
            lambda batch: self._codes(self.ema, batch["image"]),
            {"image": images},
            self.mesh,
            batch_size or len(images),
        )
        return _joined(parts)


def _joined(parts):
    """Join the rows of dicts of arrays."""
    parts = list(parts)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def load(workdir, step="latest"):
    """Restore a Sampler from a workdir alone: the config is in the checkpoint.

    step: a number, "latest" for the newest good one, or "best" for that with the best validation
    score. Raises ConfigError where there is no good checkpoint, or not the one asked for.
    """
    wanted = find_step(workdir, step)
    config, classes, method, abstract = describe(workdir, wanted)
    ema = checkpoints.restore_ema(workdir, wanted, abstract.ema)
    return Sampler(config, classes, wanted, ema, method, abstract)


def load_classifier(workdir, sampler):
    """Restore the classifier that a family trained beside the generator of a loaded Sampler.

    Returns a function of uint8 images [N, R, R, C] and batch_size (of images computed at a time) ->
    float32 logits [N, number of classes]; None where the family has no classifier.
    """
    method, mesh = sampler.method, sampler.mesh
    if method.classify is None:
        return None
    rows, whole = sharding.split(mesh), sharding.replicated(mesh)
    nets = checkpoints.restore_state(workdir, sampler.step, sampler.abstract, whole).nets
    program = jax.jit(
        lambda nets, image: {"logits": method.classify(nets, image)},
        in_shardings=(whole, rows),
        out_shardings=rows,
    )

    def classify(images, batch_size):
        parts = sharding.map_rows(
            lambda batch: program(nets, batch["image"]), {"image": images}, mesh, batch_size
        )
        return _joined(parts)["logits"]

    return classify


def describe(workdir, step):
    """Describe a good step: (config, classes, Method, abstract GanState).

    Raises ConfigError where what it says of itself cannot be: a checkpoint may be a stranger's.
    """
    config = config_lib.from_dict(checkpoints.read_json_item(workdir, step, "config"))
    config_lib.validate(config)
    classes = checkpoints.read_json_item(workdir, step, "data").get("classes", ())
    classes = check_names(classes, f"checkpoint {step} of {workdir}")
    if classes[:1] != (NORMAL,):
        raise ConfigError(
            f"checkpoint {step} of {workdir} names no class {NORMAL!r} first; use another one"
        )
    method = make_method(config, classes)
    return config, classes, method, abstract_state(method, config)


def find_step(workdir, step):
    """Find the number of the good checkpoint that `step` names; see `load`.

    "best" is that with the best validation score; where a family has none, that whose report
    WORKDIR/eval/<step>.json has the lowest KID.
    """
    directory = pathlib.Path(workdir) / "checkpoints"
    good, damaged = checkpoints.verified_steps(directory)
    if not good and not damaged:
        found = "holds no checkpoint" if pathlib.Path(workdir).is_dir() else "does not exist"
        raise ConfigError(
            f"workdir {workdir} {found}; give the one that python -m dtgan.main was given, once it "
            "has saved there (every checkpoint.every steps)"
        )
    if step == "best" and good:
        wanted = checkpoints.best_step(directory, good)
        if wanted is None:
            wanted = _lowest_kid(workdir, good)
        if wanted is None:
            raise ConfigError(
                f"{workdir} has no checkpoint with a score; run python -m dtgan.evaluate "
                f"--workdir={workdir} --step=all first, or name a step: {', '.join(map(str, good))}"
            )
        return wanted
    wanted = good[-1] if step == "latest" and good else step
    if wanted not in good:
        known = ", ".join(map(str, good)) or "none"
        bad = f"; damaged: {', '.join(map(str, damaged))}" if damaged else ""
        raise ConfigError(f"{workdir} has no good checkpoint {step!r}; good steps: {known}{bad}")
    return wanted


def _lowest_kid(workdir, steps):
    """Find the step whose report has the lowest KID; None without reports."""
    found = {}
    for step in steps:
        file = pathlib.Path(workdir) / "eval" / f"{step}.json"
        kid = ((read_json(file) or {}).get("overall") or {}).get("kid_x1e3")
        if kid is not None:
            found[step] = kid
    return min(found, key=found.get, default=None)
