"""CDC: a generator of surfaces learns few defects of one class and keeps its variety.

python -m dtgan.main --config=configs/cdc.py:quick --workdir=runs/cdc \\
    --config.data.source=folder --config.data.path=DIR --config.data.classes=NAME \\
    --config.init.workdir=runs/surfaces

The run of surfaces is one of configs/stylegan2.py, of the same size. The default is the authors'
5000 steps of batch 4.
"""

from dtgan.config import base_config, parse_arg, shrink


def get_config(arg=""):
    """Arguments: res (side in pixels), quick (64 px, for a CPU), smoke (all is small)."""
    arg = parse_arg(arg, res=256, quick=False, smoke=False)
    config = base_config("cdc")
    config.data.res, config.data.channels = arg.res, 3
    config.train.duration = "5000steps"
    if arg.quick:  # the sizes of configs/stylegan2.py:quick
        config.data.res, config.data.channels = 64, 1
        config.model.base, config.model.cap, config.model.latent = 1024, 48, 64
        config.loss.r1_gamma *= (64 / 256) ** 2  # as "auto" does, with the area
        config.train.duration = "3000steps"
        config.train.sample_every = config.checkpoint.every = 500
    if arg.smoke:
        shrink(config)
        config.data.channels = 1
    return config
