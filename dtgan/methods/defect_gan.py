"""Defect-GAN (Zhang et al., WACV 2021), StarGAN below it. Choices: docs/defect_gan.md.

n normal, d defective, y its labels, y0 those of "normal", y' those asked for; G(x, y) paints f over
x where m says: x (1 - m) + f m. Both cycles run at once:
  n -> d' = G(n, y')  m_d   a defect is painted        -> n^ = G(d', y0)  m_n^  and removed again
  d -> n' = G(d, y0)  m_n   a real defect is removed   -> d^ = G(n', y)   m_d^  and painted again
"""

import functools

import jax
import jax.numpy as jnp

from dtgan import losses
from dtgan.config import NORMAL_LABEL
from dtgan.data import labels
from dtgan.images import to_float
from dtgan.methods.base import Method, Phase
from dtgan.methods.updates import (
    adam,
    adopt_same,
    ema_update,
    inputs,
    join,
    named,
    new_state,
    params_of,
    part,
    rate,
    step_key,
    update,
    weigh,
)
from dtgan.models.defect_gan import Critic, Generator, Painted


class DefectGAN:
    """The algorithm for one config; its methods are pure functions of their arguments."""

    def __init__(self, config, classes):
        model, data, optim = config.model, config.data, config.optim
        self.config, self.weight = config, config.loss
        self.labels_of = labels.targets(classes).astype("float32")  # [number of classes, labels]
        switches = {name: model[name] for name in ("scc", "ani", "lwc")}
        self.G = Generator(
            model.ch, model.blocks, data.channels, **switches, dtype=jnp.dtype(config.dtype)
        )
        self.D = Critic(model.d_ch or model.ch, self.labels_of.shape[1])
        self.tx = {name: adam(1.0, optim.b1, optim.b2) for name in ("G", "D")}

    # --- forward passes ---------------------------------------------------------------------------

    def paint(self, params, key, *asked):
        """Apply G to several (x, labels [N, A], limit) in one pass -> a Painted for each.

        limit: float32 [N, R, R, 1], 1 where the labels shall show and 0 where "normal" shall, or
        None for everywhere.
        """
        x, labels_of, limits = zip(*asked, strict=True)
        x, y, limit, count = join(*x), join(*labels_of)[:, None, None], None, len(asked)
        if any(place is not None for place in limits):
            everywhere = jnp.ones((len(x) // count, *x.shape[1:3], 1))
            limit = join(*(everywhere if place is None else place for place in limits))
            y = jnp.where(limit > 0, y, jnp.asarray(self.labels_of[NORMAL_LABEL])[None, None, None])
        image, m = self.G.apply(params, x, y, self.G.draw_noise(key, len(x), x.shape[1]), limit)
        m = [None] * count if m is None else part(m, count)
        return tuple(map(Painted, part(image, count), m))

    def limit(self, key, n):
        """Choose where y' shall show, [N, R, R, 1] of 1 and 0, for defective or normal images n."""
        share = self.config.model.places
        return boxes(key("places"), len(n), n.shape[1], share) if share else None

    def targets(self, batch, key):
        """Look up y, y0 and y' of a batch; y' are labels of other defects of it: [N, A] each."""
        table, label = jnp.asarray(self.labels_of), batch["label"]
        y0 = jnp.full_like(label, NORMAL_LABEL)
        return table[label], table[y0], table[jax.random.permutation(key("target"), label)]

    # --- L_D = adv_d + 10 gp + 2 cls_d ------------------------------------------------------------

    def d_loss(self, params, real, fake, y, key):
        """Compute L_D of joined images [2N, R, R, C] and the labels of the real ones."""
        share = jax.random.uniform(key("mixed"), (len(real), 1, 1, 1))
        mixed = share * real + (1.0 - share) * fake
        src, cls = self.D.apply(params, join(real, fake))
        (src_real, src_fake), (cls_real, _) = part(src, 2), part(cls, 2)
        terms = {
            "adv_d": losses.critic(src_real, src_fake),
            "gp": losses.gradient_penalty(lambda x: self.D.apply(params, x)[0], mixed),
            "cls_d": losses.multi_label(cls_real, y),
        }
        return weigh(terms, self.weight), terms

    def d_phase(self, state, batch):
        """Let D learn to tell d, n from d', n', and to read labels -> (GanState, losses)."""
        d, n, _ = inputs(batch)
        key = functools.partial(step_key, state)
        y, y0, wanted = self.targets(batch, key)
        painted = self.paint(
            state.nets["G"].params, key("d_noise"), (n, wanted, self.limit(key, n)), (d, y0, None)
        )
        fake = join(*(x.image for x in painted))
        (total, terms), grads = jax.value_and_grad(self.d_loss, has_aux=True)(
            state.nets["D"].params, join(d, n), fake, join(y, y0), key
        )
        nets = update(self.tx, state.nets, {"D": grads}, rate(self.config, state.step))
        return state._replace(nets=nets), named(terms) | {"loss/D": total}

    # --- L_G = adv_g + 5 cls_g + 5 rec + 5 sd_cyc + sd_con, each a mean over both cycles ----------

    def g_loss(self, params, critic, d, n, y, y0, wanted, key):
        """Compute L_G; y, y0, wanted: labels of d, of "normal", and asked for."""
        painted, removed = self.paint(  # d', n'
            params, key("g_noise"), (n, wanted, self.limit(key, n)), (d, y0, None)
        )
        restored, again = self.paint(  # n^, d^
            params, key("back_noise"), (painted.image, y0, None), (removed.image, y, None)
        )
        src, cls = self.D.apply(critic, join(painted.image, removed.image))
        terms = {
            "adv_g": -jnp.mean(src),
            "cls_g": losses.multi_label(cls, join(wanted, y0)),
            "rec": (losses.l1(n, restored.image) + losses.l1(d, again.image)) / 2,
        }
        if self.config.model.lwc:
            ms = painted.m, restored.m, removed.m, again.m
            terms["sd_cyc"] = (losses.l1(ms[0], ms[1]) + losses.l1(ms[2], ms[3])) / 2
            terms["sd_con"] = sum(map(jnp.mean, ms)) / 2
        return weigh(terms, self.weight), terms

    def g_phase(self, state, batch):
        """Let G learn after n_critic steps of D -> (GanState, losses)."""
        d, n, _ = inputs(batch)
        key, nets = functools.partial(step_key, state), state.nets
        (total, terms), grads = jax.value_and_grad(self.g_loss, has_aux=True)(
            nets["G"].params, nets["D"].params, d, n, *self.targets(batch, key), key
        )
        nets = update(self.tx, nets, {"G": grads}, rate(self.config, state.step))
        ema = ema_update(state.ema, params_of(nets, "G"), self.config.optim.ema)
        return state._replace(nets=nets, ema=ema), named(terms) | {"loss/G": total}

    def init(self, key, batch_spec):
        """Initialise G and D, each with its own key, their optimizers and the EMA."""
        base, key_g, key_d = jax.random.split(key, 3)
        image = jnp.zeros((1, *batch_spec["image"].shape[1:]), jnp.float32)
        y = jnp.zeros((1, 1, 1, self.labels_of.shape[1]), jnp.float32)
        params = {"G": self.G.init(key_g, image, y), "D": self.D.init(key_d, image)}
        return new_state(base, params, self.tx, averaged=("G",))

    # --- inference --------------------------------------------------------------------------------

    def noise(self, key, n):
        """Draw G's noise maps for n images: {"00": [n, R, R, 1], "01": ...}, one a convolution."""
        maps = self.G.draw_noise(key, n, self.config.data.res)
        return {f"{k:02d}": noise for k, noise in enumerate(maps)}

    def infer(self, ema, request, noise):
        """Paint defects on n = request["surface"], uint8 [N, R, R, C].

        request: besides "labels" float32 [N, A], those to show; where given,
          where: uint8 [N, R, R, A], 255 where each of them shall show; else they show everywhere
          defect: uint8 d, whose defect is removed
        Returns image d', its mask m_d, clean = n, and removed = n' of d.
        """
        n, y = to_float(request["surface"]), request["labels"][:, None, None]
        noise, limit = [noise[name] for name in sorted(noise)], None
        normal = jnp.asarray(self.labels_of[NORMAL_LABEL])[None, None, None]
        if "where" in request:
            shown = y * (request["where"].astype(jnp.float32) / 255.0)
            limit = jnp.max(shown * (1.0 - normal), axis=-1, keepdims=True)
            y = jnp.where(normal > 0, normal * (1.0 - limit), shown)
        image, m = self.G.apply(ema["G"], n, y, noise, limit)
        drawn = {"image": image, "clean": n}
        if m is not None:
            drawn["mask"] = m
        if "defect" in request:
            d = to_float(request["defect"])
            drawn["removed"] = self.G.apply(ema["G"], d, normal, noise).image
        return drawn

    def classify(self, nets, image):
        """Compute log-likelihoods of the classes, up to a constant, from D's labels: [N, K]."""
        _, cls = self.D.apply(nets["D"].params, to_float(image))
        return cls @ jnp.asarray(self.labels_of).T


def boxes(key, num, side, share):
    """Draw masks float32 [num, side, side, 1]: 1 in a box at random; 1 - share of them are all 1.

    The sides of a box are an eighth of the image's to all of it.
    """
    keys = jax.random.split(key, 3)
    size = jax.random.randint(keys[0], (num, 2, 1), side // 8, side + 1)
    first = jnp.floor(jax.random.uniform(keys[1], (num, 2, 1)) * (side - size + 1))
    pixel = jnp.arange(side)[None, None]
    inside = (pixel >= first) & (pixel < first + size)
    box = inside[:, 0, :, None] & inside[:, 1, None, :]
    free = jax.random.uniform(keys[2], (num, 1, 1)) >= share
    return (box | free)[..., None].astype(jnp.float32)


def make(config, classes):
    """Make the Defect-GAN `Method` for a config and the names of the classes, NORMAL first."""
    m, n_critic, lwc = DefectGAN(config, classes), config.optim.n_critic, config.model.lwc
    return Method(
        reads=("image", "label", "normal"),
        init=m.init,
        phases=(Phase("d", 1, m.d_phase), Phase("g", n_critic, m.g_phase, at=n_critic - 1)),
        infer=m.infer,
        needs=("surface", "labels"),
        controls=("where", "defect"),
        gives=("image", *(("mask",) if lwc else ()), "clean", "removed"),
        noise=m.noise if config.model.ani else None,
        keeps_surface=lwc,
        adopt=adopt_same(config, classes),
        classify=m.classify,
        shown=tuple(f"loss/{name}" for name in ("D", "G", "gp", "cls_g", "rec")),
    )
