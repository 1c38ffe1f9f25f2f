"""DFMGAN (Duan et al., AAAI 2023): few defects, painted into a generator of surfaces. Choices:
docs/dfmgan.md.

The backbone g(w) of a finished `stylegan2` run stays as it is. A defect has a code of its own,
w_d = f_d(z_d); residual blocks change the features of g where M >= 0, a mask that is read off the
first of them. A step is that of `methods.stylegan2`, in which G learns
  softplus(-D(aug(x))) + softplus(-D_match(x, tanh(10 M))) + 0.1 |w_d - w_d'| / |M - M'|
(the last of two defects on one object), and two phases after D's:
  match      softplus(D_match(x, tanh(10 M))) + softplus(-D_match(real, +-1))  every step
  match_reg  R1 of D_match, over image and mask                                every 16th
D goes on from the backbone's; D_match starts anew and sees images as they are.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dtgan import losses
from dtgan.methods.base import Method, Phase
from dtgan.methods.latents import flat, maps_of, reseeded, shortened
from dtgan.methods.stylegan2 import LABELLED, PL_SHARE, StyleGAN2, check_donor
from dtgan.methods.updates import adam, adopt_net, finite, named, update, weigh
from dtgan.models.dfmgan import DefectGenerator
from dtgan.models.stylegan2 import Discriminator, draw_noise, repeat_slots, sides

BACKBONE = ("mapping", "synthesis")  # of G's parts
SHARPNESS = 10.0  # of tanh(10 M), as which the mask is judged


class Drawn(NamedTuple):
    """Images [N, R, R, C] and their raw masks M [N, R, R, 1]."""

    image: Any
    mask: Any

    @property
    def soft(self):
        """The masks as D_match sees them, in -1..1."""
        return jnp.tanh(SHARPNESS * self.mask)

    @property
    def pair(self):
        """Images and masks as one, for D_match."""
        return jnp.concatenate([self.image, self.soft], axis=-1)


class DFMGAN(StyleGAN2):
    """The algorithm for one config; `state.ema["backbone"]` is what G is built on."""

    def __init__(self, config, classes):
        super().__init__(config, classes)
        model, optim = config.model, config.optim
        widths = model.match_base, model.match_cap
        self.D_match = Discriminator(*widths, self.num_classes, model.group, dtype=self.dtype)
        lazy = optim.r1_every if self.gamma else 0
        self.tx["D_match"] = adam(optim.lr, optim.b1, optim.b2, lazy)

    def make_generator(self):
        """Make the network G: one kind of object, and the classes of defects."""
        model, data = self.config.model, self.config.data
        shape = data.res, data.channels, self.base, model.cap, model.latent, model.mapping
        defects = {
            "first": model.first or data.res // 4,
            "defects": self.num_classes,
            "mask_bias": model.mask_bias,
        }
        return DefectGenerator(*shape, dtype=self.dtype, **defects)

    # --- forward passes ---------------------------------------------------------------------------

    def whole(self, state, own):
        """Return all variables of G: the backbone's and those of the parts for defects."""
        return {"params": state.ema["backbone"] | own["params"]}

    def codes(self, g, key, real, label):
        """Draw codes of defects: ([N, slots, W], the unmixed w_d [N, W])."""
        return self.styles(g, key, real, label, "defect_style", self.G.defect_slots)

    def maps(self, key, n):
        """Draw the noise maps of n images: those of the backbone, and of the residual blocks."""
        own = draw_noise(key("noise"), n, sides(self.config.data.res))
        return own, draw_noise(key("defect_noise"), n, self.G.masked_sides)

    def paint(self, g, ws, ws_d, maps):
        """Draw defects on objects."""
        return Drawn(*self.G.apply(g, ws, ws_d, *maps, method="draw_defect"))

    def drawn(self, state, own, key, real, label):
        """Draw an image and a mask for each real image, of its class."""
        g = self.whole(state, own)
        ws, _ = self.styles(g, key, real, None)
        ws_d, _ = self.codes(g, key, real, label)
        return self.paint(g, ws, ws_d, self.maps(key, len(real)))

    def fake(self, state, own, key, real, label):
        """Draw an image for each real one, of its class -> [N, R, R, C]."""
        return self.drawn(state, own, key, real, label).image

    def path(self, g, key, real, label):
        """Return styles of objects and the images' function of them: defects' codes stay."""
        ws, _ = self.styles(g, key, real, None)
        ws_d, _ = self.codes(g, key, real, label)
        maps = self.maps(key, len(real))
        return ws, lambda ws: self.paint(g, ws, ws_d, maps).image

    # --- G ----------------------------------------------------------------------------------------

    def g_loss(self, own, state, real, label, key):
        """Compute Gmain -> (loss, (terms, {mapping: w}))."""
        g, half = self.whole(state, own), slice(None, None, PL_SHARE)
        ws, _ = self.styles(g, key, real, None)
        ws_d, w_d = self.codes(g, key, real, label)
        maps = self.maps(key, len(real))
        drawn = self.paint(g, ws, ws_d, maps)
        seen = self.augment(key("augment"), drawn.image, state)
        on_match = self.D_match.apply(state.nets["D_match"].params, drawn.pair, label)
        terms = {
            "G": jnp.mean(losses.adversarial_g(self.judge(state.nets["D"].params, seen, label))),
            "match": jnp.mean(losses.adversarial_g(on_match)),
        }
        if self.config.loss.ms:  # other defects of the same classes on every second object
            same = None if label is None else label[half]
            ws_other, _ = self.codes(g, lambda name: key(f"other/{name}"), real[half], same)
            maps = jax.tree.map(lambda x: x[half], maps)
            other = self.paint(g, ws[half], ws_other, maps)
            terms["ms"] = losses.mode_seeking(ws_d[half], ws_other, drawn.soft[half], other.soft)
        return weigh(terms, {"G": 1.0, **self.config.loss}), (terms, {"defect_mapping": w_d})

    # --- D_match ----------------------------------------------------------------------------------

    def real_pairs(self, batch):
        """Return real images with masks of +-1 -> (pairs [N, R, R, C + 1], classes, 1 or 0).

        Images without masks are replaced by others of the batch; the last is 0 where none has one.
        """
        known = batch["has_mask"]
        first = jnp.argsort(~known, stable=True)  # those with masks come first
        taken = first[jnp.arange(len(known)) % jnp.maximum(jnp.sum(known), 1)]
        # Here images may change devices: as bytes, not as floats.
        real, label = self.inputs({name: x[taken] for name, x in batch.items()})
        mask = jnp.where(batch["mask"][taken] > 127, 1.0, -1.0)
        return jnp.concatenate([real, mask], axis=-1), label, jnp.any(known).astype(jnp.float32)

    def match_phase(self, state, batch):
        """Let D_match learn which masks go with which images."""
        real, label = self.inputs(batch)
        key = self.key(state, "match")
        fake = self.drawn(state, state.nets["G"].params, key, real, label).pair
        pairs, of_pairs, there = self.real_pairs(batch)

        def loss(d):
            on_real, on_fake = (
                self.D_match.apply(d, x, y) for x, y in ((pairs, of_pairs), (fake, label))
            )
            on_real, on_fake = (jnp.mean(jax.nn.softplus(x)) for x in (-on_real, on_fake))
            return there * on_real + on_fake

        total, grads = jax.value_and_grad(loss)(state.nets["D_match"].params)
        nets = update(self.tx, state.nets, {"D_match": finite(grads)})
        return state._replace(nets=nets), named({"D_match": total})

    def match_reg_phase(self, state, batch):
        """Penalise the gradient of D_match at real images and masks."""
        pairs, label, there = self.real_pairs(batch)

        def loss(d):
            penalty = losses.r1(lambda x: self.D_match.apply(d, x, label), pairs)
            return there * self.gamma * self.config.optim.r1_every * penalty, penalty

        (_, penalty), grads = jax.value_and_grad(loss, has_aux=True)(state.nets["D_match"].params)
        nets = update(self.tx, state.nets, {"D_match": finite(grads)})
        return state._replace(nets=nets), named({"r1_match": penalty})

    @property
    def phases(self):
        """The phases of a step, in order: those of the backbone, D_match's after D's."""
        found = list(super().phases)
        at = [phase.name for phase in found].index("ema")
        found.insert(at, Phase("match", 1, self.match_phase))
        if self.gamma:
            every = self.config.optim.r1_every
            found.insert(at + 1, Phase("match_reg", every, self.match_reg_phase))
        return tuple(found)

    # --- start ------------------------------------------------------------------------------------

    def init_generator(self, key, z, label):
        """Initialise G: all its variables."""
        return self.G.init(key, z, z, None, label)

    def initial(self, key, label):
        """Initialise all networks -> (parameters, what the running means hold beside them)."""
        key, key_match = jax.random.split(key)
        params, ema = super().initial(key, label)
        parts, data = params["G"]["params"], self.config.data
        own = {"params": {name: x for name, x in parts.items() if name not in BACKBONE}}
        pair = jnp.zeros((1, data.res, data.res, data.channels + 1))
        params |= {"G": own, "D_match": self.D_match.init(key_match, pair, label)}
        return params, ema | {"backbone": {name: parts[name] for name in BACKBONE}}

    def mappings(self):
        """Count the classes that each mapping network knows."""
        return {"mapping": 1, "defect_mapping": self.num_classes}

    def adopt(self, state, donor):
        """Take the running mean of a `stylegan2` run as the backbone, and its D to go on from."""
        check_donor(self.config, donor)
        own = {"params": state.ema["backbone"]}
        backbone = adopt_net("running mean of G", own, donor.ema["G"])
        d = adopt_net("D", state.nets["D"].params, donor.nets["D"], LABELLED["D"])
        nets = state.nets | {"D": state.nets["D"]._replace(params=d)}
        w_avg = state.ema["w_avg"] | {"mapping": donor.ema["w_avg"]["mapping"]}
        ema = state.ema | {"backbone": backbone["params"], "w_avg": w_avg}
        return state._replace(nets=nets, ema=ema)

    # --- inference --------------------------------------------------------------------------------

    def object_noise(self, key, n):
        """Draw what makes the object: z, and the noise maps of the backbone."""
        return super().noise(key, n)

    def defect_noise(self, key, n):
        """Draw what makes the defect: z_d, and the noise maps of the residual blocks."""
        key_z, key_maps = jax.random.split(key)
        maps = draw_noise(key_maps, n, self.G.masked_sides)
        z_d = jax.random.normal(key_z, (n, self.config.model.latent))
        return {"z_d": z_d} | flat(maps, "d")

    def noise(self, key, n):
        """Draw all noise of n images."""
        key_object, key_defect = jax.random.split(key)
        return self.object_noise(key_object, n) | self.defect_noise(key_defect, n)

    def variables(self, ema):
        """Return the variables of G of the running means, the backbone's included."""
        return {"params": ema["backbone"] | ema["G"]["params"]}

    def infer(self, ema, request, noise):
        """Draw images with a defect, where it is, and the same without it.

        request: as of `StyleGAN2.infer`, and
          defect_seed: int32 [N]; rows with the same one have the same defect code, on any object
        An image whose mask is empty equals its twin to the bit.
        """
        noise = reseeded(noise, request, "object_seed", self.object_noise)
        noise = reseeded(noise, request, "defect_seed", self.defect_noise)
        g, label = self.variables(ema), self.label_of(request)
        ws, maps = self.object_of(ema, request, noise, None)
        w_d = self.G.apply(g, noise["z_d"], label, method="defect_style")
        ws_d = repeat_slots(w_d, self.G.defect_slots)
        ws_d = shortened(ws_d, ema["w_avg"]["defect_mapping"], label, request)
        drawn = self.paint(g, ws, ws_d, (maps, maps_of(noise, "d")))
        clean = self.G.apply(g, ws, maps, method="draw")
        mask = (drawn.mask >= 0).astype(jnp.float32)
        there = jnp.max(mask, axis=(1, 2, 3), keepdims=True) > 0
        return {"image": jnp.where(there, drawn.image, clean), "mask": mask, "clean": clean}


def make(config, classes):
    """Make the DFMGAN `Method` for a config and the names of the classes, NORMAL first."""
    m = DFMGAN(config, classes)
    return Method(
        reads=("image", "label", "mask", "has_mask"),
        init=m.init,
        phases=m.phases,
        infer=m.infer,
        needs=("labels",) if m.num_classes > 1 else (),
        controls=("truncation", "object_seed", "defect_seed", "style"),
        gives=("image", "mask", "clean"),
        noise=m.noise,
        styles=m.styles_of_objects,
        learns_masks=True,
        adopt=m.adopt,
        starts_from="a finished run of configs/dfmgan.py:stage=1" if config.init.required else "",
        shown=tuple(f"loss/{name}" for name in ("D", "D_match", "G", "match", "ms", "p")),
    )
