"""One arm of the experiment: classifiers from several seeds, chosen on validation images."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dtgan.classification.augment import classic
from dtgan.config import ConfigError, flip_axes
from dtgan.data import labels, pipeline
from dtgan.images import to_float
from dtgan.models import backbones
from dtgan.progress import each
from dtgan.weights import published

EVAL_BATCH = 128


class Examples(NamedTuple):
    """Training images: image uint8 [N, R, R, C], label int32 [N], synthetic bool [N]."""

    image: Any
    label: Any
    synthetic: Any


class Trained(NamedTuple):
    """Results of training, a row a seed."""

    variables: Any  # parameters and running means, [S, ...]
    val_error: np.ndarray  # balanced, of the chosen step [S]
    step: np.ndarray  # chosen [S]
    shown: np.ndarray  # how often each image was seen, mean over seeds [N]


class SourceHead(nn.Module):
    """f_src: pooled features [N, F] -> logit [N] of "synthetic" (Defect-GAN 3.2)."""

    width: int

    @nn.compact
    def __call__(self, pooled):
        return nn.Dense(1)(nn.relu(nn.Dense(self.width)(pooled)))[:, 0]


@jax.custom_vjp
def reverse_gradient(x, scale):
    """Return x and multiply its gradient by -scale (Ganin and Lempitsky 2015)."""
    del scale
    return x


reverse_gradient.defvjp(
    lambda x, scale: (x, scale), lambda scale, g: (jax.tree.map(lambda v: -scale * v, g), None)
)


def reversal(progress):
    """Compute lambda(p) = 2 / (1 + exp(-10 p)) - 1 of the finished share p of training."""
    return 2.0 / (1.0 + jnp.exp(-10.0 * progress)) - 1.0


class Trainer:
    """Trainer of `config.net` for K classes, compiled once for all arms of its kind.

    classes: their names. augmented: whether images are augmented (classic augmentation). The
    network has an output a class; with `config.multi_label` an output a label, of which a class may
    show several.
    """

    def __init__(self, config, classes, augmented):
        self.config, self.num_classes, self.augmented = config, len(classes), augmented
        self.targets = labels.targets(classes) if config.multi_label else None
        outputs = self.targets.shape[1] if config.multi_label else len(classes)
        self.module = backbones.make(config.net, outputs, jnp.dtype(config.dtype))
        self.source = SourceHead(config.source.width)
        self.axes = flip_axes(config.data.flips, config.data.rolling)
        self.tx = optimizer(config)
        self._start = jax.jit(jax.vmap(self.init))
        self._step = jax.jit(jax.vmap(self.step, in_axes=(0, 0, 0, None)), donate_argnums=0)
        self._predict = jax.jit(jax.vmap(self.logits, in_axes=(0, None)))

    # --- pure functions of one seed ---------------------------------------------------------------

    def init(self, key):
        """Initialise a seed: (variables, optimizer state)."""
        data = self.config.data
        channels = 3 if self.config.weights else data.channels
        image = jnp.zeros((1, data.res, data.res, channels))
        keys = jax.random.split(key)
        variables = dict(self.module.init(keys[0], image))
        if self.config.source.weight:
            features = jax.eval_shape(self.module.apply, variables, image).pooled
            head = self.source.init(keys[1], jnp.zeros(features.shape))["params"]
            variables["params"] = {"net": variables["params"], "source": head}
        else:
            variables["params"] = {"net": variables["params"]}
        return variables, self.tx.init(variables["params"])

    def step(self, state, batch, key, progress):
        """Update once on a batch of Examples -> (state, loss)."""
        variables, opt_state = state
        x, y = to_float(batch.image), batch.label
        if self.augmented:
            x = classic(key, x, self.config.augment, self.axes)

        def loss(params):
            out, new = self.module.apply(
                {"params": params["net"], "batch_stats": variables["batch_stats"]},
                self.prepare(x),
                train=True,
                mutable=["batch_stats"],
            )
            value = jnp.mean(self.cross_entropy(out.logits, y))
            if self.config.source.weight:
                pooled = reverse_gradient(out.pooled, reversal(progress))
                logit = self.source.apply({"params": params["source"]}, pooled)
                fake = batch.synthetic.astype(jnp.float32)
                value += self.config.source.weight * jnp.mean(
                    optax.sigmoid_binary_cross_entropy(logit, fake)
                )
            return value, new["batch_stats"]

        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        updates, opt_state = self.tx.update(grads, opt_state, variables["params"])
        params = optax.apply_updates(variables["params"], updates)
        return ({"params": params, "batch_stats": stats}, opt_state), value

    def cross_entropy(self, logits, y):
        """Compute the loss [N] of logits [N, K] and classes y [N], summed over several labels."""
        if self.targets is None:
            return optax.softmax_cross_entropy_with_integer_labels(logits, y)
        shown = jnp.asarray(self.targets, jnp.float32)[y]
        return jnp.sum(optax.sigmoid_binary_cross_entropy(logits, shown), axis=-1)

    def logits(self, variables, image):
        """Compute logits [N, K] of uint8 images [N, R, R, C]."""
        net = {"params": variables["params"]["net"], "batch_stats": variables["batch_stats"]}
        return self.module.apply(net, self.prepare(to_float(image))).logits

    def prepare(self, x):
        """Normalise images in [-1, 1] as the network expects them."""
        if not self.config.weights:
            return x
        return backbones.normalise((x + 1.0) * 127.5)

    # --- the loop ---------------------------------------------------------------------------------

    def train(self, images, val, seeds, share=None, until=None):
        """Train on Examples from every seed -> Trained, each at its step of least error on val.

        share, until: instead of config.train.synthetic_share and synthetic_until. Synthetic images
        are shown in the first `until` of the steps; what is particular to them is unlearnt on real
        images, while the learning rate falls.
        """
        settings, label = self.config.train.copy_and_resolve_references(), np.asarray(images.label)
        if share is not None:
            settings.synthetic_share = share
        if until is not None:
            settings.synthetic_until = until
        keys = jnp.stack([jax.random.key(pipeline.stream_seed(s, "classifier")) for s in seeds])
        state = self._start(keys)
        if self.config.weights:
            state = (self.adopt(state[0]), state[1])
        synthetic = np.asarray(images.synthetic)
        both = chances(label, synthetic, settings)
        settings.synthetic_share = 0.0
        real = chances(label, synthetic, settings)
        rngs = [np.random.default_rng(pipeline.stream_seed(seed, "rows")) for seed in seeds]
        best = jax.tree.map(jnp.copy, state[0])  # the step donates its input
        val_error, chosen = np.full(len(seeds), np.inf), np.zeros(len(seeds), int)
        shown = np.zeros(len(label))
        steps = range(1, settings.steps + 1)
        for step in each(steps, "training a classifier", "steps"):
            chance = both if step <= settings.synthetic_until * settings.steps else real
            rows = np.stack([r.choice(len(label), settings.batch_size, p=chance) for r in rngs])
            shown += np.bincount(rows.reshape(-1), minlength=len(label))
            folded = jax.vmap(lambda key, step=step: jax.random.fold_in(key, step))(keys)
            batch = Examples(*(array[rows] for array in images))  # [S, B, ...]
            state, _ = self._step(state, batch, folded, step / settings.steps)
            if step % settings.val_every and step != settings.steps:
                continue
            predicted = self.decide(self.evaluate(state[0], val.image))
            error = balanced_error(predicted, val.label, self.num_classes)
            better = error <= val_error  # of equal ones the later, whose learning rate is lower
            best = select(better, state[0], best)
            val_error, chosen = np.where(better, error, val_error), np.where(better, step, chosen)
        return Trained(best, val_error, chosen, shown / len(seeds))

    def adopt(self, variables):
        """Put the published weights, all but the head's, into variables [S, ...] of every seed."""
        state, _ = published.read(self.config.weights, self.config.net)
        flat = {
            "params": variables["params"]["net"],
            "batch_stats": variables["batch_stats"],
        }
        one = published.from_variables(jax.tree.map(lambda x: x[0], flat))
        for name, array in one.items():
            if name not in state:
                raise ConfigError(f"{self.config.weights} lacks {name!r}; it is of another network")
            if state[name].shape == array.shape:
                one[name] = state[name]
        head = {name for name in one if one[name] is not state[name]}
        loaded = published.to_variables(one, jax.tree.map(lambda x: x[0], flat))

        def leaf(path, known, drawn):
            keep = published.torch_name(tuple(key.key for key in path)) in head
            return drawn if keep else jnp.broadcast_to(known, drawn.shape)

        loaded = jax.tree_util.tree_map_with_path(leaf, loaded, flat)
        params = variables["params"] | {"net": loaded["params"]}
        return {"params": params, "batch_stats": loaded["batch_stats"]}

    def evaluate(self, variables, image):
        """Compute logits float [S, N, K] of every seed on every image."""
        parts = []
        for start in range(0, len(image), EVAL_BATCH):
            batch = image[start : start + EVAL_BATCH]
            padded = np.concatenate(
                [batch, np.zeros((EVAL_BATCH - len(batch), *batch.shape[1:]), np.uint8)]
            )
            parts.append(np.asarray(self._predict(variables, padded))[:, : len(batch)])
        return np.concatenate(parts, axis=1)

    def decide(self, logits):
        """Decide on a class, int [...], from logits [..., K].

        The largest logit; with several labels the class that shows exactly those whose sigmoid is
        at least 0.5, or K where there is none.
        """
        if self.targets is None:
            return np.argmax(logits, axis=-1)
        return labels.exact_match(logits >= 0, self.targets)

    def label_errors(self, logits, y):
        """Compute the error rate of each label, float [S, A]; logits [S, N, A], y [N]."""
        return np.mean((logits >= 0) != self.targets[y], axis=1)


def optimizer(config):
    """Build AdamW, or SGD with momentum 0.9; the learning rate falls to 0 along a cosine."""
    settings = config.optim
    rate = optax.cosine_decay_schedule(settings.lr, config.train.steps)
    if settings.name == "adamw":
        return optax.adamw(rate, weight_decay=settings.weight_decay)
    decay = optax.add_decayed_weights(settings.weight_decay)
    return optax.chain(decay, optax.sgd(rate, momentum=0.9))


def chances(label, synthetic, settings):
    """Compute the probability of drawing each image: float [N] of sum 1.

    A class of n images weighs n^(1 - balance); in a defect class with both kinds of images the
    synthetic ones together weigh synthetic_share, however many there are, so that they cannot
    crowd out the real ones. A negative share switches this off: real and synthetic images of a
    class are then equally likely.
    """
    chance, alike = np.zeros(len(label)), settings.synthetic_share < 0
    for k in np.unique(label):
        parts = (label == k) & np.stack([~synthetic, synthetic])
        kinds = [label == k] if alike else [rows for rows in parts if rows.any()]
        shares = (
            [1.0] if len(kinds) == 1 else [1 - settings.synthetic_share, settings.synthetic_share]
        )
        # The number of real images where there are some: more synthetic ones are no more frequent.
        weight = float(kinds[0].sum()) ** (1.0 - settings.balance)
        for rows, share in zip(kinds, shares, strict=True):
            chance[rows] = weight * share / rows.sum()
    return chance / chance.sum()


def balanced_error(predicted, label, num_classes):
    """Compute the mean error over the classes in `label` [N]: float [S]; predicted int [S, N]."""
    label = np.asarray(label)
    present = [k for k in range(num_classes) if np.any(label == k)]
    return np.mean([np.mean(predicted[:, label == k] != k, axis=1) for k in present], axis=0)


def select(better, new, old):
    """Select, leaf by leaf, the rows [S, ...] of `new` where `better` bool [S], else of `old`."""

    def leaf(a, b):
        return jnp.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(leaf, new, old)
