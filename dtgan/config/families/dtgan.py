"""Fields of DT-GAN, the thesis's model; the defaults are the thesis's."""

from dtgan.config import judges
from dtgan.config.tree import merge

FIELDS = merge(
    judges.FIELDS,
    {
        "model": {
            "anchor_input": "zero",  # added to z_s: zero (faithful) | learned | fourier
            "skip_gain": 4.0,  # gain of the skip's up-blur; 1.0 = attenuated
        },
    },
)
CHOICES = {"model.anchor_input": ("zero", "learned", "fourier")}

check = judges.check
