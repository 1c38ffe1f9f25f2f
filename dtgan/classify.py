"""Does a synthetic set help a classifier? Train with and without it, and tell.

    python -m dtgan.classify --real=DIR --synthetic=SET --out=runs/verdict

Every arm (real images, with classic augmentation, with pasted defects, with synthetic ones) is
trained from several seeds; the step is chosen on validation images, the test images are read once.
With --folds=K every real image is a test image once: K splits, K sets, one pooled verdict.
Writes verdict.json, confusion.png, predictions.npz and classifiers/<arm>.safetensors to --out, and
prints the table. The same command again goes on where it was stopped; more --arms and --seeds too.
"""

import json
import logging
import pathlib

from absl import flags
from ml_collections import config_flags

from dtgan import cli, images
from dtgan.classification import settings
from dtgan.config import FILE_SOURCES, ConfigError
from dtgan.files import write_atomic

FLAGS = flags.FLAGS
EXAMPLE = "--config=configs/classifier.py:quick"
config_flags.DEFINE_config_file(
    "config",
    settings.__file__,
    "A file of configs/, with its argument after a colon; default every field's default.",
)
flags.DEFINE_string("real", "", "Data set of real images; without it config.data says.")
flags.DEFINE_string(
    "synthetic", "", "Set made by python -m dtgan.generate; with --folds a path that holds {fold}."
)
flags.DEFINE_string("test", "", "Folder of test images instead of the real set's test split.")
flags.DEFINE_string("out", "", "Directory of the verdict; made if missing.")
flags.DEFINE_integer(
    "folds",
    0,
    "K: test on every real image once, in K folds (data.fold), each with a set of its own: "
    "--synthetic='runs/x/set_{fold}'.",
)
flags.DEFINE_bool(
    "choose",
    False,
    f"Add the arm {settings.CHOSEN}: classes and share of synthetic images chosen on validation "
    "images (12 more trainings for up to 7 classes); the verdict is on it.",
)
flags.DEFINE_bool(
    "drop_leaks", False, "Leave test images that are known from training out of the test."
)
flags.DEFINE_string(
    "baseline",
    "",
    "--out of another classify on the same real images: its arms without synthetic images are "
    "taken, not trained again.",
)
flags.DEFINE_list("arms", [], f"Some of {', '.join(settings.ARMS)}; default all but the last.")
flags.DEFINE_integer("seeds", 0, "Runs of every arm; default config.seeds.")
flags.DEFINE_string(
    "net",
    "",
    "resnet18, resnet34, resnet50, densenet121; resnet18w32, resnet18w16: narrower, for CPUs.",
)
flags.DEFINE_string("compilation_cache", cli.CACHE, cli.CACHE_HELP)


def main():
    """Run the experiment and write what it found."""
    if not FLAGS.out:
        raise ConfigError("--out is missing; give a directory: --out=runs/verdict")
    cli.start_jax(FLAGS.compilation_cache)
    cli.setup_logging()
    cli.open_devices()
    from dtgan.classification import report, runner

    out, config = pathlib.Path(FLAGS.out), _config()
    result = runner.run(
        config,
        out,
        FLAGS.synthetic,
        FLAGS.test,
        folds=FLAGS.folds,
        drop_leaks=FLAGS.drop_leaks,
        baseline=FLAGS.baseline,
    )
    images.write_image(out / "confusion.png", report.picture(result))
    write_atomic(out / "verdict.json", json.dumps(result, indent=2) + "\n")
    print("\n".join(report.table(result)), flush=True)
    logging.getLogger("dtgan").info("%s (%.0f s)", out / "verdict.json", result["seconds"])
    made = {"set": FLAGS.synthetic} if FLAGS.synthetic and not FLAGS.folds else {}
    cli.tell_report(**made, verdict=out)


def _config():
    """Set the config's fields from the flags that stand for them."""
    config = FLAGS.config
    if FLAGS.real:
        if config.data.source not in FILE_SOURCES:
            config.data.source = "folder"
        config.data.path = FLAGS.real
    if FLAGS.arms:
        config.arms = tuple(FLAGS.arms)
    if FLAGS.choose and settings.CHOSEN not in config.arms:
        config.arms = (*config.arms, settings.CHOSEN)
    config.seeds = FLAGS.seeds or config.seeds
    config.net = FLAGS.net or config.net
    return config


def check_flags(argv):
    """Raise ConfigError for fields that do not exist."""
    cli.check_config_flags(argv, settings.get_config(), EXAMPLE)


def run():
    """Entry point of `python -m dtgan.classify`."""
    cli.run(main, check_flags, (ConfigError, OSError))


if __name__ == "__main__":
    run()
