"""Small configs, batches and states of families, for the tests of this folder."""

import jax
import numpy as np

from dtgan.config import base_config
from dtgan.data import pipeline
from dtgan.data.procedural import CLASSES
from dtgan.methods.registry import METHODS, make_method


def tiny(method, **fields):
    """A small config of a family; data__batch_size=2 sets data.batch_size."""
    config = base_config(method)
    config.data.res, config.data.batch_size = 32, 8
    config.model.ch = 2
    for name, value in fields.items():
        group, field = name.split("__")
        config[group][field] = value
    return config


def batch_of(config, reads, seed=0):
    """A random batch of what a family reads."""
    rng = np.random.default_rng(seed)
    batch = {}
    for name, array in pipeline.batch_spec(config, pipeline.READS).items():
        high = {"label": 7, "has_mask": 2}.get(name, 256)
        batch[name] = rng.integers(0, high, array.shape).astype(array.dtype)
    batch["label"] = np.maximum(batch["label"], 1)
    return {name: batch[name] for name in reads}


def start(config):
    """(Method, its state of step 0)."""
    method = make_method(config, CLASSES)
    spec = pipeline.batch_spec(config, method.reads)
    return method, jax.jit(lambda key: method.init(key, spec))(jax.random.key(0))


def run_of(method, name):
    """The function of a phase."""
    return next(phase.run for phase in method.phases if phase.name == name)


def leaves(net):
    return [np.asarray(x) for x in jax.tree.leaves(net.params)]


def moved(before, after):
    return any(not np.array_equal(a, b) for a, b in zip(leaves(before), leaves(after), strict=True))


# Families that train against the judges D, Dpatch and C.
JUDGED = [name for name in METHODS if "r1_d" in base_config(name).get("loss", {})]
