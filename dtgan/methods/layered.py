"""Layered DT-GAN: the defect is a layer over the real surface. Equations: docs/dtgan.md.

x1 defective, x2 normal, y1 the class of x1; E(x) = (z_s, z_t); f, m = G(z_s, z_t), f in the light
of the surface it lies on; b = F(what is known of x, z_t), the surface under a defect.
  x3  = x2 (1 - m) + f m        with z_s1, z_t2: hybrid
  x1a = x1 (1 - r) + b r        removal, r = min(1, 3 m1), what m1 reaches
  x1r = b (1 - m1) + f1 m1      reconstruction where x1 is hidden from F: by r or a random hole
  x4  = x2                      the anchor, since m = 0 where z_s = 0
  xs  = x2 (1 - ms) + fs ms     rehearsal: a drawn layer, whose answer is known
"""

import functools
from typing import Any, NamedTuple

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
from dtgan.models.layered import (
    CODE_CHANNELS,
    TOP_SIDE,
    Filler,
    LayerCodes,
    LayerEncoder,
    LayerGenerator,
    reach,
    split_code,
)
from dtgan.models.rehearsal import draw_layer, fainter, visible
from dtgan.models.surfaces import over, paint

AVERAGED = ("E", "G", "F")  # nets with a running mean: what users get
PER_DEFECT = ("strength", "shift", "scale", "flip")  # controls of a request, see `infer`


class Layer(NamedTuple):
    """A defect as G makes it: reflectance [N, R, R, C] and matte m [N, R, R, 1]."""

    reflectance: Any
    matte: Any

    def on(self, surface):
        """Lay it over a surface [N, R, R, C], in that surface's light."""
        return over(surface, paint(self.reflectance, surface), self.matte)


class Scene(NamedTuple):
    """Codes and images of a pair x1, x2 in training; names as at the top of the file."""

    drawn: Layer  # at random, for the rehearsal
    xs: Any
    hole: Any  # a random one [N, R, R, 1], 0 or 1
    z1: LayerCodes
    z2: LayerCodes
    zs: LayerCodes
    layer1: Layer  # of z_s1, z_t1
    layer3: Layer  # of z_s1, z_t2
    layer_s: Layer  # the drawn layer, read back
    hidden: Any  # what F could not see of x1, 0..1
    b2: Any
    x1a: Any
    x1r: Any  # valid where `hidden` is 1


class Layered:
    """The algorithm for one config; its methods are pure functions of their arguments."""

    def __init__(self, config, classes):
        model, data, dtype = config.model, config.data, jnp.dtype(config.dtype)
        self.config, self.weight = config, config.loss
        self.judges = judges.Judges(config, classes)
        self.E = LayerEncoder(model.ch, model.code_stride, dtype)
        self.G = LayerGenerator(data.res, model.ch, data.channels, dtype)
        self.F = Filler(model.ch, dtype)
        g = adam(config.optim.lr, config.optim.b1, config.optim.b2)
        self.tx = self.judges.tx | {"E": g, "G": g, "F": g}

    # --- forward passes ---------------------------------------------------------------------------

    def encode(self, params, *images):
        """Apply E to several images [N, R, R, C] in one pass -> LayerCodes for each."""
        codes = self.E.apply(params, join(*images))
        parts = (part(code, len(images)) for code in codes)
        return tuple(LayerCodes(*code) for code in zip(*parts, strict=True))

    def layers(self, params, *pairs):
        """Apply G to several (z_s, z_t) pairs in one pass -> a Layer for each."""
        z_s, z_t = (join(*codes) for codes in zip(*pairs, strict=True))
        drawn = self.G.apply(params, z_s, z_t)
        return tuple(Layer(*x) for x in zip(*(part(y, len(pairs)) for y in drawn), strict=True))

    def fill(self, params, *triples):
        """Apply F to several (image, known, z_t) in one pass -> the whole surface b for each."""
        images, known, z_t = (join(*x) for x in zip(*triples, strict=True))
        return part(self.F.apply(params, images, known, z_t), len(triples))

    def scene(self, params, x1, x2, key):
        """Compute all codes and images of x1 and x2 but the hybrid -> Scene."""
        fixed, n, res = jax.lax.stop_gradient, len(x1), x1.shape[1]
        vertical = self.config.data.rolling == "vertical"
        reflectances, mattes = draw_layer(key, 2 * n, res, x1.shape[-1], vertical)
        (reflectance, _), (matte, other) = part(reflectances, 2), part(mattes, 2)
        hole = (other > 0.1).astype(jnp.float32)
        matte = fainter(matte, jax.random.fold_in(key, 1))
        drawn = Layer(reflectance, visible(reflectance, matte, x2))
        xs = drawn.on(x2)
        z1, z2, zs = self.encode(params["E"], x1, x2, xs)
        # The drawn layer is read back with the texture of x1, since it is not made of x2's.
        layer1, layer3, layer_s = self.layers(
            params["G"], (z1.z_s, z1.z_t), (z1.z_s, z2.z_t), (zs.z_s, z1.z_t)
        )
        b1, b2, x1a, hidden = x1, x2, x1, jnp.ones_like(hole)
        if self.config.model.removal:
            # F sees of x1 what neither the matte nor a random hole hides.
            reached = reach(layer1.matte)
            hidden = jnp.maximum(hole, fixed(reached))
            b1, b2 = self.fill(params["F"], (x1, 1.0 - hidden, z1.z_t), (x2, 1.0 - hole, z2.z_t))
            x1a = over(x1, b1, reached)
        # stop_gradient(b): else F could lower L_rec by painting the defect into the filled surface.
        x1r = over(fixed(b1), paint(layer1.reflectance, fixed(x1a)), layer1.matte)
        layers = layer1, layer3, layer_s
        return Scene(drawn, xs, hole, z1, z2, zs, *layers, hidden, b2, x1a, x1r)

    # --- G phase: E, G and F learn, the judges are frozen -----------------------------------------

    def g_loss(self, params, frozen, x1, x2, y1, pixels, key):
        """Compute L_G -> (L_G, (terms, (x3, fakes, their labels) for the D phase)).

        pixels: (mask [N, R, R, 1] in 0..1, has_mask bool [N]) of x1.
        """
        fixed, s = jax.lax.stop_gradient, self.scene(params, x1, x2, key("scene"))
        x3 = s.layer3.on(x2)
        (z3,) = self.encode(params["E"], x3)

        normal = jnp.full_like(y1, NORMAL_LABEL)
        fakes, labels = (x3,), (y1,)
        if self.config.model.removal:
            fakes, labels = (x3, s.x1a), (y1, normal)
        logits = self.judges.judge(frozen["D"], key("g_augment"), fakes, labels)
        (patch_logits,) = self.judges.compare(
            frozen["Dpatch"], key("g_crops"), (x3,), x2, frozen=True
        )
        class_logits = self.judges.net.C.apply(frozen["C"], join(*fakes))
        terms = {
            "rec": losses.weighted_l1(x1, s.x1r, s.hidden),  # |x2 - x4| is 0
            "adv_g": jnp.mean(jnp.sum(losses.adversarial_g(logits), axis=1)),
            "cooccur_g": jnp.mean(losses.adversarial_g(patch_logits)),
            "structure": losses.structure(x1, over(x1, s.x1r, s.hidden), s.x1a, x2, x3),
            "feature": losses.mse(z3.z_s, fixed(s.z1.z_s)) + losses.mse(z3.z_t, fixed(s.z2.z_t)),
            "cls_g": losses.cross_entropy(class_logits, join(*labels)),
            "anchor": losses.binary_cross_entropy(s.z2.presence, 0.0),
            "present": losses.present(s.z1.presence),
            "fill": losses.weighted_l1(x2, s.b2, s.hole),
            "area": jnp.mean(s.layer1.matte),
            "smooth": losses.variation(s.layer1.matte),
            "rehearse": self.rehearsal(s, x2),
            "mask": self.mask_loss(s, *pixels),
        }
        return weigh(terms, self.weight), (terms, (x3, fakes, labels))

    def rehearsal(self, scene, x2):
        """Compare the layer that E and G read back with the one that was drawn on x2."""
        drawn, layer = scene.drawn, scene.layer_s
        most = jnp.max(drawn.matte, axis=(1, 2, 3), keepdims=True)
        seen = (self.cells(drawn.matte) > 0.15 * most).astype(jnp.float32)
        return (
            losses.binary_cross_entropy(scene.zs.presence, seen)
            + 2.0 * losses.matte(layer.matte, drawn.matte)
            + 4.0 * losses.weighted_l1(layer.reflectance, drawn.reflectance, drawn.matte)
            + 10.0 * losses.l1(layer.on(x2), scene.xs)
        )

    def mask_loss(self, scene, mask, has_mask):
        """Compare E's presence (a gradient in all cells) and the matte's reach to known masks.

        Without a mask, `mask` may mark boxes that hold the defect: nothing may be outside of them,
        and what is inside is not asked.
        """
        known, cells = has_mask[:, None, None, None].astype(jnp.float32), self.cells(mask)
        boxed = (1.0 - known) * jnp.max(mask, axis=(1, 2, 3), keepdims=True)
        asked = known + boxed * (1.0 - cells)
        presence = losses.binary_cross_entropy(scene.z1.presence, cells * known, asked)
        asked = known + boxed * (1.0 - mask)
        return presence + losses.matte(reach(scene.layer1.matte) * asked, mask * known)

    def cells(self, pixels):
        """Reduce [N, R, R, 1] to the largest value in every cell of z_s: [N, S, S, 1]."""
        n, stride = len(pixels), self.config.model.code_stride
        side = pixels.shape[1] // stride
        return jnp.max(pixels.reshape(n, side, stride, side, stride, 1), axis=(2, 4))

    def score(self, ema, batch, key):
        """Compute rehearsal + L_rec, whose answers are known, on other images; lower is better.

        Not |x1 - x1r| alone: a model that draws nothing would have 0.
        """
        x1, x2, _ = inputs(batch)
        s = self.scene(ema, x1, x2, key)
        return self.rehearsal(s, x2) + losses.weighted_l1(x1, s.x1r, s.hidden)

    # --- the algorithm ----------------------------------------------------------------------------

    def step(self, state, batch):
        """Run one iteration: G phase, then D phase on the same fakes -> (GanState, losses)."""
        x1, x2, y1 = inputs(batch)
        pixels = batch["mask"].astype(jnp.float32) / 255.0, batch["has_mask"]
        key, nets = functools.partial(step_key, state), state.nets
        (total, (terms, fakes)), grads = jax.value_and_grad(self.g_loss, has_aux=True)(
            params_of(nets, *AVERAGED), params_of(nets, *judges.NAMES), x1, x2, y1, pixels, key
        )
        nets, metrics = self.judges.d_phase(nets, x1, x2, y1, fakes, key("d_crops"))
        nets = update(self.tx, nets, grads)
        ema = ema_update(state.ema, params_of(nets, *AVERAGED), self.config.optim.ema)
        metrics |= named(terms) | {"loss/G": total}
        return state._replace(nets=nets, ema=ema), metrics

    def init(self, key, batch_spec):
        """Initialise E, G, F and the judges, each with its own key, the optimizers and the EMA."""
        base, *keys = jax.random.split(key, 8)
        data, model = self.config.data, self.config.model
        image = jnp.zeros((1, *batch_spec["image"].shape[1:]), jnp.float32)
        side = data.res // model.code_stride
        z_s = jnp.zeros((1, side, side, CODE_CHANNELS), jnp.float32)
        z_t = jnp.zeros((1, model.ch * data.res // 4), jnp.float32)
        params = self.judges.init(keys[3:], image) | {
            "E": self.E.init(keys[0], image),
            "G": self.G.init(keys[1], z_s, z_t),
            "F": self.F.init(keys[2], image, image[..., :1], z_t),
        }
        return new_state(base, params, self.tx, AVERAGED)

    # --- inference --------------------------------------------------------------------------------

    def infer(self, ema, request, noise):
        """Carry defects to surfaces; nothing is random.

        request: "defect" uint8 x1 [N, R, R, C], or [N, K, R, R, C] for K defects laid over each
        other, and "surface" uint8 x2 [N, R, R, C]; where given, float32 [N] or [N, K] unless said:
          strength: times z_s; 0 nothing, 1 as in x1, more is stronger, monotone in every pixel
          shift: [..., 2] down and right, in image sides;  scale: size about the image centre
          flip: bool [..., 2] upside down, left to right
          limit: uint8 [N, R, R, 1], 0 where no defect may be
        Returns image x3, clean x4 = x2, rec x1r and removed x1a of the first defect, as x1 shows
        it; and mask, the matte of all defects.
        """
        del noise
        x2 = to_float(request["surface"])
        (z2,) = self.encode(ema["E"], x2)
        x3, clear = x2, jnp.ones_like(x2[..., :1])
        limit = request["limit"].astype(jnp.float32) / 255.0 if "limit" in request else 1.0
        for k, (x1, control) in enumerate(defects(request)):
            (z1,) = self.encode(ema["E"], x1)
            z_s = place(drop_uncertain(z1.z_s, self.config.model.margin), control)
            (layer,) = self.layers(ema["G"], (z_s, z2.z_t))
            matte = layer.matte * limit
            x3 = over(x3, paint(layer.reflectance, x2), matte)
            clear = clear * (1.0 - matte)
            if k == 0:
                rec, removed = (flip(x, control) for x in self.restore(ema, x1, z1))
        return {"image": x3, "mask": 1.0 - clear, "clean": x2, "rec": rec, "removed": removed}

    def restore(self, params, x1, z1):
        """Compute x1r and x1a: x1 reconstructed, and without its defect."""
        (layer,) = self.layers(params["G"], (z1.z_s, z1.z_t))
        if not self.config.model.removal:
            return layer.on(x1), x1
        reached = reach(layer.matte)
        (b,) = self.fill(params["F"], (x1, 1.0 - reached, z1.z_t))
        removed = over(x1, b, reached)
        drawn = over(b, paint(layer.reflectance, removed), layer.matte)
        return over(x1, drawn, reached), removed

    def read_codes(self, ema, image):
        """Encode uint8 images [N, R, R, C]: structure, z_s averaged to 16 x 16 cells; texture."""
        (z,) = self.encode(ema["E"], to_float(image))
        cell = z.z_s.shape[1] // TOP_SIDE
        cells = z.z_s.reshape(z.z_s.shape[0], TOP_SIDE, cell, TOP_SIDE, cell, CODE_CHANNELS)
        return {
            "structure": jnp.mean(cells, axis=(2, 4)).reshape(z.z_s.shape[0], -1),
            "texture": z.z_t,
        }


def make(config, classes):
    """Make the layered `Method` for a config and the names of the classes, NORMAL first."""
    m = Layered(config, classes)
    return Method(
        reads=("image", "label", "mask", "has_mask", "normal"),
        init=m.init,
        phases=(*m.judges.r1_phases(), Phase("step", 1, m.step)),
        infer=m.infer,
        needs=("defect", "surface"),
        controls=(*PER_DEFECT, "limit"),
        gives=("image", "mask", "clean", "rec", "removed"),
        several=True,
        keeps_surface=True,
        adopt=m.judges.adopt,
        score=m.score,
        codes=m.read_codes,
        classify=m.judges.classify,
        shown=judges.SHOWN,
    )


def defects(request):
    """Yield (x1, control) for every defect: its image, flipped as asked, and what is asked."""
    images = request["defect"]
    rows = images.shape[0]  # not len(): under export it is a symbol
    count = images.shape[1] if images.ndim == 5 else 1
    many = images.reshape(rows, count, *images.shape[-3:])
    controls = {
        name: request[name].reshape(rows, count, *request[name].shape[images.ndim - 3 :])
        for name in PER_DEFECT
        if name in request
    }
    for k in range(count):
        control = {name: value[:, k] for name, value in controls.items()}
        # The image is flipped, not its code: G's kernels are not symmetric.
        yield flip(to_float(many[:, k]), control), control


def flip(images, control):
    """Reverse images [N, R, R, C] along the axes that control["flip"], bool [N, 2], names."""
    if "flip" in control:
        for axis in (0, 1):
            chosen = control["flip"][:, axis].astype(bool)[:, None, None, None]
            images = jnp.where(chosen, jnp.flip(images, axis + 1), images)
    return images


def drop_uncertain(z_s, margin):
    """Subtract `margin` from the amplitude of z_s and clip at 0.

    Cells in which E is unsure then draw nothing on the new surface. Removal uses the code without
    the margin. The default, 0.5, was chosen on validation images of procedural steel.
    """
    direction, amplitude = split_code(z_s)
    amplitude = jax.nn.relu(amplitude - margin)
    return amplitude * jnp.concatenate([direction, jnp.ones_like(amplitude)], axis=-1)


def place(z_s, control):
    """Scale, shift and strengthen z_s [N, S, S, 8] as requested; 0 beyond what x1 shows."""
    n, side = z_s.shape[:2]
    if {"shift", "scale"} & set(control):
        shift = control.get("shift", jnp.zeros((n, 2), jnp.float32))
        scale = control.get("scale", jnp.ones((n,), jnp.float32))
        rows, columns = (_resample(side, scale, shift[:, axis]) for axis in (0, 1))
        exact = jax.lax.Precision.HIGHEST
        z_s = jnp.einsum("nij,njkc->nikc", rows, z_s, precision=exact)
        z_s = jnp.einsum("nlk,nikc->nilc", columns, z_s, precision=exact)
    strength = control.get("strength", jnp.ones((n,), jnp.float32))
    return z_s * strength[:, None, None, None]


def _resample(side, scale, shift):
    """Make weights [N, side, side] that scale an axis about its centre, then shift it; bilinear.

    When shrinking, a cell takes the mean of what falls into it.
    """
    at = jnp.arange(side) + 0.5 - side / 2
    source = (at[None] - shift[:, None] * side) / jnp.maximum(scale, 1e-3)[:, None] + side / 2 - 0.5
    narrow = jnp.minimum(scale, 1.0)[:, None, None]
    distance = jnp.abs(source[:, :, None] - jnp.arange(side)[None, None])
    return narrow * jnp.maximum(0.0, 1.0 - narrow * distance)
