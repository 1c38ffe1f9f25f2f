"""StackGAN++: pictures with defects from noise, at several scales, with or without their class.

python -m dtgan.main --config=configs/stackgan.py --workdir=runs/stackgan \\
    --config.data.source=folder --config.data.path=DIR

The unconditional one learns all defects as one class, or the one that --config.data.classes names;
:cond is told the labels. The sizes are the authors', 64 px, for an accelerator, where it has not
been trained yet; :res=128 draws at 64 and 128 px. On a CPU begin with :quick.
"""

from dtgan.config import base_config, parse_arg, shrink


def get_config(arg=""):
    """Arguments: res (side in pixels), ch (width), cond (on the labels), quick (for a CPU), smoke
    (all is small)."""
    arg = parse_arg(arg, res=64, ch=64, cond=False, quick=False, smoke=False)
    config = base_config("stackgan")
    config.data.res, config.data.channels, config.model.ch = arg.res, 3, arg.ch
    config.train.duration = "100000steps"
    config.model.conditional, config.data.merged = arg.cond, not arg.cond
    if arg.cond:
        config.loss.colour_mean = config.loss.colour_cov = 0.0
    if arg.quick:
        config.data.channels, config.model.first = 1, 32
        config.model.ch, config.model.z, config.model.code = 16, 32, 32
        config.optim.ema, config.train.duration = 0.99, "3000steps"
        config.train.sample_every = config.checkpoint.every = 500
    if arg.smoke:
        shrink(config)
        config.data.channels = 1
    return config
