"""Fields of DFMGAN's second stage, beside those of its backbone; the defaults are the paper's."""

from dtgan.config.errors import ConfigError
from dtgan.config.families import stylegan2
from dtgan.config.tree import merge

FIELDS = merge(
    stylegan2.FIELDS,
    {
        "data": {"learn": "defects"},
        "init": {"required": True},
        "model": {
            "first": 0,  # side of the first residual block, where the mask is made; 0 = res / 4
            "match_base": 4096,  # of D_match, as base and cap
            "match_cap": 128,
            # Bias that masks start with: they are small at first. Ours; 0 in the authors' code.
            "mask_bias": -1.0,
        },
        "loss": {
            "match": 1.0,  # image and mask go together
            "ms": 0.1,  # mode seeking: masks follow their codes
        },
        "augment": {"kimg": 100.0},
        "optim": {"ema_ramp": 0.0},
    },
)
CHOICES = stylegan2.CHOICES | {"data.learn": ("defects",)}


def check(config):
    """Raise ConfigError for fields that cannot work."""
    stylegan2.check(config)
    model, res = config.model, config.data.res
    allowed = [8 << k for k in range(res.bit_length()) if 8 << k <= res]
    if model.first and model.first not in allowed:
        raise ConfigError(
            f"model.first={model.first} is not one of {', '.join(map(str, allowed))}, the sides of "
            f"blocks at {res} px; 0 takes {res // 4}"
        )
    if model.match_base < res or model.match_cap < 1:
        raise ConfigError(
            f"model.match_base={model.match_base}, model.match_cap={model.match_cap} give no "
            f"channels at {res} px; use {16 * res} or more and 128"
        )
