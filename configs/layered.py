"""The layered model: a defect is a layer, material and matte, over the real surface.

python -m dtgan.main --config=configs/layered.py:res=128,ch=16 --workdir=runs/layered \\
    --config.data.source=folder --config.data.path=DIR

Meant for an accelerator, where it has not been trained yet; on a CPU begin with quickstart.py.
"""

from dtgan.config import base_config, parse_arg, shrink


def get_config(arg=""):
    """Arguments: res (side in pixels), ch (width; 32 is the thesis base), smoke (all is small)."""
    arg = parse_arg(arg, res=256, ch=32, smoke=False)
    config = base_config("layered")
    config.data.res, config.model.ch = arg.res, arg.ch
    if arg.smoke:
        shrink(config)
    return config
