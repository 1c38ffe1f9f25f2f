"""The networks of a run that can be exported, as plain functions of arrays."""

import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from dtgan.config import ConfigError
from dtgan.data import labels
from dtgan.images import to_float
from dtgan.models import backbones
from dtgan.sampling import requests
from dtgan.sampling import sampler as sampler_lib
from dtgan.weights import published

WHAT = ("generator", "encoder", "classifier")
OUTPUTS = {
    "image": "the picture with the defect, float32 in -1..1",
    "mask": "where the defect is, float32 in 0..1",
    "clean": "the picture as the model leaves it without a defect, float32 in -1..1",
}


class Network(NamedTuple):
    """A network that is to be exported.

    function: (params, *inputs) -> {output: array}; params: a tree of arrays. inputs: {name:
    (shape without the batch axis, dtype)}. state: {name: array}, the parameters under the names of
    the safetensors file; restore: state -> params. about: further entries of model.json, among
    them "meaning": {input or output: its range and sense}.
    """

    name: str
    function: Callable
    params: Any
    inputs: dict
    state: dict
    restore: Callable
    about: dict


def load(workdir, what, step="latest", arm=""):
    """Load the Network `what`, one of WHAT, of a run (for a classifier, of a verdict's directory).

    Raises ConfigError where there is none.
    """
    if what not in WHAT:
        raise ConfigError(f"--what={what} is not one of {', '.join(WHAT)}")
    if what == "classifier":
        return classifier(workdir, arm)
    sampler = sampler_lib.load(workdir, step)
    return generator(sampler) if what == "generator" else encoder(sampler)


def generator(sampler):
    """Make the generator's Network: the fields of a request, and noise -> image, mask, clean.

    mask and clean only where the method gives them. Noise is an input like any other: the same
    noise gives the same image. Controls are inputs only where they are meant to be exported
    (`requests.FIELDS`); the others keep their defaults.
    """
    method, data = sampler.method, sampler.config.data
    asked = [*method.needs, *(n for n in method.controls if requests.FIELDS[n].exported)]
    inputs, meaning = {}, {}
    num_labels = len(labels.names(sampler.classes))
    for name in asked:
        field = requests.FIELDS[name]
        shape = requests.entry_shape(name, data.res, data.channels, num_labels)
        inputs[name] = (shape, field.dtype)
        meaning[name] = f"{field.meaning}, {field.dtype.__name__}"
    noise = jax.eval_shape(functools.partial(method.draw_noise, n=1), jax.random.key(0))
    for name, array in noise.items():
        inputs[f"noise_{name}"] = (array.shape[1:], np.float32)
        meaning[f"noise_{name}"] = "N(0, 1), float32, drawn anew for every image"
    outputs = {name: text for name, text in OUTPUTS.items() if name in method.gives}

    def function(params, *arrays):
        given = dict(zip(inputs, arrays, strict=True))
        made = method.infer(
            params,
            {name: given[name] for name in asked},
            {name: given[f"noise_{name}"] for name in noise},
        )
        return {name: made[name] for name in outputs}

    return Network(
        "generator", function, sampler.ema, inputs, *_described(sampler, meaning | outputs)
    )


def encoder(sampler):
    """Make the encoder's Network: image -> codes as vectors, to compare or cluster defects."""
    if not sampler.method.codes:
        raise ConfigError(f"method={sampler.config.method} has no encoder to export")
    data = sampler.config.data
    inputs = {"image": ((data.res, data.res, data.channels), np.uint8)}
    meaning = {
        "image": "uint8 0..255 NHWC",
        "structure": "structure code (the defect), float32 [N, d]",
        "texture": "texture code (the surface), float32 [N, d]",
    }
    return Network(
        "encoder", sampler.method.codes, sampler.ema, inputs, *_described(sampler, meaning)
    )


def classifier(directory, arm=""):
    """Make the Network of a classifier that a verdict trained: image -> class logits.

    arm: its arm, needed where there are several.
    """
    folder = pathlib.Path(directory) / "classifiers"
    found = {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
    if not found:
        raise ConfigError(
            f"{directory} holds no classifiers/*.safetensors; give --workdir the directory that "
            "python -m dtgan.classify wrote"
        )
    if not arm and len(found) == 1:
        (arm,) = found
    if arm not in found:
        raise ConfigError(f"--arm={arm} is not one of {', '.join(found)}")
    known = published.metadata(found[arm])
    net, classes = known["network"], json.loads(known["classes"])
    state, _ = published.read(found[arm], net, known["sha256"])
    res, channels = int(known["res"]), int(known["channels"])
    normalised = json.loads(known["normalised"])
    module = backbones.make(net, len(classes))
    shape = (1, res, res, channels)
    abstract = jax.eval_shape(module.init, jax.random.key(0), np.zeros(shape, np.float32))
    params = published.to_variables(state, abstract)

    def function(params, image):
        x = backbones.normalise(image) if normalised else to_float(image)
        return {"logits": module.apply(params, x).logits}

    inputs = {"image": ((res, res, int(known["image_channels"])), np.uint8)}
    multi = json.loads(known["multi_label"])
    sense = "a label each: there where its sigmoid is 0.5 or more" if multi else "largest = class"
    about = {
        "network": net,
        "classes": classes,
        "arm": arm,
        "multi_label": multi,
        "meaning": {
            "image": "uint8 0..255 NHWC",
            "logits": f"float32 [N, classes], {sense}",
            "safetensors": "torchvision's names; its input [N, 3, H, W], grey three times, is "
            + ("normalised as ImageNet's" if normalised else "x / 127.5 - 1"),
        },
    }

    # A stem of grey images is written as torchvision has it, for grey repeated three times.
    grey = (module.stem,) if channels == 1 else ()

    def restore(state):
        one = {name: state[name].sum(axis=1, keepdims=True) for name in grey}
        return published.to_variables(state | one, abstract)

    state = state | {name: np.repeat(state[name] / 3.0, 3, axis=1) for name in grey}
    return Network("classifier", function, params, inputs, state, restore, about)


def _described(sampler, meaning):
    """Return (state, restore, about) of a GAN's network."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(sampler.ema)
    names = [".".join(str(key.key) for key in path) for path, _ in leaves]
    state = {name: np.asarray(leaf) for name, (_, leaf) in zip(names, leaves, strict=True)}
    about = {
        "network": sampler.config.method,
        "classes": list(sampler.classes),
        "step": sampler.step,
        "meaning": meaning,
    }

    def restore(state):
        return jax.tree_util.tree_unflatten(tree, [state[name] for name in names])

    return state, restore, about
