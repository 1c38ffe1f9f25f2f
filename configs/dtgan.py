"""DT-GAN of the thesis.

python -m dtgan.main --config=configs/dtgan.py:res=128,ch=16 --workdir=runs/dtgan \\
    --config.data.source=folder --config.data.path=DIR

Meant for an accelerator, where it has not been trained yet: no time and no score to report.
"""

from dtgan.config import base_config, parse_arg


def get_config(arg=""):
    """Arguments: res (side in pixels), ch (width; 32 is the thesis base), layered, smoke.

    layered: the defect as a layer over the real surface, instead of the thesis's model.
    smoke: the whole path in seconds, with small numbers of everything, res and ch included.
    """
    arg = parse_arg(arg, res=256, ch=32, layered=False, smoke=False)
    config = base_config("layered" if arg.layered else "dtgan")
    config.data.res = arg.res
    config.model.ch = arg.ch
    if arg.smoke:
        config.data.res = 32
        config.data.batch_size = 2
        config.data.scale_counts = 0.02
        config.model.ch = 2
        config.train.duration = "4steps"
        config.train.log_every = 2
        config.train.sample_every = 4
        config.train.sample_rows = 2
        config.train.summary_pairs = 4
        config.checkpoint.every = 2
    return config
