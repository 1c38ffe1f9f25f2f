"""The configuration of a run: fields, checks, durations, JSON.

`configs/x.py` builds a config as `base_config("x")` plus a diff. The result is locked and typed: an
unknown field fails with the nearest right one, a wrong type fails at once.
"""

from dtgan.config.check import validate
from dtgan.config.durations import to_steps
from dtgan.config.errors import ConfigError, nearest
from dtgan.config.folds import parse_fold
from dtgan.config.scaling import LARGEST_SCALE, check_scaling
from dtgan.config.schema import (
    FILE_SOURCES,
    NORMAL,
    NORMAL_LABEL,
    base_config,
    flip_axes,
    from_dict,
    from_json,
    is_changeable,
    parse_arg,
    to_dict,
    to_json,
)
from dtgan.config.smoke import shrink
from dtgan.config.tree import diff, flatten, merge

__all__ = [
    "FILE_SOURCES",
    "LARGEST_SCALE",
    "NORMAL",
    "NORMAL_LABEL",
    "ConfigError",
    "base_config",
    "check_scaling",
    "diff",
    "flatten",
    "flip_axes",
    "from_dict",
    "from_json",
    "is_changeable",
    "merge",
    "nearest",
    "parse_arg",
    "parse_fold",
    "shrink",
    "to_dict",
    "to_json",
    "to_steps",
    "validate",
]
