#!/usr/bin/env bash
# Package: orbax-checkpoint 0.12.8 (with jax 0.10.2), seen 2026-11-29.
# Expected: best_fn beside max_to_keep decides which of the older steps stay; the newest one, from
#   which a run resumes, stays in any case, as it does without best_fn.
# Happens: only the best max_to_keep steps stay, and a new step that is not among them is deleted by
#   the save that wrote it. save() returns True, and latest_step() names an older step: a run that is
#   stopped after step 4 goes on from step 3. A preservation_policy of LatestN and BestN keeps both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
  orbax-checkpoint==0.12.8 jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies


def fid(metrics):
    return metrics["fid"]


def kept(name, **options):
    """(answers of save, steps left, latest step) for FIDs of 40, 20, 30 and 50."""
    options = ocp.CheckpointManagerOptions(**options)
    with ocp.CheckpointManager(f"{sys.argv[1]}/{name}", options=options) as manager:
        answers = []
        for step, score in enumerate((40.0, 20.0, 30.0, 50.0), start=1):
            arrays = ocp.args.StandardSave({"w": jnp.ones(3)})
            answers.append(manager.save(step, args=arrays, metrics={"fid": score}))
            manager.wait_until_finished()
        return answers, list(manager.all_steps()), manager.latest_step()


policy = policies.AnyPreservationPolicy(
    [
        policies.LatestN(1),
        policies.BestN(
            get_metric_fn=fid, reverse=True, n=1, keep_checkpoints_without_metrics=False
        ),
    ]
)
print("orbax-checkpoint", ocp.__version__, "(saved, steps left, latest step)")
recent = kept("recent", max_to_keep=2)
print("max_to_keep=2:            ", *recent)
best = kept("best", max_to_keep=2, best_fn=fid, best_mode="min")
print("max_to_keep=2 and best_fn:", *best)
both = kept("both", preservation_policy=policy, best_fn=fid, best_mode="min")
print("LatestN(1) and BestN(1):  ", *both)
saved = [True] * 4
assert recent == (saved, [3, 4], 4)
assert best == (saved, [2, 3], 3), "changed: the newest step is kept, or not saved"
assert both == (saved, [2, 4], 4)
PYTHON
