"""DT-GAN on procedural steel, small enough for a laptop's CPU.

python -m dtgan.main --config=configs/quickstart.py --workdir=runs/quickstart
"""

from dtgan.config import base_config, parse_arg


def get_config(arg=""):
    """Argument: anchor=zero|learned|fourier."""
    arg = parse_arg(arg, anchor="zero")
    config = base_config()
    config.data.res = 64
    config.data.batch_size = 4
    config.model.ch = 8
    config.model.d_base = 1024
    config.model.d_cap = 64
    config.model.anchor_input = arg.anchor
    config.train.duration = "1000steps"
    config.train.sample_every = 200
    config.checkpoint.every = 200
    return config
