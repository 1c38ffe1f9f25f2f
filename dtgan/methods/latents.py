"""Images of noise: codes, styles and noise maps of StyleGAN2's generators, and requests to them."""

import functools

import jax
import jax.numpy as jnp

from dtgan.data import labels
from dtgan.methods.base import Styles
from dtgan.methods.updates import ema_update, like_rows, step_key
from dtgan.models.stylegan2 import (
    Generator,
    auto_base,
    draw_cutoff,
    draw_noise,
    mix,
    repeat_slots,
    sides,
    truncate,
)

W_DECAY = 0.995  # of the mean of w, towards which truncation moves


class Latents:
    """The generator of one config and all that is drawn with it.

    The running means that `infer` reads: "G", what is trained of G, and "w_avg", the mean of w by
    mapping network and class, [classes, W].
    """

    def __init__(self, config, classes):
        model, data = config.model, config.data
        self.config, self.classes = config, classes
        self.learns_defects = data.learn == "defects"
        self.num_classes = len(classes) - 1 if self.learns_defects else 1
        self.base = model.base or auto_base(data.res)
        self.dtype = jnp.dtype(config.dtype)
        self.G = self.make_generator()

    def make_generator(self):
        """Make the network G."""
        model, data = self.config.model, self.config.data
        shape = data.res, data.channels, self.base, model.cap, model.latent, model.mapping
        return Generator(*shape, self.num_classes, dtype=self.dtype)

    # --- while training ---------------------------------------------------------------------------

    def key(self, state, phase):
        """Make the function that derives keys of a phase of this step by name."""
        return lambda name: step_key(state, f"{phase}/{name}")

    def latents(self, key, real):
        """Draw z [N, Z] for as many images as real ones, on the devices where those are."""
        z = jax.random.normal(key, (len(real), self.config.model.latent))
        return like_rows(z, real)

    def styles(self, g, key, real, label, mapping="style", slots=None):
        """Draw styles, most batches with a second one from a random slot on: ([N, slots, W], w).

        g: variables of G. w [N, W]: the first ones, unmixed.
        """
        z, other = (self.latents(key(f"{mapping}/{name}"), real) for name in ("z", "other"))
        slots, f = slots or self.G.slots, functools.partial(self.G.apply, g, method=mapping)
        w = f(z, label)
        cutoff = draw_cutoff(key(f"{mapping}/cutoff"), slots, self.config.optim.mixing)
        both = (repeat_slots(x, slots) for x in (w, f(other, label)))
        return mix(*both, cutoff), w

    def draw(self, g, key, ws):
        """Draw the images [N, R, R, C] of styles, each with noise of its own."""
        noise = draw_noise(key("noise"), len(ws), sides(self.config.data.res))
        return self.G.apply(g, ws, noise, method="draw")

    # --- afterwards -------------------------------------------------------------------------------

    def noise(self, key, n):
        """Draw z [n, Z] and the noise maps {"00": [n, 4, 4, 1], "01": ...}, one a convolution."""
        key_z, key_maps = jax.random.split(key)
        maps = draw_noise(key_maps, n, sides(self.config.data.res))
        return {"z": jax.random.normal(key_z, (n, self.config.model.latent))} | flat(maps)

    def infer(self, ema, request, noise):
        """Draw images of z and noise.

        request, all optional but for labels where there are several classes:
          labels: float32 [N, A], those to show
          object_seed: int32 [N]; rows with the same one have the same z and noise
          style: float32 [N, slots, W], in place of z and noise
          truncation: float32 [N], psi: what is left of the way from the mean of w; by default 1
        """
        noise = reseeded(noise, request, "object_seed", self.noise)
        ws, maps = self.object_of(ema, request, noise, self.label_of(request))
        return {"image": self.G.apply(self.variables(ema), ws, maps, method="draw")}

    def object_of(self, ema, request, noise, label):
        """Return the styles of the objects of a request, and their noise maps."""
        if "style" in request:
            return request["style"], None
        w = self.G.apply(self.variables(ema), noise["z"], label, method="style")
        ws = shortened(repeat_slots(w, self.G.slots), ema["w_avg"]["mapping"], label, request)
        return ws, maps_of(noise)

    def variables(self, ema):
        """Return the variables of G of the running means."""
        return ema["G"]

    @property
    def styles_of_objects(self):
        """Let surfaces be searched for, from the mean style on."""

        def start(ema, n):
            mean = jnp.mean(ema["w_avg"]["mapping"], axis=0)
            return jnp.broadcast_to(mean, (n, self.G.slots, len(mean)))

        def draw(ema, style):
            return self.G.apply(self.variables(ema), style, method="draw")

        return Styles(start, draw)

    def label_of(self, request):
        """Find the class, from 0 on, that shows a request's labels; None for a single class."""
        if self.num_classes == 1:
            return None
        table = jnp.asarray(labels.targets(self.classes)[1:], jnp.float32)
        wrong = jnp.sum(jnp.abs(request["labels"][:, None] - table[None]), axis=-1)
        return jnp.argmin(wrong, axis=-1)


def flat(maps, prefix=""):
    """Name the noise maps of blocks, in order: {"00": ..., "01": ...}."""
    joined = [noise for block in maps for noise in block]
    return {f"{prefix}{k:02d}": noise for k, noise in enumerate(joined)}


def maps_of(noise, prefix=""):
    """Undo `flat`: a pair of maps a block; where their number is odd, one for the first block."""
    names = sorted(n for n in noise if n.startswith(prefix) and n.removeprefix(prefix).isdecimal())
    maps = [noise[name] for name in names]
    alone, paired = maps[: len(maps) % 2], maps[len(maps) % 2 :]
    pairs = list(zip(paired[::2], paired[1::2], strict=True))
    return [tuple(alone), *pairs] if alone else pairs


def reseeded(noise, request, field, draw):
    """Replace noise by that of a request's seeds, where it has some: a function of them alone.

    draw: (key, n) -> the part of the noise {name: [n, ...]} that the field is the seed of.
    """
    if field not in request:
        return noise

    def row(seed):
        return jax.tree.map(lambda x: x[0], draw(jax.random.key(seed), 1))

    return noise | jax.vmap(row)(request[field])


def shortened(ws, means, label, request):
    """Truncate styles [N, slots, W], as a request says, towards the mean of their class."""
    if "truncation" not in request:
        return ws
    # A product instead of indices, for which ONNX exports have no form.
    mean = means[:1] if label is None else jax.nn.one_hot(label, len(means)) @ means
    return truncate(ws, mean, request["truncation"][:, None, None])


def means_by_class(means, w, label):
    """Let the means [K, W] of w by class follow those of a batch: w [N, W], label int [N]."""
    of = jax.nn.one_hot(label, len(means))
    count = jnp.sum(of, axis=0)[:, None]
    new = of.T @ jax.lax.stop_gradient(w) / jnp.maximum(count, 1.0)
    return jnp.where(count > 0, ema_update(means, new, W_DECAY), means)
