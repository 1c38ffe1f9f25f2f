"""The TFDS data set `steel_defects`; importing this registers it."""

from dtgan.data.steel_defects.steel_defects import SteelConfig, SteelDefects, make_builder, prepare

__all__ = ["SteelConfig", "SteelDefects", "make_builder", "prepare"]
