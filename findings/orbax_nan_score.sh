#!/usr/bin/env bash
# Package: orbax-checkpoint 0.12.8 (with jax 0.10.2), seen 2026-11-28.
# Expected: with best_fn and a BestN preservation policy (lower is better, beside the two newest
#   steps) a checkpoint whose metric is NaN never counts as the best; the step with the lowest number
#   is kept and named by best_step().
# Happens: metrics 0.3, NaN, 0.9, 0.9 of steps 1 to 4 lose step 1, the best one, and best_step()
#   names a step that is not it. Nothing is raised or logged. Save a NaN metric as none, or map it
#   to infinity in best_fn and get_metric_fn, and step 1 stays.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  orbax-checkpoint==0.12.8 jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import math
import sys

import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies


def kept(name, metric):
    """(steps left, best step) after saving scores 0.3, NaN, 0.9, 0.9, read through `metric`."""
    best = policies.BestN(
        get_metric_fn=metric, reverse=True, n=1, keep_checkpoints_without_metrics=False
    )
    options = ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(2), best]),
        best_fn=metric,
        best_mode="min",
    )
    manager = ocp.CheckpointManager(f"{sys.argv[1]}/{name}", options=options)
    for step, score in enumerate((0.3, math.nan, 0.9, 0.9), start=1):
        arrays = ocp.args.StandardSave({"w": jnp.ones(3)})
        manager.save(step, args=arrays, metrics={"score": score})
    manager.wait_until_finished()
    found = list(manager.all_steps()), manager.best_step()
    manager.close()
    return found


print("orbax-checkpoint", ocp.__version__)
steps, best = kept("plain", lambda metrics: metrics["score"])
print("NaN as it is:    steps", steps, "best", best)
guarded, guarded_best = kept(
    "guarded", lambda m: m["score"] if math.isfinite(m["score"]) else math.inf
)
print("NaN as infinity: steps", guarded, "best", guarded_best)
assert 1 not in steps and best != 1, "changed: step 1 is kept"
assert guarded == [1, 3, 4] and guarded_best == 1
PYTHON
