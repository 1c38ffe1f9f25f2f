"""StyleGAN2-ADA (Karras et al., CVPR 2020; NeurIPS 2020). Choices: docs/dfmgan.md.

Images of noise: w = f(z), x = g(w, noise). A step is, in this order, each with latents of its own:
  g      softplus(-D(aug(x)))                                              every step
  g_reg  the path length of g: |J_w^T y| shall be the same everywhere      every 4th
  d      softplus(D(aug(x))) + softplus(-D(aug(real)))                     every step
  d_reg  gamma / 2 |d D(aug(real)) / d real|^2                             every 16th
  ema    G's running mean follows                                          every step
  ada    the chance p of the augmentation follows the signs of D(real)     every 4th
Penalties count as many times as they are rare.
"""

import jax
import jax.numpy as jnp

from dtgan import losses
from dtgan.config import ConfigError
from dtgan.images import to_float
from dtgan.methods.base import Method, Phase
from dtgan.methods.latents import Latents, means_by_class
from dtgan.methods.updates import (
    adam,
    adopt_net,
    average_decay,
    ema_update,
    finite,
    named,
    new_state,
    params_of,
    update,
)
from dtgan.models.stylegan2 import Discriminator
from dtgan.nn import ada, diffaug

PL_SHARE, PL_DECAY = 2, 0.01  # the path length is measured on 1/2 of a batch; rate of its mean
ADA_EVERY = 4  # steps between two moves of p


class StyleGAN2(Latents):
    """The algorithm for one config; its methods are pure functions of their arguments.

    `state.nets["G"]` and `state.ema["G"]` hold what is trained of G, `state.ema["w_avg"]` the mean
    of w by mapping network and class, [classes, W].
    """

    def __init__(self, config, classes):
        model, data, optim = config.model, config.data, config.optim
        super().__init__(config, classes)
        d = model.d_base or self.base, model.d_cap or model.cap
        self.D = Discriminator(*d, self.num_classes, model.group, dtype=self.dtype)
        self.gamma = config.loss.r1_gamma
        if self.gamma < 0:
            self.gamma = 0.0002 * data.res**2 / data.batch_size
        rates = optim.lr, optim.b1, optim.b2
        self.tx = {
            "G": adam(*rates, optim.pl_every if config.loss.pl else 0),
            "D": adam(*rates, optim.r1_every if self.gamma else 0),
        }

    # --- inputs -----------------------------------------------------------------------------------

    def inputs(self, batch):
        """Return the real images of a batch in [-1, 1] and their classes from 0 on, or None."""
        if not self.learns_defects:
            return to_float(batch["normal"]), None
        return to_float(batch["image"]), batch["label"] - 1

    def augment(self, key, x, state):
        """Change what D sees, the same way for real images and others."""
        augment = self.config.augment
        if augment.kind == "ada":
            return ada.augment(key, x, state.extra["p"])
        if augment.kind == "diffaug":
            return diffaug.augment(key, x, augment.policy.split(","))
        return x

    # --- forward passes ---------------------------------------------------------------------------

    def fake(self, state, own, key, real, label):
        """Draw an image for each real one, of its class -> [N, R, R, C].

        own: the parameters of G that are trained, as all that is called own below.
        """
        g = self.whole(state, own)
        return self.draw(g, key, self.styles(g, key, real, label)[0])

    def whole(self, state, own):
        """Return all variables of G."""
        del state
        return own

    def judge(self, d, x, label):
        """Apply D: logits [N]."""
        return self.D.apply(d, x, label)

    def d_total(self, state, on_real, on_fake):
        """Compute the loss of D of what `judge` says of real images and of others."""
        del state
        return losses.adversarial_d(on_real, on_fake)

    def g_total(self, state, on_fake):
        """Compute the adversarial loss of G."""
        del state
        return jnp.mean(losses.adversarial_g(on_fake))

    def score(self, d, x, label):
        """Compute what R1 is the gradient of: [N]."""
        return self.judge(d, x, label)

    # --- G ----------------------------------------------------------------------------------------

    def g_loss(self, own, state, real, label, key):
        """Compute Gmain -> (loss, (terms, {mapping: unmixed w [N, W]}))."""
        g = self.whole(state, own)
        ws, w = self.styles(g, key, real, label)
        x = self.augment(key("augment"), self.draw(g, key, ws), state)
        total = self.g_total(state, self.judge(state.nets["D"].params, x, label))
        return total, ({"G": total}, {"mapping": w})

    def g_phase(self, state, batch):
        """Gmain: let G learn what D takes for real."""
        real, label = self.inputs(batch)
        (_, (terms, ws)), grads = jax.value_and_grad(self.g_loss, has_aux=True)(
            state.nets["G"].params, state, real, label, self.key(state, "g")
        )
        nets = update(self.tx, state.nets, {"G": finite(grads)})
        w_avg = dict(state.ema["w_avg"])
        for name, w in ws.items():
            of = label if len(w_avg[name]) > 1 else jnp.zeros(len(w), jnp.int32)
            w_avg[name] = means_by_class(w_avg[name], w, of)
        return state._replace(nets=nets, ema=state.ema | {"w_avg": w_avg}), named(terms)

    def g_reg_phase(self, state, batch):
        """Greg: penalise path lengths that differ from their running mean a."""
        real, label = self.inputs(batch)
        rows = slice(None, None, PL_SHARE if len(real) >= PL_SHARE else 1)
        real, label = real[rows], None if label is None else label[rows]
        key, side = self.key(state, "g_reg"), real.shape[1]

        def loss(own):
            g = self.whole(state, own)
            ws, image = self.path(g, key, real, label)
            y = jax.random.normal(key("y"), real.shape) / side
            penalty, mean = losses.path_length(image, ws, y, state.extra["pl_mean"], PL_DECAY)
            weight = self.config.loss.pl * self.config.optim.pl_every
            return weight * penalty, (penalty, mean)

        (_, (penalty, mean)), grads = jax.value_and_grad(loss, has_aux=True)(state.nets["G"].params)
        nets = update(self.tx, state.nets, {"G": finite(grads)})
        extra = state.extra | {"pl_mean": jax.lax.stop_gradient(mean)}
        return state._replace(nets=nets, extra=extra), named({"pl": penalty, "pl_mean": mean})

    def path(self, g, key, real, label):
        """Return styles and the images' function of them, of which the path length is taken."""
        ws, _ = self.styles(g, key, real, label)
        return ws, lambda ws: self.draw(g, key, ws)

    # --- D ----------------------------------------------------------------------------------------

    def d_phase(self, state, batch):
        """Dmain: let D learn to tell real images from others."""
        real, label = self.inputs(batch)
        key = self.key(state, "d")
        fake = self.fake(state, state.nets["G"].params, key, real, label)
        fake, seen = (
            self.augment(key(f"augment/{name}"), x, state)
            for name, x in (("fake", fake), ("real", real))
        )

        def loss(d):
            on_real, on_fake = self.judge(d, seen, label), self.judge(d, fake, label)
            return self.d_total(state, on_real, on_fake), on_real

        (total, on_real), grads = jax.value_and_grad(loss, has_aux=True)(state.nets["D"].params)
        state = self.counted(state, on_real)
        nets = update(self.tx, state.nets, {"D": finite(grads)})
        return state._replace(nets=nets), named({"D": total})

    def d_reg_phase(self, state, batch):
        """Dreg: penalise the gradient of D at real images, through their augmentation."""
        real, label = self.inputs(batch)
        key = self.key(state, "d_reg")("augment")

        def loss(d):
            def seen(x):
                return self.augment(key, x, state)

            penalty = losses.r1(lambda x: self.score(d, seen(x), label), real)
            weight = self.gamma * self.config.optim.r1_every
            return weight * penalty, (penalty, self.judge(d, seen(real), label))

        (_, (penalty, on_real)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.nets["D"].params
        )
        state = self.counted(state, on_real)
        nets = update(self.tx, state.nets, {"D": finite(grads)})
        return state._replace(nets=nets), named({"r1": penalty})

    # --- running mean and augmentation ------------------------------------------------------------

    def ema_phase(self, state, batch):
        """Let the running mean of G follow, faster at the beginning of a run from scratch."""
        del batch
        size, optim = self.config.data.batch_size, self.config.optim
        half_life = 1000.0 * (optim.ema_kimg or size * 10 / 32)
        decay = average_decay(state.step, size, half_life, optim.ema_ramp or None)
        ema = ema_update(state.ema["G"], params_of(state.nets, "G")["G"], decay)
        return state._replace(ema=state.ema | {"G": ema}), {}

    def counted(self, state, on_real):
        """Add the signs of D's logits of real images to the statistic that p follows."""
        if self.config.augment.kind != "ada":
            return state
        extra, signs = state.extra, jnp.sign(jax.lax.stop_gradient(on_real))
        counts = {
            "signs": extra["signs"] + jnp.sum(signs),
            "seen": extra["seen"] + signs.size,
        }
        return state._replace(extra=extra | counts)

    def ada_phase(self, state, batch):
        """Move p towards where D calls as many real images real as the target says."""
        del batch
        augment, extra = self.config.augment, state.extra
        step = ADA_EVERY * self.config.data.batch_size / (1000.0 * augment.kimg)
        signs = extra["signs"] / jnp.maximum(extra["seen"], 1.0)
        p = ada.adapt(extra["p"], signs, augment.target, step)
        none = jnp.zeros(())
        extra = extra | {"p": p, "signs": none, "seen": none}
        return state._replace(extra=extra), named({"p": p, "signs": signs})

    @property
    def phases(self):
        """The phases of a step, in order."""
        optim, phases = self.config.optim, [Phase("g", 1, self.g_phase)]
        if self.config.loss.pl:
            phases.append(Phase("g_reg", optim.pl_every, self.g_reg_phase))
        phases.append(Phase("d", 1, self.d_phase))
        if self.gamma:
            phases.append(Phase("d_reg", optim.r1_every, self.d_reg_phase))
        phases.append(Phase("ema", 1, self.ema_phase))
        if self.config.augment.kind == "ada":
            phases.append(Phase("ada", ADA_EVERY, self.ada_phase, at=ADA_EVERY - 1))
        return tuple(phases)

    # --- start ------------------------------------------------------------------------------------

    def init(self, key, batch_spec):
        """Initialise G and D, each with its own key, optimizers, running means and statistics."""
        del batch_spec
        base, key = jax.random.split(key)
        params, ema = self.initial(key, jnp.zeros(1, jnp.int32))
        latent = self.config.model.latent
        w_avg = {name: jnp.zeros((count, latent)) for name, count in self.mappings().items()}
        state = new_state(base, params, self.tx, ("G",), self.extra())
        return state._replace(ema=state.ema | ema | {"w_avg": w_avg})

    def initial(self, key, label):
        """Initialise all networks -> (parameters, what the running means hold beside them)."""
        key_g, key_d = jax.random.split(key)
        data, z = self.config.data, jnp.zeros((1, self.config.model.latent))
        image = jnp.zeros((1, data.res, data.res, data.channels))
        g = self.init_generator(key_g, z, label)
        return {"G": g, "D": self.D.init(key_d, image, label)}, {}

    def init_generator(self, key, z, label):
        """Initialise G: all its variables."""
        return self.G.init(key, z, label)

    def mappings(self):
        """Count the classes that each mapping network knows."""
        return {"mapping": self.num_classes}

    def extra(self):
        """Make what the state holds beside networks: the path length's mean, p and its statistic.

        Separate arrays: the step donates them.
        """
        extra = {"pl_mean": jnp.zeros(())} if self.config.loss.pl else {}
        if self.config.augment.kind == "ada":
            extra |= {"signs": jnp.zeros(()), "seen": jnp.zeros(())}
            extra["p"] = jnp.full((), self.config.augment.start)
        return extra

    def adopt(self, state, donor):
        """Go on from another run of this family: G, D, running means; optimizers start anew.

        A class label that the donor did not read starts anew where it enters, in the first layer of
        the mapping network and in the last of D.
        """
        check_donor(self.config, donor)
        nets = {
            name: net._replace(params=adopt_net(name, net.params, donor.nets[name], LABELLED[name]))
            for name, net in state.nets.items()
        }
        g = adopt_net("running mean of G", state.ema["G"], donor.ema["G"], LABELLED["G"])
        w = jnp.mean(donor.ema["w_avg"]["mapping"], axis=0, keepdims=True)
        w_avg = {"mapping": jnp.broadcast_to(w, state.ema["w_avg"]["mapping"].shape)}
        return state._replace(nets=nets, ema=state.ema | {"G": g, "w_avg": w_avg})


# What depends on the number of classes, by net.
LABELLED = {
    "G": ("['mapping']['embed']", "['mapping']['fc0']"),
    "D": ("['mapping']", "['out']"),
}


def check_donor(config, donor):
    """Raise ConfigError where a donor is of another family."""
    if donor.method != "stylegan2":
        raise ConfigError(
            f"init.workdir={config.init.workdir} holds a run of method={donor.method}; "
            f"method={config.method} starts from runs of method=stylegan2 only"
        )


def make(config, classes):
    """Make the StyleGAN2 `Method` for a config and the names of the classes, NORMAL first."""
    m = StyleGAN2(config, classes)
    return Method(
        reads=("image", "label") if m.learns_defects else ("normal",),
        init=m.init,
        phases=m.phases,
        infer=m.infer,
        needs=("labels",) if m.num_classes > 1 else (),
        controls=("truncation", "object_seed", "style"),
        noise=m.noise,
        styles=m.styles_of_objects,
        adopt=m.adopt,
        starts_from="a finished run of configs/stylegan2.py" if config.init.required else "",
        shown=tuple(f"loss/{name}" for name in ("D", "G", "r1", "pl", "p")),
    )
