"""From a checkpoint to images: the Sampler, the sample grid, the closing figures of a run."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np

from dtgan import config as config_lib
from dtgan import images, sharding
from dtgan.config import ConfigError, nearest
from dtgan.data import pipeline
from dtgan.methods.registry import make_method
from dtgan.runs import checkpoints


@dataclasses.dataclass
class Sampler:
    """Draws with the EMA parameters of one checkpoint.

    config, classes (normal first), step, ema: what the checkpoint holds.
    """

    config: Any
    classes: tuple
    step: int
    ema: Any

    def __post_init__(self):
        self.method = make_method(self.config, len(self.classes))
        self.mesh = sharding.make_mesh()
        rows, whole = sharding.split(self.mesh), sharding.replicated(self.mesh)
        self.ema = jax.device_put(self.ema, whole)
        options = {"out_shardings": rows}
        self._infer = jax.jit(self.method.infer, in_shardings=(whole, rows, whole), **options)
        self._probe = jax.jit(self.method.probe, in_shardings=(whole, rows), **options)

    def __call__(self, request, seed=0):
        """Images of the family's `infer` as float32 NumPy arrays; the same seed, the same images.

        request: {"image": uint8 [N, R, R, C] defects, "normal": uint8 [N, R, R, C] surfaces}, and
        the family's controls: see `control_request`. The rows are split over all devices. Raises
        ConfigError for a control that the family does not have.
        """
        known = ("image", "normal", *self.method.controls)
        for name in set(request) - set(known):
            raise ConfigError(
                f"method={self.config.method} has no control {name!r}{nearest(name, known)}; "
                f"known: {', '.join(self.method.controls) or 'none'}"
            )
        key, rows = jax.random.key(seed), len(request["image"])
        (drawn,) = sharding.map_rows(
            lambda batch: self._infer(self.ema, batch, key), request, self.mesh, rows
        )
        return drawn

    def codes(self, images):
        """{"structure", "texture"}: codes float32 [N, d] of uint8 images [N, R, R, C].

        Only where the family has codes: `method.probe` is not None.
        """
        (codes,) = sharding.map_rows(
            lambda batch: self._probe(self.ema, batch["image"]),
            *({"image": images}, self.mesh, len(images)),
        )
        return codes


def load(workdir, step="latest"):
    """A Sampler from a workdir alone: the config is in the checkpoint.

    step: a number, "latest" for the newest good one, or "best" for that with the best validation
    score. Raises ConfigError where there is no good checkpoint, or not the one asked for.
    """
    wanted = find_step(workdir, step)
    config = config_lib.from_dict(checkpoints.read_json_item(workdir, wanted, "config"))
    classes = tuple(checkpoints.read_json_item(workdir, wanted, "data")["classes"])
    spec, method = pipeline.batch_spec(config), make_method(config, len(classes))
    abstract = jax.eval_shape(functools.partial(method.init, batch_spec=spec), jax.random.key(0))
    return Sampler(config, classes, wanted, checkpoints.restore_ema(workdir, wanted, abstract.ema))


def find_step(workdir, step):
    """The number of the good checkpoint that `step` names; see `load`."""
    directory = pathlib.Path(workdir) / "checkpoints"
    good, damaged = checkpoints.verified_steps(directory)
    newest = good[-1] if good else None
    if step == "best":
        wanted = checkpoints.best_step(directory, good)
    else:
        wanted = newest if step == "latest" else step
    if wanted not in good:
        known = ", ".join(map(str, good)) or "none"
        bad = f"; damaged: {', '.join(map(str, damaged))}" if damaged else ""
        raise ConfigError(f"{workdir} has no good checkpoint {step!r}; good steps: {known}{bad}")
    return wanted


class Pairs:
    """Fixed pairs (x1, x2) of a source, in batches of one size (distinct: of at most that size).

    Where the source knows them, each batch holds the true transfer of x1's defect to x2 ("truth")
    and x1 without its defect ("clean") as uint8 images; else None.
    """

    def __init__(self, config, source, num, batch_size, seed=0, distinct=False):
        self.batch_size = batch_size
        self._config, self._source = config, source
        self._cached = pipeline.CachedSource.of(source, config)
        if not distinct:
            num = -(-num // batch_size) * batch_size
        self._i, self._j = pipeline.eval_pairs(config, source, num, seed, distinct)

    def __iter__(self):
        """Yield batch_size rows: image, normal, label, mask, has_mask, index, truth, clean."""
        for start in range(0, len(self._i), self.batch_size):
            i = self._i[start : start + self.batch_size]
            j = self._j[start : start + self.batch_size]
            x1 = pipeline.load_records(self._config, self._cached, i)
            x2 = pipeline.load_records(self._config, self._cached, j)
            yield {**x1, "normal": x2["image"], **self._exact(i, j)}

    def _exact(self, i, j):
        """Truth and clean; only where records are not cropped, so that positions agree."""
        source, res = self._source, self._config.data.res
        if not hasattr(source, "transfer") or np.any(source.sizes != res):
            return {"truth": None, "clean": None}
        return {
            "truth": np.stack([source.transfer(a, b)[0] for a, b in zip(i, j, strict=True)]),
            "clean": np.stack([source.clean(a) for a in i]),
        }


def control_request(config, source, num, classes=(), defects=1, seed=0, **controls):
    """A request for `num` images with everything that can be controlled, for `Sampler`.

    source: gives reference defects and surfaces (data.catalog). classes: names of the defects to
    draw, in turn, as many in an image as `defects`; empty means all. controls, all optional:
      references: indices in `source` of the defects, [num] or [num, defects], instead of `classes`
      backgrounds: indices in `source` of the surfaces [num]
      strength, scale: a number or an array [num] or [num, defects]; shift: (down, right) in image
        sides; flip: (upside down, left to right); limit: uint8 [R, R] or [num, R, R, 1], 0 where no
        defect may be. See the family's `infer`.
    The same seed gives the same request. Raises ConfigError for what does not exist or cannot be.
    """
    cached, shape = pipeline.CachedSource.of(source, config), (num, defects)
    references, backgrounds = controls.pop("references", None), controls.pop("backgrounds", None)
    labels = np.asarray(source.labels)
    rng = np.random.default_rng(pipeline.stream_seed(seed, "request"))
    if references is None:
        groups = [_of_class(source, name) for name in classes or _with_images(source)]
        references = [rng.choice(groups[k % len(groups)]) for k in range(num * defects)]
        references = np.reshape(references, shape)
    if backgrounds is None:
        pipeline.need_both_kinds(source)
        backgrounds = rng.choice(np.flatnonzero(labels == 0), num)
    references = _spread("references", np.asarray(references), shape)
    backgrounds = _spread("backgrounds", np.asarray(backgrounds), shape[:1])
    for name, indices in (("references", references), ("backgrounds", backgrounds)):
        wrong = indices[(indices < 0) | (indices >= len(source))]
        if wrong.size:
            raise ConfigError(f"{name}: {wrong[0]} is not an index of the {len(source)} images")
    images_of = pipeline.load_records(config, cached, references.reshape(-1))["image"]
    request = {
        "image": images_of.reshape(*shape, *images_of.shape[1:]),
        "normal": pipeline.load_records(config, cached, backgrounds)["image"],
    }
    for name, value in controls.items():
        request[name] = _control(name, np.asarray(value), shape, config.data.res)
    return request


def _with_images(source):
    """The defect classes that have images."""
    return [name for k, name in enumerate(source.classes) if k and np.any(source.labels == k)]


def _of_class(source, name):
    """Indices of the images of a defect class."""
    if name not in source.classes[1:]:
        raise ConfigError(
            f"class {name!r} is no defect of these data{nearest(name, source.classes[1:])}; "
            f"known: {', '.join(source.classes[1:])}"
        )
    found = np.flatnonzero(source.labels == source.classes.index(name))
    if not found.size:
        raise ConfigError(f"these data hold no image of class {name!r}")
    return found


def _control(name, value, shape, res):
    """One control, checked, as the array that `infer` reads."""
    if name == "limit":
        return _limit(value, shape[0], res)
    pair = (2,) if name in ("shift", "flip") else ()
    if name != "flip" and not np.all(np.isfinite(value)):
        raise ConfigError(f"{name}={value.tolist()} is not finite")
    if name == "strength" and np.any(value < 0):
        raise ConfigError(f"strength={value.tolist()} is below 0; 0 leaves no defect")
    if name == "scale" and np.any(value <= 0):
        raise ConfigError(f"scale={value.tolist()} is not above 0; strength=0 leaves no defect")
    return _spread(name, value.astype(bool if name == "flip" else np.float32), shape, pair)


def _limit(value, num, res):
    """The user's mask as uint8 [num, R, R, 1]; True or 255 is where a defect may be."""
    if value.dtype == bool:
        value = value * np.uint8(255)
    if not np.issubdtype(value.dtype, np.integer) or value.min() < 0 or value.max() > 255:
        raise ConfigError(f"limit is {value.dtype}; give bool, or uint8 with 255 = a defect may be")
    value = value[None, ..., None] if value.ndim == 2 else value
    if value.shape not in ((1, res, res, 1), (num, res, res, 1)):
        raise ConfigError(
            f"limit has the shape {value.shape}; use ({res}, {res}) or ({num}, {res}, {res}, 1)"
        )
    return np.ascontiguousarray(np.broadcast_to(value.astype(np.uint8), (num, res, res, 1)))


def _spread(name, value, shape, pair=()):
    """A value for all, for each image or for each defect, as [*shape, *pair]."""
    if value.ndim == 1 + len(pair) and len(shape) == 2:
        value = value[:, None]
    try:
        return np.ascontiguousarray(np.broadcast_to(value, shape + pair))
    except ValueError:
        raise ConfigError(
            f"{name} has the shape {value.shape}, but {shape[0]} images are asked for"
            + (f" with {shape[1]} defect(s) each" if len(shape) == 2 else "")
        ) from None


def request_of(batch):
    """The part of a batch that `infer` reads."""
    return {"image": batch["image"], "normal": batch["normal"]}


def sample_grid(batch, drawn):
    """One row a pair: x1, mask, x1r, x1a, x2, x4, x3, (truth,) |x3 - x2|; uint8, titled."""
    x3 = images.to_uint8(drawn["image"])
    change = np.abs(x3.astype(np.int16) - batch["normal"]).astype(np.uint8)
    mask = np.broadcast_to(images.to_uint8(2.0 * drawn["mask"] - 1.0), x3.shape)
    columns = {
        "x1": batch["image"],
        "mask": mask,
        "x1r": images.to_uint8(drawn["rec"]),
        "x1a": images.to_uint8(drawn["removed"]),
        "x2": batch["normal"],
        "x4 anchor": images.to_uint8(drawn["clean"]),
        "x3 hybrid": x3,
    }
    if batch["truth"] is not None:
        columns["true x3"] = batch["truth"]
    columns["|x3 - x2|"] = change
    cells = np.stack(list(columns.values()), axis=1)
    scale = max(1, 96 // cells.shape[2])
    cells = cells.repeat(scale, axis=2).repeat(scale, axis=3)
    sheet = images.tile(cells.reshape(-1, *cells.shape[2:]), columns=len(columns))
    return images.with_header(sheet, list(columns))


def transfer_summary(pairs, infer, classify):
    """What the model does to unseen pairs, as a dict of numbers.

    classify: uint8 images -> class logits. Errors are mean absolute differences in grey levels
    (0..255); those against the true transfer only where the source knows it.
      c_agrees: share of x3 that C calls by the class of x1; c_accuracy: of real x1, for comparison
      x3_vs_x4: how much the structure code changes the picture at all
      error_x3, error_nothing (x2), error_paste (x1's masked pixels on x2), all against the truth
    """
    sums, rows = {}, 0
    for batch in pairs:
        drawn = infer(request_of(batch))
        x3, x4 = images.to_uint8(drawn["image"]), images.to_uint8(drawn["clean"])
        values = {
            "c_agrees": np.mean(np.argmax(classify(x3), -1) == batch["label"]),
            "c_accuracy": np.mean(np.argmax(classify(batch["image"]), -1) == batch["label"]),
            "x3_vs_x4": _error(x3, x4),
        }
        if batch["truth"] is not None:
            pasted = np.where(batch["mask"] > 127, batch["image"], batch["normal"])
            values["error_x3"] = _error(x3, batch["truth"])
            values["error_nothing"] = _error(batch["normal"], batch["truth"])
            values["error_paste"] = _error(pasted, batch["truth"])
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(x3)
        rows += len(x3)
    return {"pairs": rows, **{name: value / rows for name, value in sums.items()}}


def describe_summary(summary):
    """The figures of `transfer_summary` as printable lines."""
    lines = [
        f"on {summary['pairs']} validation pairs: C calls {100 * summary['c_agrees']:.1f} % of x3 "
        f"by the class of x1 (real x1: {100 * summary['c_accuracy']:.1f} %); "
        f"|x3 - x4| {summary['x3_vs_x4']:.2f} grey levels"
    ]
    if "error_x3" in summary:
        lines.append(
            f"mean absolute error against the true transfer, grey levels: "
            f"x3 {summary['error_x3']:.2f}, doing nothing {summary['error_nothing']:.2f}, "
            f"pasting {summary['error_paste']:.2f}"
        )
    return lines


def _error(a, b):
    return np.mean(np.abs(a.astype(np.int16) - b))
