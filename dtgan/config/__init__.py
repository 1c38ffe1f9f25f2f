"""The configuration of a run: fields, checks, durations, JSON."""

from dtgan.config.schema import *  # noqa: F403
