"""The domain classifier: features of steel, for machines without weights of Inception.

A ResNet-18 trained from scratch on the training images of the run that is judged, with a fixed seed
and recipe. Its features see what distinguishes these classes and surfaces; its scores compare
models on the same data and the same file of weights, and nothing else.
"""

import functools
import hashlib
import json
import logging
import pathlib
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dtgan.config import ConfigError
from dtgan.images import to_float
from dtgan.metrics import lpips
from dtgan.metrics.features import Extractor
from dtgan.metrics.resize import resize
from dtgan.models import backbones
from dtgan.progress import each
from dtgan.weights import published

log = logging.getLogger("dtgan")

NETWORK = "domain-resnet18"
SCALE = "pool_scale"  # in the file of weights, beside those of the network
MAX_SIDE = 128  # larger images are reduced to this side before the network


class Recipe(NamedTuple):
    """Recipe of the classifier's training; another recipe is another file."""

    version: int = 2
    seed: int = 0
    steps: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4


class DomainExtractors(NamedTuple):
    """Two views of one classifier.

    features: "pool" [512], scaled to a mean square of 1 on the training images so that the kernel
      of KID is not linear nor cubic by accident; "tap64" [64], the mean of the first stage;
      "logits", the run's classes first; weights that know more classes have theirs after them.
    lpips: the LPIPS formula over its four stages, without learned weights per channel.
    both: all of these outputs in one pass.
    """

    features: Extractor
    lpips: Extractor
    both: Extractor


def open_extractors(directory, images, labels, classes, path="", sha256="", recipe=None):
    """Open DomainExtractors from `path`, or from the directory, training them if need be.

    images: uint8 [N, R, R, C] of the training split with labels int [N]; classes: their names. A
    damaged file in the directory is trained again; a damaged `path` raises ConfigError, as do
    weights that lack a class, or are for other sizes or channels.
    """
    known = known_classes(path, images, classes) if path else tuple(classes)
    network, num_classes = network_of(images, known), len(known)
    if path:
        state, digest = published.read(path, network, sha256)
    else:
        state, digest = _read_or_train(
            directory, images, labels, network, num_classes, recipe or Recipe()
        )
    order = [
        *map(known.index, classes),
        *(k for k, name in enumerate(known) if name not in classes),
    ]
    abstract = _abstract(images, num_classes)
    variables, side = published.to_variables(state, abstract), _side(images)
    scale = float(state[SCALE])
    module = backbones.make("resnet18", num_classes)

    def outputs(x):
        with jax.default_matmul_precision("highest"):
            return module.apply(variables, prepare(x, side))

    def features(out):
        tap64 = jnp.mean(out.stages[0], axis=(1, 2))
        logits = out.logits[:, np.array(order)]
        return {"pool": out.pooled * scale, "tap64": tap64, "logits": logits}

    def embedded(out):
        return {"lpips": lpips.embedding(out.stages)}

    mode = "none" if images.shape[1] == side else f"clean-{side}"
    return DomainExtractors(
        Extractor(NETWORK, digest, mode, lambda x: features(outputs(x))),
        Extractor("lpips-" + NETWORK, digest, mode, lambda x: embedded(outputs(x))),
        Extractor(NETWORK, digest, mode, lambda x: features(out := outputs(x)) | embedded(out)),
    )


def network_of(images, classes):
    """Name the network of a file of weights: NETWORK with the images and classes it knows."""
    return f"{NETWORK} {images.shape[1]} px {images.shape[-1]} ch {','.join(classes)}"


def known_classes(path, images, classes):
    """Tell the classes that a file of weights knows; the run's own where it lacks one of them.

    Raises ConfigError for a file that cannot be read.
    """
    start = network_of(images, ())
    network = published.metadata(path).get("network", "")
    known = tuple(network.removeprefix(start).split(",")) if network.startswith(start) else ()
    return known if set(classes) <= set(known) else tuple(classes)


def train(images, labels, num_classes, recipe):
    """Train a ResNet-18 on uint8 images [N, R, R, C] with labels int [N] in 0..K-1.

    Returns its state dict with SCALE. On one device, so that the same data give the same weights on
    any number of them.
    """
    module, side = backbones.make("resnet18", num_classes), _side(images)
    schedule = optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps)
    tx = optax.adamw(schedule, weight_decay=recipe.weight_decay)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, x, y):
        variables, opt_state = state

        def loss(params):
            current = {**variables, "params": params}
            out, new = module.apply(current, prepare(x, side), train=True, mutable=["batch_stats"])
            terms = optax.softmax_cross_entropy_with_integer_labels(out.logits, y)
            return jnp.mean(terms), new["batch_stats"]

        grad = jax.value_and_grad(loss, has_aux=True)
        (value, batch_stats), grads = grad(variables["params"])
        updates, opt_state = tx.update(grads, opt_state, variables["params"])
        params = optax.apply_updates(variables["params"], updates)
        return ({"params": params, "batch_stats": batch_stats}, opt_state), value

    variables = jax.jit(module.init)(jax.random.key(recipe.seed), _blank(images))
    state = variables, tx.init(variables["params"])
    # Rare classes are seen more often than they occur, but not so often as to be learnt by heart.
    chance = 1.0 / np.sqrt(np.bincount(labels))[labels]
    value = None
    for i in each(range(recipe.steps), "training the domain classifier", "steps"):
        random = np.random.default_rng((recipe.seed, i))
        rows = random.choice(len(images), recipe.batch_size, p=chance / chance.sum())
        batch = augment(images[rows], random)
        jax.block_until_ready(value)  # of the step before, or steps that wait were told as done
        state, value = step(state, batch, labels[rows])
    pooled = jax.jit(lambda x: module.apply(state[0], prepare(x, side)).pooled)
    batches = range(0, len(images), recipe.batch_size)
    square = np.mean([np.mean(pooled(images[i : i + recipe.batch_size]) ** 2) for i in batches])
    return published.from_variables(state[0]) | {SCALE: np.float32(1.0 / np.sqrt(square))}


def augment(images, random):
    """Augment uint8 [N, R, R, C]: random flips, shifts of up to R/16 px, brightness, contrast."""
    out, reach = np.empty_like(images), images.shape[1] // 16
    for row, image in enumerate(images):
        flipped = image[:: random.choice((1, -1)), :: random.choice((1, -1))]
        padded = np.pad(flipped, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
        y, x = random.integers(0, 2 * reach + 1, 2)
        shifted = padded[y : y + image.shape[0], x : x + image.shape[1]].astype(np.float32)
        gain, offset = random.uniform(0.85, 1.15), random.uniform(-15.0, 15.0)
        out[row] = np.clip(shifted * gain + offset, 0.0, 255.0)
    return out


def prepare(images, side):
    """Convert uint8 [N, R, R, C] to the network's input, float32 [N, side, side, C] in [-1, 1]."""
    if images.shape[1] == side:
        return to_float(images)
    return resize(images.astype(jnp.float32), side, "clean") / 127.5 - 1.0


def _read_or_train(directory, images, labels, network, num_classes, recipe):
    """Read the directory's classifier of these images and recipe, or train it: (state, digest)."""
    content = hashlib.sha256(np.ascontiguousarray(images).tobytes())
    content.update(np.asarray(labels, np.int32).tobytes())
    text = json.dumps([recipe._asdict(), images.shape, network, content.hexdigest()])
    name = f"domain-{hashlib.sha256(text.encode()).hexdigest()[:12]}.safetensors"
    path = pathlib.Path(directory) / name
    if path.exists():
        try:
            return published.read(path, network)
        except ConfigError as error:
            log.warning("%s; training the domain classifier again", error)
    log.info("training the domain classifier: ResNet-18, %d images", len(images))
    start = time.monotonic()
    state = train(images, np.asarray(labels), num_classes, recipe)
    published.write(path, state, network, recipe=text)
    log.info("domain classifier trained in %.0f s: %s", time.monotonic() - start, path)
    return published.read(path, network)


def _side(images):
    return min(images.shape[1], MAX_SIDE)


def _blank(images):
    side = _side(images)
    return jnp.zeros((1, side, side, images.shape[-1]))


def _abstract(images, num_classes):
    module = backbones.make("resnet18", num_classes)
    return jax.eval_shape(module.init, jax.random.key(0), _blank(images))
