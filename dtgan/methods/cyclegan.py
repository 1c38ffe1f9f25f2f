"""CycleGAN (Zhu et al., ICCV 2017), and SDGAN (Niu et al., 2020) with two critics a domain.

n normal, d defective, unpaired; G_d paints a defect, G_n removes one:
  n -> d' = G_d(n) -> n^ = G_n(d')        d -> n' = G_n(d) -> d^ = G_d(n')
It learns one class of defects, and where they lie is its own choice. Choices: docs/defect_gan.md.
"""

import functools

import jax
import jax.numpy as jnp

from dtgan import losses
from dtgan.images import to_float
from dtgan.methods.base import Method, Phase
from dtgan.methods.updates import (
    adam,
    adopt_same,
    ema_update,
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
from dtgan.models.cyclegan import PatchCritic, ResNetGenerator

DOMAINS = ("d", "n")
LIKING = 0.2  # alpha and beta of D2GAN: how much a critic is rewarded for what it likes


class CycleGAN:
    """The algorithm for one config; its methods are pure functions of their arguments."""

    def __init__(self, config, classes):
        model, data, optim = config.model, config.data, config.optim
        self.config, self.weight = config, config.loss
        dtype = jnp.dtype(config.dtype)
        self.G = ResNetGenerator(model.ch, model.blocks, data.channels, dtype)
        self.D = PatchCritic(model.d_ch or model.ch, dtype=dtype)
        self.critics = ("real", "fake") if model.dual else ("real",)  # what a critic scores high
        self.tx = {name: adam(1.0, optim.b1, optim.b2) for name in ("G", "D")}

    def translate(self, params, *images):
        """Apply one generator to several images [N, R, R, C] in one pass."""
        return part(self.G.apply(params, join(*images)), len(images))

    # --- adversarial losses: LSGAN, or D2GAN with two critics -------------------------------------

    def scores(self, critics, image):
        """Score images by each critic of a domain; two critics have positive scores."""
        found = [self.D.apply(critics[name], image) for name in self.critics]
        return found if len(found) == 1 else list(map(jax.nn.softplus, found))

    def adversarial_g(self, critics, fake):
        """Compute what G pays for a fake: that the critics tell it from a real image."""
        first, *second = self.scores(critics, fake)
        if not second:
            return losses.mse(first, 1.0)
        return LIKING * jnp.mean(jnp.log(second[0])) - jnp.mean(first)

    def adversarial_d(self, critics, real, fake):
        """Compute what the critics of a domain pay for confusing real and fake images."""
        scores = self.scores(critics, join(real, fake))
        (real_1, fake_1), *second = (part(score, 2) for score in scores)
        if not second:
            return losses.mse(real_1, 1.0) + losses.mse(fake_1, 0.0)
        ((real_2, fake_2),) = second
        likes_real = LIKING * jnp.mean(jnp.log(real_1)) - jnp.mean(fake_1)
        likes_fake = LIKING * jnp.mean(jnp.log(fake_2)) - jnp.mean(real_2)
        return -(likes_real + likes_fake)

    # --- the algorithm ----------------------------------------------------------------------------

    def g_loss(self, params, critics, d, n):
        """Compute L_G = adv_g + 10 cyc + 5 idt, each a sum over domains.

        Returns (L_G, (terms, fakes)).
        """
        fake_d, same_d = self.translate(params["d"], n, d)
        fake_n, same_n = self.translate(params["n"], d, n)
        (again_n,), (again_d,) = (
            self.translate(params["n"], fake_d),
            self.translate(params["d"], fake_n),
        )
        fakes = {"d": fake_d, "n": fake_n}
        terms = {
            "adv_g": sum(self.adversarial_g(critics[x], fakes[x]) for x in DOMAINS),
            "cyc": losses.l1(n, again_n) + losses.l1(d, again_d),
            "idt": losses.l1(d, same_d) + losses.l1(n, same_n),
        }
        return weigh(terms, self.weight), (terms, fakes)

    def d_loss(self, params, real, fake):
        """Compute L_D, 0.5 adv_d of each domain -> (L_D, terms)."""
        adv_d = sum(self.adversarial_d(params[x], real[x], fake[x]) for x in DOMAINS)
        return self.weight.adv_d * adv_d, {"adv_d": adv_d}

    def step(self, state, batch):
        """Run one iteration: G, then D on fakes of now and before -> (GanState, losses)."""
        d, n = to_float(batch["image"]), to_float(batch["normal"])
        nets, key, lr = (
            state.nets,
            functools.partial(step_key, state),
            rate(self.config, state.step),
        )
        (total_g, (terms, fakes)), grads = jax.value_and_grad(self.g_loss, has_aux=True)(
            nets["G"].params, nets["D"].params, d, n
        )
        nets, extra = update(self.tx, nets, {"G": grads}, lr), state.extra
        if self.config.optim.pool:
            filled, pools = extra["filled"], {}
            for x in DOMAINS:
                pools[x], fakes[x] = exchange(extra["pool"][x], filled, fakes[x], key(f"pool_{x}"))
            filled = jnp.minimum(filled + len(n), self.config.optim.pool)
            extra = extra | {"pool": pools, "filled": filled}
        (total_d, more), grads = jax.value_and_grad(self.d_loss, has_aux=True)(
            nets["D"].params, {"d": d, "n": n}, fakes
        )
        nets = update(self.tx, nets, {"D": grads}, lr)
        ema = ema_update(state.ema, params_of(nets, "G"), self.config.optim.ema)
        found = named(terms | more) | {"loss/G": total_g, "loss/D": total_d}
        return state._replace(nets=nets, ema=ema, extra=extra), found

    def init(self, key, batch_spec):
        """Initialise both G and all D, each with its own key, optimizers, EMA and empty pools."""
        base, key_g, key_d = jax.random.split(key, 3)
        shape = batch_spec["image"].shape[1:]
        image, pool = jnp.zeros((1, *shape)), self.config.optim.pool
        keys_g = dict(zip(DOMAINS, jax.random.split(key_g, 2), strict=True))
        keys_d = iter(jax.random.split(key_d, 4))
        params = {
            "G": {x: self.G.init(keys_g[x], image) for x in DOMAINS},
            "D": {
                x: {name: self.D.init(next(keys_d), image) for name in self.critics}
                for x in DOMAINS
            },
        }
        extra = {
            "pool": {x: jnp.zeros((pool, *shape)) for x in DOMAINS},
            "filled": jnp.zeros((), jnp.int32),
        }
        return new_state(base, params, self.tx, ("G",), extra if pool else None)

    # --- inference --------------------------------------------------------------------------------

    def infer(self, ema, request, noise):
        """Paint a defect on request["surface"]; remove that of request["defect"] if there is one.

        uint8 [N, R, R, C] both; nothing is random. Returns image d', clean = n, removed = n'.
        """
        del noise
        n = to_float(request["surface"])
        drawn = {"image": self.G.apply(ema["G"]["d"], n), "clean": n}
        if "defect" in request:
            drawn["removed"] = self.G.apply(ema["G"]["n"], to_float(request["defect"]))
        return drawn


def exchange(pool, filled, fakes, key):
    """Show the critic earlier fakes now and then (Shrivastava et al. 2017) -> (pool, shown).

    pool [P, ...], of which `filled` are in use; fakes [N, ...]. While there is room, a fake is kept
    and shown; then with probability 1/2 it takes the place of a random earlier one, which is shown.
    """

    def one(carry, row):
        pool, filled = carry
        fake, key = row
        key_slot, key_swap = jax.random.split(key)
        full = filled >= len(pool)
        slot = jnp.where(full, jax.random.randint(key_slot, (), 0, len(pool)), filled)
        old, swapped = pool[slot], full & jax.random.bernoulli(key_swap)
        pool = pool.at[slot].set(jnp.where(swapped | ~full, fake, old))
        shown = jnp.where(swapped, old, fake)
        return (pool, jnp.minimum(filled + 1, len(pool))), shown

    fakes = jax.lax.stop_gradient(fakes)
    (pool, _), shown = jax.lax.scan(one, (pool, filled), (fakes, jax.random.split(key, len(fakes))))
    return pool, shown


def make(config, classes):
    """Make the CycleGAN or SDGAN `Method` for a config and the names of the classes."""
    m = CycleGAN(config, classes)
    return Method(
        reads=("image", "normal"),
        init=m.init,
        phases=(Phase("step", 1, m.step),),
        infer=m.infer,
        needs=("surface",),
        controls=("defect",),
        gives=("image", "clean", "removed"),
        adopt=adopt_same(config, classes),
        shown=tuple(f"loss/{name}" for name in ("D", "G", "adv_g", "cyc", "idt")),
    )
