"""Fields of the layered model (docs/dtgan.md, "The layered model")."""

from dtgan.config import judges
from dtgan.config.errors import ConfigError
from dtgan.config.tree import merge

FIELDS = merge(
    judges.FIELDS,
    {
        "model": {
            "code_stride": 1,  # pixels per cell of z_s along an axis: 1 | 2 | 4
            # Amplitude below which a detected defect is not transferred (it is still removed from
            # x1); raise it if grain is carried along.
            "margin": 0.5,
            "removal": True,  # F fills the surface under the defect
        },
        "loss": {
            "rec": 4.0,
            "structure": 0.0,
            "anchor": 1.0,  # cross-entropy of "here is a defect" on normals
            "fill": 5.0,  # F restores hidden parts of normals
            "present": 0.3,  # some cell of x1 must be called a defect
            "area": 1.0,  # mean of the matte
            "smooth": 0.1,  # total variation of the matte
            "rehearse": 1.0,  # matte and material of drawn layers, whose answer is known
            "mask": 0.0,  # matte against the pixel mask, or its boxes, where an image has any
        },
        "augment": {"prob": 0.5},
        "optim": {"lr": 0.004, "b1": 0.5},
    },
)
CHOICES = {"model.code_stride": (1, 2, 4)}
CHANGEABLE = ("model.margin",)


def check(config):
    """Raise ConfigError for fields that cannot work."""
    judges.check(config)
    if config.model.margin < 0:
        raise ConfigError(f"model.margin={config.model.margin} is negative; use 0 to switch it off")
    if 16 * config.model.code_stride > config.data.res:
        raise ConfigError(
            f"model.code_stride={config.model.code_stride} leaves fewer than 16 cells along "
            f"data.res={config.data.res}; use {config.data.res // 16} or less"
        )
