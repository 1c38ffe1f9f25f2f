"""What training takes on a TPU that is not here: compile its step ahead of time, and tell.

    python -m dtgan.estimate --config=configs/quickstart.py --topology=v5e:2x4 --batch=32

tells memory per chip, FLOPs, collectives and an estimate of the speed; --largest doubles the pairs
per chip until the step no longer fits. Needs the extra `tpu`, but no TPU; takes minutes, and keeps
what it found.
"""

import json
import os

from absl import flags
from ml_collections import config_flags

from dtgan import cli
from dtgan.config import ConfigError

FLAGS = flags.FLAGS
EXAMPLE = "--config=configs/quickstart.py --topology=v5e:2x4"
config_flags.DEFINE_config_file("config", None, "A file of configs/, with its argument.")
flags.DEFINE_string("topology", "", "KIND:SHAPE, such as v5e:2x4 or v6e:16x16.")
flags.DEFINE_integer("batch", 0, "Pairs a step over all chips; default four for every chip.")
flags.DEFINE_string("dtype", "bfloat16", "Of activations: bfloat16 or float32.")
flags.DEFINE_bool("largest", False, "Find the largest batch that fits, by doubling.")
flags.DEFINE_string(
    "cache", os.path.join("~", ".cache", "dtgan", "aot"), "Directory of results; empty = none."
)


def main():
    """Compile, print one JSON object a batch size."""
    cli.start_jax("")
    import jax

    from dtgan.training import tpu

    # Without this JAX looks for a TPU to run on.
    jax.config.update("jax_platforms", "cpu")
    if not FLAGS.topology:
        raise ConfigError(f"--topology is missing; for example {EXAMPLE}")
    config, (_, chips) = FLAGS.config, tpu.parse(FLAGS.topology)
    config.dtype = FLAGS.dtype
    config.data.batch_size = FLAGS.batch or 4 * chips
    while True:
        found = tpu.describe(config, FLAGS.topology, FLAGS.cache)
        print(json.dumps(found, indent=2), flush=True)
        if not (FLAGS.largest and found["fits"]):
            return
        config.data.batch_size *= 2


def check_flags(argv):
    """Raise ConfigError for flags that are missing or unknown."""
    cli.check_config_flags(argv, None, EXAMPLE)


def run():
    """Entry point of `python -m dtgan.estimate`."""
    cli.run(main, check_flags, (ConfigError, OSError))


if __name__ == "__main__":
    run()
