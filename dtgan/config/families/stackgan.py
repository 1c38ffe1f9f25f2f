"""Fields of StackGAN++; the defaults are the authors', of the unconditional one."""

from dtgan.config.errors import ConfigError

FIELDS = {
    "model": {
        "ch": 64,  # width of G at the coarsest scale, and of every D
        "d_ch": 0,  # width of D; 0 = ch
        "first": 64,  # side of the coarsest picture, doubled at each scale up to data.res
        "z": 100,  # numbers of noise
        "conditional": False,  # G is told the labels, and D whether they fit
        "code": 128,  # numbers of the code that stands for the labels
    },
    "loss": {  # one weight per term, logged under the same name; each a sum over scales
        "adv_d": 1.0,  # real pictures against drawn ones
        "cond_d": 1.0,  # real pictures with their labels against others
        "adv_g": 1.0,
        "cond_g": 1.0,
        "kl": 2.0,  # of the code's distribution from N(0, 1)
        "colour_mean": 50.0,  # of neighbouring scales; 0 in the conditional one
        "colour_cov": 250.0,
    },
    "optim": {
        "lr": 0.0002,  # of all nets
        "b1": 0.5,
        "b2": 0.999,
        "ema": 0.999,  # decay of the running means of G and of its statistics, per step
    },
    "data": {"batch_size": 24},
}
CHOICES = {"model.first": (8, 16, 32, 64)}


def check(config):
    """Raise ConfigError for fields that cannot work."""
    for name in ("ch", "z", "code"):
        if config.model[name] < 1:
            raise ConfigError(f"model.{name}={config.model[name]} is below 1")
    for name in ("b1", "b2", "ema"):
        if config.optim[name] >= 1:
            raise ConfigError(f"optim.{name}={config.optim[name]} is not below 1; for example 0.5")
    halvings = (config.data.res // config.model.first).bit_length() - 1
    if config.model.ch >> max(halvings, 0) < 1:
        raise ConfigError(
            f"model.ch={config.model.ch} leaves no channels at {config.data.res} px, "
            f"{halvings} scales after model.first={config.model.first}; use {2**halvings} or more"
        )
    if config.data.batch_size < 2:
        raise ConfigError(
            "data.batch_size=1: batch normalisation tells nothing of one image; use 2 or more"
        )
