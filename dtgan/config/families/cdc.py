"""Fields of CDC, beside those of StyleGAN2 below it; the defaults are the authors'."""

from dtgan.config.errors import ConfigError
from dtgan.config.families import stylegan2
from dtgan.config.tree import merge

FIELDS = merge(
    stylegan2.FIELDS,
    {
        "data": {"learn": "defects", "batch_size": 4},
        "init": {"required": True},
        "model": {
            "anchors": 10,  # latents near which whole images are judged; as many as real images
            "spread": 0.1,  # standard deviation about them
        },
        "loss": {"relation": 1000.0, "r1_gamma": 10.0},  # relation: images differ as in the source
        "augment": {"kind": "none"},
        "optim": {
            "lr": 0.002,
            "image_every": 4,  # steps between those in which D judges whole images, not patches
            "ema_ramp": 0.0,
        },
    },
)
CHOICES = stylegan2.CHOICES | {"data.learn": ("defects",)}


def check(config):
    """Raise ConfigError for fields that cannot work."""
    stylegan2.check(config)
    for group, name in (("model", "anchors"), ("optim", "image_every")):
        if config[group][name] < 1:
            raise ConfigError(f"{group}.{name}={config[group][name]} is below 1")
    if config.model.spread < 0:
        raise ConfigError(f"model.spread={config.model.spread} is negative; 0 is at the anchors")
