"""DT-GAN of the thesis.

python -m dtgan.main --config=configs/dtgan.py:res=128,ch=16 --workdir=runs/dtgan \\
    --config.data.source=folder --config.data.path=DIR

Meant for an accelerator, where it has not been trained yet: no time and no score to report.
"""

from dtgan.config import base_config, parse_arg, shrink


def get_config(arg=""):
    """Arguments: res (side in pixels), ch (width; 32 is the thesis base), smoke (all is small)."""
    arg = parse_arg(arg, res=256, ch=32, smoke=False)
    config = base_config("dtgan")
    config.data.res, config.model.ch = arg.res, arg.ch
    if arg.smoke:
        shrink(config)
    return config
