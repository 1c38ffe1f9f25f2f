"""DT-GAN (Gazzola, Padova 2023). Equations and choices, by number: docs/dtgan.md.

x1 defective, x2 normal, y1 the class of x1; E(x) = (z_s, z_t).
  x1r = G(z_s1, z_t1)  reconstruction        x1a = G(0, z_t1)  x1 without its defect
  x3  = G(z_s1, z_t2)  hybrid                x4  = G(0, z_t2)  anchor reconstruction of x2
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dtgan import losses
from dtgan.config import NORMAL_LABEL
from dtgan.images import to_float
from dtgan.methods import judges
from dtgan.methods.base import Method, Phase
from dtgan.methods.updates import (
    adam,
    ema_update,
    inputs,
    join,
    named,
    new_state,
    params_of,
    part,
    step_key,
    update,
    weigh,
)
from dtgan.models.dtgan import CODE_CHANNELS, CODE_SIDE, Encoder, Generator

AVERAGED = ("E", "G")  # nets with a running mean: what users get


class Codes(NamedTuple):
    """z_s1, z_t1 of x1 and z_s2, z_t2 of x2."""

    z_s1: jax.Array
    z_t1: jax.Array
    z_s2: jax.Array
    z_t2: jax.Array


class Drawn(NamedTuple):
    """Images that G makes of the Codes, [N, R, R, C] each."""

    x1r: jax.Array
    x1a: jax.Array
    x3: jax.Array
    x4: jax.Array


class DTGAN:
    """The algorithm for one config; its methods are pure functions of their arguments."""

    def __init__(self, config, classes):
        model, data, dtype = config.model, config.data, jnp.dtype(config.dtype)
        self.config, self.weight = config, config.loss
        self.judges = judges.Judges(config, classes)
        self.E = Encoder(model.ch, dtype)
        self.G = Generator(
            data.res, model.ch, data.channels, model.anchor_input, model.skip_gain, dtype
        )
        g = adam(config.optim.lr, config.optim.b1, config.optim.b2)
        self.tx = self.judges.tx | {"E": g, "G": g}

    # --- forward passes ---------------------------------------------------------------------------

    def encode(self, params, *images):
        """Apply E to several images [N, R, R, C] in one pass -> a pair (z_s, z_t) for each."""
        z_s, z_t = self.E.apply(params, join(*images))
        return tuple(zip(part(z_s, len(images)), part(z_t, len(images)), strict=True))

    def codes(self, params, x1, x2):
        """Encode x1 and x2 -> Codes."""
        (z_s1, z_t1), (z_s2, z_t2) = self.encode(params, x1, x2)
        return Codes(z_s1, z_t1, z_s2, z_t2)

    def generate(self, params, pairs, noise):
        """Apply G to several (z_s, z_t) pairs in one pass -> images [N, R, R, C] for each.

        All parts share a sample's noise maps: else L_structure, a difference of images, would
        punish noise (choice 12).
        """
        count = len(pairs)
        z_s, z_t = (join(*codes) for codes in zip(*pairs, strict=True))
        noise = jax.tree.map(lambda n: jnp.repeat(n, count, axis=0), noise)
        return part(self.G.apply(params, z_s, z_t, noise), count)

    def draw(self, params, x1, x2, noise):
        """Encode x1 and x2 and generate the four images -> (Codes, Drawn)."""
        z = self.codes(params["E"], x1, x2)
        zero = jnp.zeros_like(z.z_s1)
        pairs = ((z.z_s1, z.z_t1), (zero, z.z_t1), (z.z_s1, z.z_t2), (zero, z.z_t2))
        return z, Drawn(*self.generate(params["G"], pairs, noise))

    # --- G phase: E and G learn, the judges are frozen --------------------------------------------

    def g_loss(self, encoder, drawn, frozen, x1, x2, y1, key):
        """Compute L_G = L_rec + 0.5 L_adv^G + L_Cooccur^G + L_structure + L_feature + L_cls^G.

        encoder: parameters of E, which sees x3 and x4 again; drawn: result of `draw`. Returns
        (L_G, terms).
        """
        z, (x1r, x1a, x3, x4) = drawn
        (z_s3, z_t3), (_, z_t4) = self.encode(encoder, x3, x4)

        normal = jnp.full_like(y1, NORMAL_LABEL)
        fakes, labels = (x1r, x3, x4), (y1, y1, normal)
        logits = self.judges.judge(frozen["D"], key("g_augment"), fakes, labels)
        (patch_logits,) = self.judges.compare(
            frozen["Dpatch"], key("g_crops"), (x3,), x2, frozen=True
        )
        class_logits = self.judges.net.C.apply(frozen["C"], join(*fakes))
        terms = {
            "rec": losses.reconstruction(x1, x1r, x2, x4),
            # Each branch of fakes has a weight of its own (choice 5): a sum over branches.
            "adv_g": jnp.mean(jnp.sum(losses.adversarial_g(logits), axis=1)),
            "cooccur_g": jnp.mean(losses.adversarial_g(patch_logits)),
            "structure": losses.structure(x1, x1r, x1a, x2, x3),
            "feature": losses.feature(z.z_s1, z.z_t2, z_s3, z_t3, z_t4),
            "cls_g": losses.cross_entropy(class_logits, join(*labels)),
            "anchor": jnp.mean(jnp.square(z.z_s2)),
        }
        return weigh(terms, self.weight), terms

    # --- the algorithm ----------------------------------------------------------------------------

    def step(self, state, batch):
        """Run one iteration: D phase, then G phase, on the same images -> (GanState, losses)."""
        x1, x2, y1 = inputs(batch)
        key, nets = functools.partial(step_key, state), state.nets
        noise = self.G.draw_noise(key("noise"), x1.shape[0])

        # Both phases see these images: E and G do not learn in between.
        drawn, pullback = jax.vjp(
            lambda params: self.draw(params, x1, x2, noise), params_of(nets, *AVERAGED)
        )
        x1r, _, x3, x4 = drawn[1]
        fakes, labels = (x1r, x3, x4), (y1, y1, jnp.full_like(y1, NORMAL_LABEL))
        nets, metrics = self.judges.d_phase(nets, x1, x2, y1, (x3, fakes, labels), key("d_crops"))

        frozen = params_of(nets, *judges.NAMES)
        (total, terms), (again, through) = jax.value_and_grad(self.g_loss, (0, 1), has_aux=True)(
            nets["E"].params, drawn, frozen, x1, x2, y1, key
        )
        (grads,) = pullback(through)
        grads["E"] = jax.tree.map(jnp.add, grads["E"], again)
        nets = update(self.tx, nets, grads)
        ema = ema_update(state.ema, params_of(nets, *AVERAGED), self.config.optim.ema)
        metrics |= named(terms) | {"loss/G": total}
        return state._replace(nets=nets, ema=ema), metrics

    def init(self, key, batch_spec):
        """Initialise E, G, D, Dpatch and C, each with its own key, their optimizers and the EMA."""
        base, *keys = jax.random.split(key, 7)
        image = jnp.zeros((1, *batch_spec["image"].shape[1:]), jnp.float32)
        z_s = jnp.zeros((1, CODE_SIDE, CODE_SIDE, CODE_CHANNELS), jnp.float32)
        z_t = jnp.zeros((1, self.config.model.ch * self.config.data.res // 4), jnp.float32)
        params = {
            "E": self.E.init(keys[0], image),
            "G": self.G.init(keys[1], z_s, z_t),
        }
        params |= self.judges.init(keys[2:], image)
        return new_state(base, params, self.tx, AVERAGED)

    # --- inference --------------------------------------------------------------------------------

    def noise(self, key, n):
        """Draw G's noise maps for n images: {"00a": [n, H, W, 1], "00b": ...}, two a block."""
        maps = self.G.draw_noise(key, n)
        return {
            f"{block:02d}{which}": noise
            for block, pair in enumerate(maps)
            for which, noise in zip("ab", pair, strict=True)
        }

    def infer(self, ema, request, noise):
        """Carry the defects of x1 = request["defect"] to x2 = request["surface"], uint8 both.

        Returns image x3, clean x4, rec x1r, removed x1a; and mask, half the mean absolute
        difference of x3 and x4 (this model makes no mask of its own).
        """
        maps = [noise[name] for name in sorted(noise)]
        pairs = list(zip(maps[::2], maps[1::2], strict=True))
        x1, x2 = to_float(request["defect"]), to_float(request["surface"])
        _, (x1r, x1a, x3, x4) = self.draw(ema, x1, x2, pairs)
        mask = jnp.clip(jnp.mean(jnp.abs(x3 - x4), axis=-1, keepdims=True) / 2, 0.0, 1.0)
        return {"image": x3, "mask": mask, "clean": x4, "rec": x1r, "removed": x1a}

    def score(self, ema, batch, key):
        """Compute L_rec, mean |x1 - x1r| + mean |x2 - x4|, of other images; lower is better."""
        x1, x2, _ = inputs(batch)
        _, drawn = self.draw(ema, x1, x2, self.G.draw_noise(key, x1.shape[0]))
        return losses.reconstruction(x1, drawn.x1r, x2, drawn.x4)

    def read_codes(self, ema, image):
        """Encode uint8 images [N, R, R, C]: structure z_s as [N, d], texture z_t."""
        z_s, z_t = self.E.apply(ema["E"], to_float(image))
        return {"structure": z_s.reshape(z_s.shape[0], -1), "texture": z_t}


def make(config, classes):
    """Make the DT-GAN `Method` for a config and the names of the classes, NORMAL first."""
    m = DTGAN(config, classes)
    return Method(
        reads=judges.READS,
        init=m.init,
        phases=(*m.judges.r1_phases(), Phase("step", 1, m.step)),
        infer=m.infer,
        needs=("defect", "surface"),
        gives=("image", "mask", "clean", "rec", "removed"),
        noise=m.noise,
        adopt=m.judges.adopt,
        score=m.score,
        codes=m.read_codes,
        classify=m.judges.classify,
        shown=judges.SHOWN,
    )
