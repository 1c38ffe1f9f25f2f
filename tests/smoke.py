"""The smoke config of any family, for tests: --config=tests/smoke.py:NAME (default FAMILY)."""

from dtgan.config import base_config, shrink

FAMILY = "layered"  # of tests that need some trained family, no matter which


def get_config(arg=""):
    config = base_config(arg or FAMILY)
    shrink(config)
    return config
