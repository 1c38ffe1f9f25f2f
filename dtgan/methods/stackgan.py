"""StackGAN++ (Zhang et al., TPAMI 2018): a picture at several scales, a D for each.

z ~ N(0, 1); x_i = G_i(h_i), h_i = F_i(h_(i-1), c), coarsest first. Unconditional c = z; conditional
c = mu(y) + sigma(y) eps, y the labels (conditioning augmentation); D_i judges pairs (x, y), too.

The paper's: networks, losses and their weights, Adam, one step of all D_i and one of G on the same
fakes, the running mean of G's parameters. Ours: the labels in place of an embedded sentence; as
wrong pairs each real picture with the labels of another class, instead of another picture with its
labels, so that D_i looks at the real pictures once; smaller real pictures by averaging pixels; and
when drawing, batch normalisation by running means of its statistics, which follow G's parameters at
the same pace, so that a picture does not depend on those beside it.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dtgan import losses
from dtgan.config import ConfigError
from dtgan.data import labels
from dtgan.images import to_float
from dtgan.methods.base import Method, Phase
from dtgan.methods.updates import (
    adam,
    adopt_same,
    ema_update,
    named,
    new_state,
    step_key,
    update,
    weigh,
)
from dtgan.models.stackgan import (
    Conditioning,
    Discriminator,
    Generator,
    draw_noise,
    pyramid,
    sample,
    sides,
)

STATISTICS = "batch_stats"  # Flax's name for what batch normalisation keeps


class Drawn(NamedTuple):
    """What G makes of noise: pictures of all scales, and the code's distribution."""

    x: list  # [N, S, S, C] each, coarsest first
    mu: Any  # [N, E]; None without conditions
    log_variance: Any


class StackGAN:
    """The algorithm for one config; its methods are pure functions of their arguments."""

    def __init__(self, config, classes):
        model, data, optim = config.model, config.data, config.optim
        self.config, self.weight = config, config.loss
        self.conditional, self.num_defects = model.conditional, len(classes) - 1
        if self.conditional and self.num_defects < 2:
            raise ConfigError(
                f"model.conditional=True has no wrong labels with one class, {classes[1]!r}; use "
                "model.conditional=False"
            )
        self.labels_of = labels.targets(classes).astype("float32")  # [number of classes, labels]
        self.scales = sides(model.first, data.res)
        dtype = jnp.dtype(config.dtype)
        self.G = Generator(data.res, model.first, model.ch, data.channels, dtype)
        self.C = Conditioning(model.code)
        self.D = Discriminator(model.d_ch or model.ch, dtype)
        self.tx = {name: adam(optim.lr, optim.b1, optim.b2) for name in ("G", "D")}

    def noise(self, key, n):
        """Draw z and, with conditions, eps of n pictures: {"z": [n, Z], "c": [n, E]}."""
        model = self.config.model
        return draw_noise(key, n, model.z, model.code if self.conditional else 0)

    def code(self, params, y, noise):
        """Compute (c, mu, log variance) of labels y [N, A]; None each without conditions."""
        if not self.conditional:
            return None, None, None
        mu, log_variance = self.C.apply({"params": params["C"]}, y)
        return sample(mu, log_variance, noise["c"]), mu, log_variance

    def draw(self, params, y, noise):
        """Draw pictures in training -> (Drawn, statistics of the batch)."""
        c, mu, log_variance = self.code(params, y, noise)
        x, kept = self.G.apply({"params": params["G"]}, noise["z"], c, mutable=[STATISTICS])
        return Drawn(x, mu, log_variance), kept[STATISTICS]

    def wrong(self, key, label):
        """Choose labels of another defect class for each of `label` [N]: [N, A]."""
        ahead = jax.random.randint(key, label.shape, 1, self.num_defects)
        return jnp.asarray(self.labels_of)[1 + (label - 1 + ahead) % self.num_defects]

    def judge(self, params, side, x, codes):
        """Score pictures of a scale by its D -> (logits [N], one more [N] for each code)."""
        return self.D.apply(params[str(side)], x, codes, mutable=[STATISTICS])[0]

    # --- L_D = adv_d + cond_d, L_G = adv_g + cond_g + 2 kl, or adv_g + 50 mean + 250 cov ----------

    def d_loss(self, params, real, fake, codes):
        """Compute L_D of pictures of all scales.

        params: of D_i by its side; codes: (mu of the labels, mu of wrong ones), or ().
        A real picture with wrong labels counts as real where labels are not asked for.
        """
        bce, terms = losses.binary_cross_entropy, {"adv_d": 0.0, "cond_d": 0.0}
        pairs = 2.0 if codes else 1.0  # of a real picture: right and wrong
        for side, x, drawn in zip(self.scales, real, fake, strict=True):
            is_real, fits = self.judge(params, side, x, codes)
            is_real_too, fits_too = self.judge(params, side, drawn, codes[:1])
            terms["adv_d"] += pairs * bce(is_real, 1.0) + bce(is_real_too, 0.0)
            if codes:
                terms["cond_d"] += bce(fits[0], 1.0) + bce(fits[1], 0.0) + bce(fits_too[0], 0.0)
        terms = terms if codes else {"adv_d": terms["adv_d"]}
        return weigh(terms, self.weight), terms

    def g_loss(self, drawn, params):
        """Compute L_G of a Drawn and the parameters of all D -> (L_G, terms)."""
        bce, terms = losses.binary_cross_entropy, {"adv_g": 0.0}
        codes = (drawn.mu,) if self.conditional else ()
        for side, x in zip(self.scales, drawn.x, strict=True):
            is_real, fits = self.judge(params, side, x, codes)
            terms["adv_g"] += bce(is_real, 1.0)
            for logits in fits:
                terms["cond_g"] = terms.get("cond_g", 0.0) + bce(logits, 1.0)
        if self.conditional:
            terms["kl"] = losses.normal_divergence(drawn.mu, drawn.log_variance)
        for coarse, fine in zip(drawn.x[:-1], drawn.x[1:], strict=True):
            mean, covariance = losses.colour_consistency(fine, coarse)
            terms["colour_mean"] = terms.get("colour_mean", 0.0) + mean
            terms["colour_cov"] = terms.get("colour_cov", 0.0) + covariance
        return weigh(terms, self.weight), terms

    def step(self, state, batch):
        """Run one iteration: all D, then G, on the same fakes -> (GanState, losses)."""
        x, key, nets = to_float(batch["image"]), functools.partial(step_key, state), state.nets
        noise, params, y = self.noise(key("noise"), len(x)), nets["G"].params, None
        if self.conditional:
            y = jnp.asarray(self.labels_of)[batch["label"]]
        drawn, pull_back, statistics = jax.vjp(
            lambda params: self.draw(params, y, noise), params, has_aux=True
        )
        codes = ()
        if self.conditional:
            wrong = self.wrong(key("wrong"), batch["label"])
            codes = drawn.mu, self.C.apply({"params": params["C"]}, wrong)[0]
        real = pyramid(x, self.scales)
        (total_d, of_d), grads = jax.value_and_grad(self.d_loss, has_aux=True)(
            nets["D"].params, real, drawn.x, codes
        )
        nets = update(self.tx, nets, {"D": grads})
        (total_g, of_g), of_drawn = jax.value_and_grad(self.g_loss, has_aux=True)(
            drawn, nets["D"].params
        )
        (grads,) = pull_back(of_drawn)
        nets = update(self.tx, nets, {"G": grads})
        new = {"params": nets["G"].params, STATISTICS: statistics}
        # The first statistics are the first that there are: no mean with those of nothing.
        decay = jnp.where(state.step == 0, 0.0, self.config.optim.ema)
        ema = {"G": ema_update(state.ema["G"], new, decay)}
        found = named(of_d | of_g) | {"loss/G": total_g, "loss/D": total_d}
        return state._replace(nets=nets, ema=ema), found

    def init(self, key, batch_spec):
        """Initialise G, the conditioning and all D, each with its own key, and the running means.

        Those of the statistics stand beside G's parameters, since images are made of both.
        """
        base, key_g, key_c, key_d = jax.random.split(key, 4)
        y, channels = jnp.zeros((1, self.labels_of.shape[1])), batch_spec["image"].shape[-1]
        noise, params = self.noise(key_g, 1), {}
        if self.conditional:
            params["C"] = self.C.init(key_c, y)["params"]
        c, mu, _ = self.code(params, y, noise)
        codes = (mu,) if self.conditional else ()
        of_g = self.G.init(key_g, noise["z"], c)
        params["G"] = of_g["params"]
        of_d = {}
        for k, side in zip(jax.random.split(key_d, len(self.scales)), self.scales, strict=True):
            of_one = self.D.init(k, jnp.zeros((1, side, side, channels)), codes)
            of_d[str(side)] = {"params": of_one["params"]}
        state = new_state(base, {"G": params, "D": of_d}, self.tx, averaged=("G",))
        ema = {"G": {"params": state.ema["G"], STATISTICS: of_g[STATISTICS]}}
        return state._replace(ema=ema)

    # --- inference --------------------------------------------------------------------------------

    def infer(self, ema, request, noise):
        """Draw pictures of the finest scale; request: "labels" [N, A], if conditional."""
        params = ema["G"]["params"]
        c, _, _ = self.code(params, request.get("labels"), noise)
        kept = {"params": params["G"], STATISTICS: ema["G"][STATISTICS]}
        return {"image": self.G.apply(kept, noise["z"], c, train=False)[-1]}


def make(config, classes):
    """Make the StackGAN++ `Method` for a config and the names of the classes, NORMAL first."""
    m = StackGAN(config, classes)
    terms = ("D", "G", "cond_d", "kl") if m.conditional else ("D", "G", "adv_g", "colour_mean")
    return Method(
        reads=("image", "label") if m.conditional else ("image",),
        init=m.init,
        phases=(Phase("step", 1, m.step),),
        infer=m.infer,
        needs=("labels",) if m.conditional else (),
        gives=("image",),
        noise=m.noise,
        adopt=adopt_same(config, classes),
        shown=tuple(f"loss/{name}" for name in terms),
    )
