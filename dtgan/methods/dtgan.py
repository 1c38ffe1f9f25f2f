"""DT-GAN (Gazzola, Padova 2023). Equations and choices, by number: docs/dtgan.md.

x1 defective, x2 normal, y1 the class of x1; E(x) = (z_s, z_t).
  x1r = G(z_s1, z_t1)  reconstruction        x1a = G(0, z_t1)  x1 without its defect
  x3  = G(z_s1, z_t2)  hybrid                x4  = G(0, z_t2)  anchor reconstruction of x2
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dtgan import losses
from dtgan.config import flip_axes
from dtgan.images import to_float
from dtgan.methods.base import Method, adam, ema_update, join, params_of, part, update
from dtgan.models.classifier import Classifier
from dtgan.models.discriminators import MultiTaskDiscriminator, select
from dtgan.models.dtgan import CODE_CHANNELS, CODE_SIDE, Encoder, Generator, PairHead
from dtgan.models.dtgan import PatchDiscriminator as PatchEncoder
from dtgan.nn.augment import augment
from dtgan.nn.patches import random_crops
from dtgan.state import GanState, NetState

NORMAL = 0  # label of the defect-free class
AVERAGED = ("E", "G")  # nets with a running mean: what users get


class Networks(NamedTuple):
    """The Flax modules; parameters go by the names E, G, D, Dpatch (features, head) and C."""

    E: Any
    G: Any
    D: Any
    Dpatch: Any
    head: Any
    C: Any


class Codes(NamedTuple):
    """z_s1, z_t1 of x1 and z_s2, z_t2 of x2."""

    z_s1: jax.Array
    z_t1: jax.Array
    z_s2: jax.Array
    z_t2: jax.Array


def build(config, num_classes, dtype=None):
    """The networks for a config; num_classes counts the normal class."""
    model, dtype = config.model, jnp.dtype(dtype or config.dtype)
    base, cap = model.d_base or 512 * model.ch, model.d_cap or 16 * model.ch
    return Networks(
        E=Encoder(model.ch, dtype),
        G=Generator(
            *(config.data.res, model.ch, config.data.channels),
            *(model.anchor_input, model.skip_gain, dtype),
        ),
        D=MultiTaskDiscriminator(num_classes, base, cap, dtype),
        Dpatch=PatchEncoder(model.ch, dtype),
        head=PairHead(model.ch),
        C=Classifier(num_classes, base, cap, dtype),
    )


class Drawn(NamedTuple):
    """What G draws from the Codes, [N, R, R, C] each."""

    x1r: jax.Array
    x1a: jax.Array
    x3: jax.Array
    x4: jax.Array


class DTGAN:
    """The algorithm for one config; its methods are pure functions of their arguments."""

    def __init__(self, config, num_classes):
        self.config, self.weight, self.patches = config, config.loss, config.patches
        self.net = build(config, num_classes)
        self.net32 = build(config, num_classes, "float32")  # R1 gradients stay in float32
        self.tx = optimizers(config)
        self.lazy_every = config.optim.r1_every
        self.flips = tuple(1 + a for a in flip_axes(config.data.flips, config.data.rolling))
        automatic = 10.0 * (config.data.res / 256) ** 2
        self.gamma_d = automatic if self.weight.r1_d < 0 else self.weight.r1_d

    # --- forward passes ---------------------------------------------------------------------------

    def encode(self, params, *images):
        """E on several images [N, R, R, C] in one pass -> a pair (z_s, z_t) for each."""
        z_s, z_t = self.net.E.apply(params, join(*images))
        return tuple(zip(part(z_s, len(images)), part(z_t, len(images)), strict=True))

    def codes(self, params, x1, x2):
        """The Codes of x1 and x2."""
        (z_s1, z_t1), (z_s2, z_t2) = self.encode(params, x1, x2)
        return Codes(z_s1, z_t1, z_s2, z_t2)

    def generate(self, params, pairs, noise):
        """G on several (z_s, z_t) pairs in one pass. All parts share a sample's noise maps: else
        L_structure, a difference of images, would punish noise (choice 12)."""
        count = len(pairs)
        z_s, z_t = (join(*codes) for codes in zip(*pairs, strict=True))
        noise = jax.tree.map(lambda n: jnp.repeat(n, count, axis=0), noise)
        return part(self.net.G.apply(params, z_s, z_t, noise), count)

    def disguise(self, key, images):
        """Differentiable augmentation of what a discriminator sees, where config.augment asks."""
        o = self.config.augment
        if not o.prob:
            return images
        return augment(key, images, o.prob, self.flips, o.brightness, o.contrast, o.shift)

    def judge(self, params, key, images, labels):
        """D's logit of the given label for several images in one pass -> [N, P]."""
        images = self.disguise(key, join(*images))
        return select(self.net.D.apply(params, images), join(*labels)).reshape(-1, len(labels))

    def crops(self, key, images, count):
        """`count` random crops of each image, a quarter of its side: [N, count, R/4, R/4, C]."""
        side = self.patches.min_side, self.patches.max_side
        return random_crops(key, images, count, images.shape[1] // 4, *side)

    def compare(self, params, key, candidates, reference, frozen=False):
        """Dpatch's logits [N, P] for each image of `candidates` against crops of `reference`.

        All images of a sample are disguised alike: the question is whether they share a surface.
        frozen: the reference's features carry no gradient and come from a pass of their own, whose
        backward half, four fifths of the crops, is then never computed.
        """
        key, *keys = jax.random.split(key, len(candidates) + 2)
        together = self.disguise(key, jnp.stack([*candidates, reference], axis=1))
        *candidates, reference = (together[:, i] for i in range(len(candidates) + 1))
        if frozen:
            reference = jax.lax.stop_gradient(reference)
        sets = [
            self.crops(k, x, self.patches.count) for k, x in zip(keys, candidates, strict=False)
        ]
        references = self.crops(keys[-1], reference, self.patches.count * self.patches.reference)
        read = functools.partial(self.net.Dpatch.apply, params["features"])
        if frozen:
            features, (references,) = read(*sets), read(references)
        else:
            *features, references = read(*sets, references)
        return [self.net.head.apply(params["head"], f, references) for f in features]

    # --- D phase: D, Dpatch and C learn, E and G are frozen ---------------------------------------

    def d_loss(self, params, x1, x2, y1, fakes, key):
        """L_D = L_adv^D + L_Cooccur^D; fakes: the hybrid x3, and all images with their labels."""
        x3, images, labels = fakes
        normal = jnp.full_like(y1, NORMAL)
        key_d, key_patch = jax.random.split(key)
        logits = self.judge(params["D"], key_d, (x1, x2, *images), (y1, normal, *labels))
        real, fake = self.compare(params["Dpatch"], key_patch, (x2, x3), x2)
        terms = {
            "adv_d": losses.adversarial_d(logits[:, :2], logits[:, 2:]),
            "cooccur_d": losses.adversarial_d(real, fake),
        }
        return weigh(terms, self.weight), terms

    def c_loss(self, params, x1, x2, y1):
        """L_C: cross-entropy on real images."""
        logits = self.net.C.apply(params["C"], join(x1, x2))
        label = join(y1, jnp.full_like(y1, NORMAL))
        terms = {"cls_c": losses.cross_entropy(logits, label)}
        return weigh(terms, self.weight), terms

    def r1_loss(self, params, x1, x2, y1, key):
        """R1 of D on the selected logit and of Dpatch on real crops (choice 7)."""
        gamma = {"r1_d": self.gamma_d, "r1_dpatch": self.weight.r1_dpatch}
        both, label = join(x1, x2), join(y1, jnp.full_like(y1, NORMAL))

        def d_score(x):
            return select(self.net32.D.apply(params["D"], self.disguise(key_d, x)), label)

        key_d, key_patch, key_real, key_reference = jax.random.split(key, 4)
        x2 = self.disguise(key_patch, x2)
        real = self.crops(key_real, x2, self.patches.count)
        reference = self.crops(key_reference, x2, self.patches.count * self.patches.reference)
        (reference,) = self.net32.Dpatch.apply(params["Dpatch"]["features"], reference)

        def patch_score(patch):
            (features,) = self.net32.Dpatch.apply(params["Dpatch"]["features"], patch)
            return self.net32.head.apply(params["Dpatch"]["head"], features, reference)

        terms = {
            "r1_d": losses.r1(d_score, both),
            "r1_dpatch": losses.r1(patch_score, real),
        }
        return self.lazy_every * weigh(terms, gamma), terms

    def d_phase(self, nets, x1, x2, y1, fakes, key):
        """One update of D and Dpatch and one of C -> (nets, losses)."""
        fakes = jax.lax.stop_gradient(fakes)
        (total, terms), grads = jax.value_and_grad(self.d_loss, has_aux=True)(
            params_of(nets, "D", "Dpatch"), x1, x2, y1, fakes, key
        )
        (_, c_terms), c_grads = jax.value_and_grad(self.c_loss, has_aux=True)(
            params_of(nets, "C"), x1, x2, y1
        )
        nets = update(self.tx, nets, grads | c_grads)
        return nets, named(terms | c_terms) | {"loss/D": total}

    # --- G phase: E and G learn, D, Dpatch and C are frozen ---------------------------------------

    def draw(self, params, x1, x2, noise):
        """The Codes of x1 and x2 and the Drawn images."""
        z = self.codes(params["E"], x1, x2)
        zero = jnp.zeros_like(z.z_s1)
        pairs = ((z.z_s1, z.z_t1), (zero, z.z_t1), (z.z_s1, z.z_t2), (zero, z.z_t2))
        return z, Drawn(*self.generate(params["G"], pairs, noise))

    def g_loss(self, encoder, drawn, frozen, x1, x2, y1, key):
        """L_G = L_rec + 0.5 L_adv^G + L_Cooccur^G + L_structure + L_feature + L_cls^G.

        encoder: parameters of E, which sees x3 and x4 again; drawn: what `draw` gave.
        """
        z, (x1r, x1a, x3, x4) = drawn
        (z_s3, z_t3), (_, z_t4) = self.encode(encoder, x3, x4)

        normal = jnp.full_like(y1, NORMAL)
        fakes, labels = (x1r, x3, x4), (y1, y1, normal)
        logits = self.judge(frozen["D"], key["g_augment"], fakes, labels)
        (patch_logits,) = self.compare(frozen["Dpatch"], key["g_crops"], (x3,), x2, frozen=True)
        class_logits = self.net.C.apply(frozen["C"], join(*fakes))
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
        """One iteration: D phase, then G phase, on the same images -> (GanState, losses)."""
        x1, x2, y1 = inputs(batch)
        key, nets = step_keys(state), state.nets
        noise = self.net.G.draw_noise(key["noise"], x1.shape[0])

        # Both phases see these images: E and G do not learn in between.
        drawn, pullback = jax.vjp(
            lambda params: self.draw(params, x1, x2, noise), params_of(nets, *AVERAGED)
        )
        x1r, _, x3, x4 = drawn[1]
        fakes, labels = (x1r, x3, x4), (y1, y1, jnp.full_like(y1, NORMAL))
        nets, metrics = self.d_phase(nets, x1, x2, y1, (x3, fakes, labels), key["d_crops"])

        judges = params_of(nets, "D", "Dpatch", "C")
        (total, terms), (again, through) = jax.value_and_grad(self.g_loss, (0, 1), has_aux=True)(
            nets["E"].params, drawn, judges, x1, x2, y1, key
        )
        (grads,) = pullback(through)
        grads["E"] = jax.tree.map(jnp.add, grads["E"], again)
        nets = update(self.tx, nets, grads)
        ema = ema_update(state.ema, params_of(nets, *AVERAGED), self.config.optim.ema)
        metrics |= named(terms) | {"loss/G": total}
        return state._replace(step=state.step + 1, nets=nets, ema=ema), metrics

    def regularize(self, state, batch):
        """R1 of D and Dpatch with weight x16 in its own Adam step; a program of its own, run just
        before every 16th step, so that the second-order graph is compiled once and apart."""
        x1, x2, y1 = inputs(batch)
        (_, terms), grads = jax.value_and_grad(self.r1_loss, has_aux=True)(
            params_of(state.nets, "D", "Dpatch"), x1, x2, y1, step_keys(state)["r1"]
        )
        return state._replace(nets=update(self.tx, state.nets, grads)), named(terms)

    def init(self, rng, batch_spec):
        """Parameters in the order E, G, D, Dpatch, C, each with its own key; optimizers; EMA."""
        base, *keys = jax.random.split(rng, 7)
        image = jnp.zeros((1, *batch_spec["image"].shape[1:]), jnp.float32)
        z_s = jnp.zeros((1, CODE_SIDE, CODE_SIDE, CODE_CHANNELS), jnp.float32)
        z_t = jnp.zeros((1, self.config.model.ch * self.config.data.res // 4), jnp.float32)
        params = {
            "E": self.net.E.init(keys[0], image),
            "G": self.net.G.init(keys[1], z_s, z_t),
        }
        return self.new_state(base, params | self.init_judges(keys[2:], image), AVERAGED)

    def init_judges(self, keys, image):
        """Parameters of D, Dpatch and C; four keys."""
        side, width = self.config.data.res // 4, 12 * self.config.model.ch
        patch = jnp.zeros((1, 1, side, side, self.config.data.channels), jnp.float32)
        features = jnp.zeros((1, 1, width), jnp.float32)
        return {
            "D": self.net.D.init(keys[0], image),
            "Dpatch": {
                "features": self.net.Dpatch.init(keys[1], patch),
                "head": self.net.head.init(keys[2], features, features),
            },
            "C": self.net.C.init(keys[3], image),
        }

    def new_state(self, rng, params, averaged):
        """The GanState of step 0."""
        nets = {name: NetState(p, self.tx[name].init(p)) for name, p in params.items()}
        # A copy: the step donates its input, and donated buffers must not be shared.
        ema = jax.tree.map(jnp.copy, {name: params[name] for name in averaged})
        return GanState(jnp.zeros((), jnp.int32), rng, nets, ema, {})

    def infer(self, ema, request, rng):
        """Carry defects to surfaces.

        request: {"image": uint8 x1 [N, R, R, C], "normal": uint8 x2}. Returns float32 images in
        about [-1, 1]: "image" x3, "clean" x4, "rec" x1r, "removed" x1a; and "mask" [N, R, R, 1],
        half the mean absolute difference of x3 and x4 (this model draws no mask of its own).
        """
        noise = self.net.G.draw_noise(rng, request["image"].shape[0])
        x1, x2 = to_float(request["image"]), to_float(request["normal"])
        _, (x1r, x1a, x3, x4) = self.draw(ema, x1, x2, noise)
        mask = jnp.clip(jnp.mean(jnp.abs(x3 - x4), axis=-1, keepdims=True) / 2, 0.0, 1.0)
        return {"image": x3, "mask": mask, "clean": x4, "rec": x1r, "removed": x1a}

    def score(self, ema, request, rng):
        """mean |x1 - x1r| + mean |x2 - x4| of other images, as in L_rec; lower is better."""
        drawn = self.infer(ema, request, rng)
        x1, x2 = to_float(request["image"]), to_float(request["normal"])
        return losses.reconstruction(x1, drawn["rec"], x2, drawn["clean"])

    def probe(self, ema, image):
        """The codes of uint8 images [N, R, R, C]: structure z_s as [N, d], texture z_t."""
        z_s, z_t = self.net.E.apply(ema["E"], to_float(image))
        return {"structure": z_s.reshape(z_s.shape[0], -1), "texture": z_t}

    def classify(self, nets, image):
        """C's logits [N, num_classes] of uint8 images [N, R, R, C]."""
        return self.net.C.apply(nets["C"].params, to_float(image))


def make(config, num_classes):
    """The DT-GAN `Method` for a config and a number of classes (with the normal one)."""
    m = DTGAN(config, num_classes)
    functions = m.init, m.step, m.infer, m.score, m.classify, m.probe, m.regularize
    return Method(*functions, m.lazy_every)


def inputs(batch):
    """x1, x2 in [-1, 1] and y1 of a batch."""
    return to_float(batch["image"]), to_float(batch["normal"]), batch["label"]


def step_keys(state):
    """The named keys of this step: fold_in(rng, step), split once."""
    # A key depends on its place: "unused" leaves the draws of those after it as they were.
    names = ("unused", "d_crops", "r1", "noise", "g_crops", "g_augment", "scene")
    keys = jax.random.split(jax.random.fold_in(state.rng, state.step), len(names))
    return dict(zip(names, keys, strict=True))


def optimizers(config):
    """Adam for every net; D and Dpatch carry the lazy-R1 correction."""
    o = config.optim
    g, d = adam(o.lr, o.b1, o.b2), adam(o.lr, o.b1, o.b2, o.r1_every)
    return {"E": g, "G": g, "D": d, "Dpatch": d, "C": adam(o.lr_c, 0.9, 0.999)}


def weigh(terms, weight):
    """Sum of weight * term, terms without weight left out of the gradient's graph."""
    weighed = (weight[name] * term for name, term in terms.items() if weight[name])
    return sum(weighed, start=jnp.zeros(()))


def named(terms):
    """{"rec": ...} -> {"loss/rec": ...}: the names of the config's weights."""
    return {f"loss/{name}": term for name, term in terms.items()}
