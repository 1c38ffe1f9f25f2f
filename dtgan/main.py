"""Train a GAN: python -m dtgan.main --config=configs/quickstart.py --workdir=runs/quickstart

The same command again resumes. Any config field is a flag: --config.data.path=DIR
"""

import logging
import time

from absl import flags
from ml_collections import config_flags

from dtgan import cli
from dtgan.config import ConfigError
from dtgan.training.signals import StopSignal

FLAGS = flags.FLAGS
EXAMPLE = "--config=configs/quickstart.py"
config_flags.DEFINE_config_file(
    "config", None, "A file of configs/, with its argument after a colon."
)
flags.DEFINE_string("workdir", None, "Directory of the run; made if missing, resumed if not empty.")
flags.DEFINE_bool("dry_run", False, "Print config, parameters, step cost and speed, then exit.")
flags.DEFINE_string("compilation_cache", cli.CACHE, cli.CACHE_HELP)
flags.DEFINE_bool("distributed", False, "Join the processes of a cluster that JAX detects.")
flags.DEFINE_string("coordinator", "", "host:port of process 0, where no cluster is detected.")
flags.DEFINE_integer("num_processes", 0, "Processes of the job, with --coordinator.")
flags.DEFINE_integer("process_id", -1, "This process, 0 to num_processes - 1, with --coordinator.")


def main():
    """Train, or describe what would be trained."""
    cli.start_jax(FLAGS.compilation_cache)
    from dtgan import sharding
    from dtgan.training import loop

    if FLAGS.coordinator and not 0 <= FLAGS.process_id < FLAGS.num_processes:
        raise ConfigError(
            f"--process_id={FLAGS.process_id} is not in 0..num_processes-1 "
            f"(--num_processes={FLAGS.num_processes}); give both with --coordinator"
        )
    if FLAGS.distributed or FLAGS.coordinator:
        sharding.initialize_distributed(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
    devices = cli.find_devices()
    cli.setup_logging(sharding.is_lead())
    cli.name_devices(devices)
    if FLAGS.dry_run:
        from dtgan.training import dry_run

        return dry_run.dry_run(FLAGS.config)
    if not FLAGS.workdir:
        raise ConfigError(
            "--workdir is missing; give the directory of the run: --workdir=runs/NAME"
        )
    start = time.monotonic()
    loop.train_and_evaluate(FLAGS.config, FLAGS.workdir)
    logging.getLogger("dtgan").info("%.0f s in all", time.monotonic() - start)
    cli.tell_report(workdir=FLAGS.workdir)


def check_flags(argv):
    """Raise ConfigError for flags that are missing, unknown or come too late."""
    for arg in argv[1:]:
        if arg.partition("=")[0] == "--config.method":
            raise ConfigError(
                "--config.method comes too late for the fields of a method; give it to the config: "
                "--config=configs/quickstart.py:method=NAME"
            )
    cli.check_config_flags(argv, None, EXAMPLE)


def run():
    """Entry point of `python -m dtgan.main`."""
    with StopSignal():  # from here on: the imports below take seconds
        from dtgan.training.loop import Diverged

        cli.run(main, check_flags, (ConfigError, Diverged, OSError))


if __name__ == "__main__":
    run()
