"""The state of a run: all that is saved and restored, and nothing else is needed."""

from typing import Any, NamedTuple

import jax


class NetState(NamedTuple):
    """One network: its parameters (float32 tree) and its optimizer's state."""

    params: Any
    opt_state: Any


class GanState(NamedTuple):
    """State of a training run. A family's schedules are functions of `step`, never stored."""

    step: jax.Array  # int32 scalar: steps done
    rng: jax.Array  # base key; the key of a step is fold_in(rng, step)
    nets: dict[str, NetState]
    ema: dict[str, Any]  # running means of parameters, what users get
    extra: dict[str, Any]  # what a family adds, such as an augmentation probability
