"""Crop&Paste: the masked pixels of a defect on another surface; the defects need masks.

python -m dtgan.main --config=configs/paste.py --workdir=runs/paste

Nothing is learned: the run ends at once and leaves a workdir for evaluate, generate and export.
"""

from dtgan.config import base_config, parse_arg, shrink


def get_config(arg=""):
    """Arguments: res (side in pixels), smoke (all is small)."""
    arg = parse_arg(arg, res=64, smoke=False)
    config = base_config("paste")
    config.data.res = arg.res
    if arg.smoke:
        shrink(config)
    return config
