"""The judges D, Dpatch and C: their networks, losses and updates.

Several families train against the same judges: a multi-task discriminator D of whole images, a
co-occurrence discriminator Dpatch of crops, and a classifier C of real images. Equations and
choices, by number: docs/dtgan.md.
"""

import functools
import logging
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dtgan import losses
from dtgan.config import NORMAL_LABEL, ConfigError, flip_axes
from dtgan.images import to_float
from dtgan.methods.base import Phase
from dtgan.methods.updates import (
    adam,
    adopt_all,
    inputs,
    join,
    named,
    params_of,
    step_key,
    update,
    weigh,
)
from dtgan.models.classifier import Classifier
from dtgan.models.discriminators import MultiTaskDiscriminator, PairHead, select
from dtgan.models.discriminators import PatchDiscriminator as PatchEncoder
from dtgan.nn.augment import augment
from dtgan.nn.patches import random_crops

log = logging.getLogger("dtgan")

NAMES = ("D", "Dpatch", "C")
HEADS = {"D": "fc1", "C": "fc"}  # the layers with one output per class
READS = ("image", "label", "normal")
SHOWN = ("loss/G", "loss/D", "loss/rec", "loss/structure", "loss/cls_g")


class Modules(NamedTuple):
    """The Flax modules; parameters go by the names D, Dpatch (features, head) and C."""

    D: Any
    Dpatch: Any
    head: Any
    C: Any


def build(config, num_classes, dtype=None):
    """Build the judges' modules for a config; num_classes counts the normal class."""
    model, dtype = config.model, jnp.dtype(dtype or config.dtype)
    base, cap = model.d_base or 512 * model.ch, model.d_cap or 16 * model.ch
    return Modules(
        D=MultiTaskDiscriminator(num_classes, base, cap, dtype),
        Dpatch=PatchEncoder(model.ch, dtype),
        head=PairHead(model.ch),
        C=Classifier(num_classes, base, cap, dtype),
    )


class Judges:
    """The judges of one config; its methods are pure functions of their arguments."""

    def __init__(self, config, classes):
        self.config, self.weight, self.patches = config, config.loss, config.patches
        self.classes = tuple(classes)
        self.net = build(config, len(classes))
        self.net32 = build(config, len(classes), "float32")  # R1 gradients stay in float32
        self.r1_every = config.optim.r1_every
        o = config.optim
        d = adam(o.lr, o.b1, o.b2, self.r1_every)  # with the correction for lazy R1
        self.tx = {"D": d, "Dpatch": d, "C": adam(o.lr_c, 0.9, 0.999)}
        self.flips = tuple(1 + a for a in flip_axes(config.data.flips, config.data.rolling))
        automatic = 10.0 * (config.data.res / 256) ** 2
        self.gamma_d = automatic if self.weight.r1_d < 0 else self.weight.r1_d

    # --- what the judges say ----------------------------------------------------------------------

    def disguise(self, key, images):
        """Augment what a discriminator sees, differentiably, where config.augment asks for it."""
        o = self.config.augment
        if not o.prob:
            return images
        return augment(key, images, o.prob, self.flips, o.brightness, o.contrast, o.shift)

    def judge(self, params, key, images, labels):
        """Apply D to several images in one pass -> its logits of the given labels [N, P]."""
        images = self.disguise(key, join(*images))
        return select(self.net.D.apply(params, images), join(*labels)).reshape(-1, len(labels))

    def crops(self, key, images, count):
        """Cut `count` random crops of each image and resize them: [N, count, R/4, R/4, C]."""
        side = self.patches.min_side, self.patches.max_side
        return random_crops(key, images, count, images.shape[1] // 4, *side)

    def compare(self, params, key, candidates, reference, frozen=False):
        """Compute Dpatch's logits [N, P] of each image of `candidates` and crops of `reference`.

        All images of a sample are disguised alike: the question is whether they share a surface.
        frozen: the reference carries no gradient, not even by what its disguise shares with that of
        the candidates; its features come from a pass of their own, whose backward half, four fifths
        of the crops, is then never computed.
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

    # --- how they learn: the family's own nets are frozen -----------------------------------------

    def d_loss(self, params, x1, x2, y1, fakes, key):
        """Compute L_D = L_adv^D + L_Cooccur^D -> (L_D, terms); fakes: (x3, all images, labels)."""
        x3, images, labels = fakes
        normal = jnp.full_like(y1, NORMAL_LABEL)
        key_d, key_patch = jax.random.split(key)
        logits = self.judge(params["D"], key_d, (x1, x2, *images), (y1, normal, *labels))
        real, fake = self.compare(params["Dpatch"], key_patch, (x2, x3), x2)
        terms = {
            "adv_d": losses.adversarial_d(logits[:, :2], logits[:, 2:]),
            "cooccur_d": losses.adversarial_d(real, fake),
        }
        return weigh(terms, self.weight), terms

    def c_loss(self, params, x1, x2, y1):
        """Compute L_C, the cross-entropy on real images -> (L_C, terms)."""
        logits = self.net.C.apply(params["C"], join(x1, x2))
        label = join(y1, jnp.full_like(y1, NORMAL_LABEL))
        terms = {"cls_c": losses.cross_entropy(logits, label)}
        return weigh(terms, self.weight), terms

    def r1_loss(self, params, x1, x2, y1, key):
        """Compute R1 of D on the selected logit and of Dpatch on real crops (choice 7)."""
        gamma = {"r1_d": self.gamma_d, "r1_dpatch": self.weight.r1_dpatch}
        both, label = join(x1, x2), join(y1, jnp.full_like(y1, NORMAL_LABEL))

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
        return self.r1_every * weigh(terms, gamma), terms

    def d_phase(self, nets, x1, x2, y1, fakes, key):
        """Update D, Dpatch and C once -> (nets, losses)."""
        fakes = jax.lax.stop_gradient(fakes)
        (total, terms), grads = jax.value_and_grad(self.d_loss, has_aux=True)(
            params_of(nets, "D", "Dpatch"), x1, x2, y1, fakes, key
        )
        (_, c_terms), c_grads = jax.value_and_grad(self.c_loss, has_aux=True)(
            params_of(nets, "C"), x1, x2, y1
        )
        nets = update(self.tx, nets, grads | c_grads)
        return nets, named(terms | c_terms) | {"loss/D": total}

    def r1_phases(self):
        """Return the phase of R1 as a tuple, empty where optim.r1_every switches it off."""
        return (Phase("r1", self.r1_every, self.regularize),) if self.r1_every else ()

    def regularize(self, state, batch):
        """Apply R1 of D and Dpatch, times optim.r1_every, in an Adam step of its own.

        A program of its own, run just before one step in r1_every, so that the second-order graph
        is compiled once and apart.
        """
        x1, x2, y1 = inputs(batch)
        (_, terms), grads = jax.value_and_grad(self.r1_loss, has_aux=True)(
            params_of(state.nets, "D", "Dpatch"), x1, x2, y1, step_key(state, "r1")
        )
        return state._replace(nets=update(self.tx, state.nets, grads)), named(terms)

    # --- parameters -------------------------------------------------------------------------------

    def init(self, keys, image):
        """Initialise D, Dpatch and C with four keys -> {name: parameters}."""
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

    def adopt(self, state, donor):
        """Take over all nets of a run of the same family; reset class outputs if classes differ."""
        if donor.method != self.config.method:
            raise ConfigError(
                f"init.workdir={self.config.init.workdir} holds a run of method={donor.method}; "
                f"method={self.config.method} starts from its own runs only"
            )
        nets = dict(donor.nets)
        if donor.classes != self.classes:
            log.info("the donor has other classes: the class outputs of D and C start anew")
            for name, head in HEADS.items():
                own = state.nets[name].params["params"][head]
                nets[name] = {"params": nets[name]["params"] | {head: own}}
        return adopt_all(state, donor._replace(nets=nets))

    def classify(self, nets, image):
        """Compute C's logits [N, num_classes] of uint8 images [N, R, R, C]."""
        return self.net.C.apply(nets["C"].params, to_float(image))
