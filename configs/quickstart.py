"""Layered DT-GAN (or the thesis's) on procedural steel, small enough for a laptop's CPU.

python -m dtgan.main --config=configs/quickstart.py --workdir=runs/quickstart

2 CPU cores, float32: about eight minutes, 0.29 s a step after compiling for 50 s. On 182 held-out
pairs, seed 0: skill 0.576 (paste 0.491), mask IoU 0.742, background 0.21 grey levels, removal skill
0.686. With method=dtgan, 1000 steps of 0.40 s: skill -0.194 (docs/results/procedural.md).
"""

from dtgan.config import ConfigError, base_config, parse_arg


def get_config(arg=""):
    """Arguments: method=layered|dtgan; anchor=zero|learned|fourier, of the latter."""
    arg = parse_arg(arg, method="layered", anchor="zero")
    if arg.method == "layered" and arg.anchor != "zero":
        raise ConfigError(
            f"anchor={arg.anchor} is of the thesis's model; write method=dtgan,anchor={arg.anchor}"
        )
    config = base_config(arg.method)
    config.data.res = 64
    config.data.batch_size = 4
    config.model.ch = 8
    config.model.d_base = 1024
    config.model.d_cap = 64
    if arg.method == "dtgan":
        config.model.anchor_input = arg.anchor
    config.optim.ema = 0.99  # a run of a thousand steps is over before a slower mean follows
    # Equal time on two CPU cores when they were chosen, at 0.25 and 0.40 s a step.
    config.train.duration = "1500steps" if arg.method == "layered" else "1000steps"
    config.train.sample_every = 200
    config.checkpoint.every = 200
    return config
