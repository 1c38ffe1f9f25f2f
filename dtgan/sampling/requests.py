"""Requests to a family of models: their fields, their checks, and how one is made."""

from typing import NamedTuple

import numpy as np

from dtgan.config import ConfigError, nearest
from dtgan.data import crops, labels, pipeline
from dtgan.sampling import places


class Field(NamedTuple):
    """A field of a request: an array [N, ...], or [N, K, ...] for K defects in each image.

    shape: of one entry, with R the side of an image, C its channels, A the number of single labels
    (data.labels). exported: whether an exported network takes it, if it is a control of the family.
    """

    shape: tuple
    dtype: type
    meaning: str
    per_defect: bool = False
    exported: bool = True


FIELDS = {
    "defect": Field(("R", "R", "C"), np.uint8, "an image x1 with a defect, 0..255", True, False),
    "defect_mask": Field(("R", "R", 1), np.uint8, "where its defect is, 0 or 255", True),
    "surface": Field(("R", "R", "C"), np.uint8, "a defect-free image x2, 0..255"),
    "labels": Field(("A",), np.float32, "1 for every label that the image shall show"),
    "where": Field(
        ("R", "R", "A"), np.uint8, "255 where each of the labels shall show, 0 elsewhere"
    ),
    "strength": Field((), np.float32, "of the defect: 0 none, 1 as in x1", True),
    "shift": Field((2,), np.float32, "of the defect, down and right, in image sides", True, False),
    "scale": Field((), np.float32, "of the defect, about the image centre", True, False),
    "flip": Field((2,), np.bool_, "of the defect, upside down and left to right", True, False),
    "limit": Field(("R", "R", 1), np.uint8, "0 where no defect may be", False, False),
    "truncation": Field((), np.float32, "0..1: 1 all variety, 0 the mean picture"),
    "object_seed": Field(
        (), np.int32, "of the object: an equal one, an equal object", False, False
    ),
    "style": Field(("S", "W"), np.float32, "of the object, of `projection`", False, False),
    "defect_seed": Field((), np.int32, "equal ones show defects of one code", False, False),
}


def entry_shape(name, res, channels, num_labels):
    """Return the shape of one entry of a field, in numbers."""
    sizes = {"R": res, "C": channels, "A": num_labels}
    return tuple(sizes.get(side, side) for side in FIELDS[name].shape)


def check(method, name, request):
    """Raise ConfigError where a request lacks a field that a `Method` needs, or has an unknown one.

    name: of the method, for the message.
    """
    known = (*method.needs, *method.controls)
    for field in sorted(set(request) - set(known)):
        raise ConfigError(
            f"method={name} has no control {field!r}{nearest(field, known)}; "
            f"known: {', '.join(method.controls) or 'none'}"
        )
    for field in method.needs:
        if field not in request:
            raise ConfigError(f"method={name} needs {field!r} in a request: {_meaning(field)}")


def outputs_of(method, name, request, wanted=None):
    """List what a `Method` gives for a request: of its `gives` those `wanted`, by default all.

    "rec" and "removed" are of the request's defect image, so it has to hold one. Raises ConfigError
    for what is wanted in vain.
    """
    lacking = () if "defect" in request else ("rec", "removed")
    given = [output for output in method.gives if output not in lacking]
    for output in wanted or ():
        if output in method.gives and output in lacking:
            raise ConfigError(f"{output!r} is made of a defect image; put one into the request")
        if output not in given:
            raise ConfigError(
                f"method={name} gives no {output!r}{nearest(output, method.gives)}; "
                f"it gives {', '.join(method.gives)}"
            )
    return tuple(output for output in given if wanted is None or output in wanted)


def check_classes(method, name, classes):
    """Raise ConfigError where a method cannot be told which of several defect classes to make."""
    if method.phases and "image" not in method.reads:
        raise ConfigError(
            f"method={name} has learnt defect-free images in this run, it draws no defects"
        )
    told = {"defect", "labels"} & set(method.needs)
    if not told and len(classes) > 1:
        raise ConfigError(
            f"method={name} cannot be told which of {len(classes)} classes to draw; train and use "
            "a run of one class: --config.data.classes=" + classes[0]
        )


def of_pairs(needs, classes, batch):
    """Make the request that puts the defects of a batch on its surfaces.

    batch: rows of `pairs.Pairs` or of a training batch (image, mask, label, normal).
    """
    made = {
        "defect": lambda: batch["image"],
        "defect_mask": lambda: batch["mask"],
        "surface": lambda: batch["normal"],
        "labels": lambda: one_hot(classes, batch["label"]),
    }
    return {name: made[name]() for name in needs}


def bounds(method, request, limit):
    """Make the field that keeps defects within `limit` uint8 [N, R, R, 1], 255 where they may be.

    "limit" for a `Method` with that control, else "where", the same for all the request's labels.
    """
    if "limit" in method.controls:
        return {"limit": limit}
    return {"where": np.repeat(limit, request["labels"].shape[1], axis=-1)}


def in_full(method):
    """List what a request must hold to be given all that a `Method` gives: also a defect image."""
    return (*method.needs, *({"defect"} & set(method.controls)))


def one_hot(classes, label):
    """Encode the classes `label` int [N] by the single labels they show: float32 [N, A]."""
    return labels.targets(classes).astype(np.float32)[np.asarray(label)]


def control_request(sampler, source, num, classes=(), defects=1, seed=0, **controls):
    """Make a request to `Sampler` for `num` images, with the controls that its method has.

    source: gives reference defects and surfaces (data.catalog). classes: names of the defects,
    in turn, as many in an image as `defects`; empty means all. controls, all optional:
      references: indices in `source` of the defects, [num] or [num, defects], instead of `classes`
      backgrounds: indices in `source` of the surfaces [num]
      where: masks or boxes of labels, see `places.fields`; asks for these labels instead
      others: by the names in `FIELDS`, for all, for each image or for each defect.
    The same seed gives the same request. Raises ConfigError for unknown classes and indices,
    impossible values, and controls that the sampler's method lacks.
    """
    method, config = sampler.method, sampler.config
    references, backgrounds = controls.pop("references", None), controls.pop("backgrounds", None)
    if defects > 1 and not method.several:
        raise ConfigError(f"method={config.method} draws one defect an image, not {defects}")
    for name in controls:
        if name not in method.controls:
            check(method, config.method, dict.fromkeys([*method.needs, name]))
    cached, shape = crops.CachedSource.of(source, config), (num, defects)
    rng = np.random.default_rng(pipeline.stream_seed(seed, "request"))
    if references is None:
        groups = [_of_class(source, name) for name in classes or _with_images(source)]
        references = [rng.choice(groups[k % len(groups)]) for k in range(num * defects)]
        references = np.reshape(references, shape)
    references = broadcast_control("references", np.asarray(references), shape)
    if backgrounds is None:
        pipeline.need_kinds(source, ("defect", "normal"))
        backgrounds = rng.choice(np.flatnonzero(np.asarray(source.labels) == 0), num)
    backgrounds = broadcast_control("backgrounds", np.asarray(backgrounds), shape[:1])
    for name, indices in (("references", references), ("backgrounds", backgrounds)):
        wrong = indices[(indices < 0) | (indices >= len(source))]
        if wrong.size:
            raise ConfigError(f"{name}: {wrong[0]} is not an index of the {len(source)} images")
    x1 = pipeline.load_records(config, cached, references.reshape(-1))
    x2 = pipeline.load_records(config, cached, backgrounds)
    batch = {
        "image": x1["image"].reshape(*shape, *x1["image"].shape[1:]),
        "mask": x1["mask"].reshape(*shape, *x1["mask"].shape[1:]),
        "label": x1["label"].reshape(shape)[:, 0],
        "normal": x2["image"],
    }
    request = of_pairs(method.needs, sampler.classes, batch)
    if "where" in controls:
        request |= places.fields(controls.pop("where"), sampler.classes, num, config.data.res)
    for name, value in controls.items():
        request[name] = _control(name, np.asarray(value), shape, config.data.res)
    if method.several:
        return request
    return {n: value[:, 0] if FIELDS[n].per_defect else value for n, value in request.items()}


def _meaning(field):
    return FIELDS[field].meaning if field in FIELDS else "see the family"


def _with_images(source):
    """List the defect classes that have images."""
    return [name for k, name in enumerate(source.classes) if k and np.any(source.labels == k)]


def _of_class(source, name):
    """Find the indices of the images of a defect class."""
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
    """Check one control and turn it into the array that `infer` reads."""
    if name == "limit":
        return places.of_mask(name, value, shape[0], res)
    field = FIELDS[name]
    if field.dtype != np.bool_ and not np.all(np.isfinite(value)):
        raise ConfigError(f"{name}={value.tolist()} is not finite")
    if name == "strength" and np.any(value < 0):
        raise ConfigError(f"strength={value.tolist()} is below 0; 0 leaves no defect")
    if name == "scale" and np.any(value <= 0):
        raise ConfigError(f"scale={value.tolist()} is not above 0; strength=0 leaves no defect")
    if name == "truncation" and np.any((value < 0) | (value > 1)):
        raise ConfigError(f"truncation={value.tolist()} is not within 0..1; 1 is all variety")
    shape = shape if field.per_defect else shape[:1]
    trailing = value.shape[-2:] if name == "style" else field.shape  # slots, numbers of w
    return broadcast_control(name, value.astype(field.dtype), shape, trailing)


def broadcast_control(name, value, shape, trailing=()):
    """Broadcast a control given once, per image or per defect to [*shape, *trailing].

    shape: (num,) or (num, defects). Raises ConfigError where it does not fit.
    """
    if value.ndim == 1 + len(trailing) and len(shape) == 2:
        value = value[:, None]
    try:
        return np.ascontiguousarray(np.broadcast_to(value, shape + trailing))
    except ValueError:
        raise ConfigError(
            f"{name} has the shape {value.shape}, but {shape[0]} images are asked for"
            + (f" with {shape[1]} defect(s) each" if len(shape) == 2 else "")
        ) from None
