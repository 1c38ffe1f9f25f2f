"""DT-GAN on procedural steel, small enough for a laptop's CPU.

python -m dtgan.main --config=configs/quickstart.py --workdir=runs/quickstart

2 CPU cores, float32: 452 s in all (34 s compiling), 20 images/s, 3.4 GB. After 1000 steps, on 256
validation pairs: error of x3 against the true transfer 19.04 grey levels (doing nothing 4.52,
pasting 2.16), C calls 3.5 % of x3 by the class of x1.
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
    config.model.anchor_input = arg.anchor
    config.optim.ema = 0.99  # a run of a thousand steps is over before a slower mean follows
    config.train.duration = "1000steps"
    config.train.sample_every = 200
    config.checkpoint.every = 200
    return config
