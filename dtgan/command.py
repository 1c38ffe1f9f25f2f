"""The console command: `dtgan VERB ...` is `python -m dtgan.MODULE ...`."""

import runpy
import sys

from dtgan.config import nearest

VERBS = {  # in the order in which they are used: verb -> (module, what it does)
    "audit": ("dtgan.audit", "check a folder of images before anything is trained on it"),
    "train": ("dtgan.main", "train a model on it; the same command again goes on"),
    "evaluate": ("dtgan.evaluate", "score checkpoints against real images, also while training"),
    "studio": ("dtgan.studio", "try a model by hand: place a defect, see what it draws"),
    "generate": ("dtgan.generate", "make a labelled set of synthetic images"),
    "classify": ("dtgan.classify", "tell whether the set helps a classifier"),
    "report": ("dtgan.report", "write all of this as one page to look at or to send"),
    "export": ("dtgan.export", "write networks for users without this package"),
}


def main(argv=None):
    """Run a verb with its flags; without one, or with --help, print which there are."""
    argv = sys.argv[1:] if argv is None else argv
    verb, flags = (argv[0], argv[1:]) if argv else ("", [])
    if verb in ("", "-h", "--help"):
        print(usage())
        sys.exit(0 if verb else 2)
    if verb not in VERBS:
        sys.exit(f"error: {verb!r} is no verb{nearest(verb, VERBS)}; dtgan --help lists them")
    module, _ = VERBS[verb]
    sys.argv = [f"dtgan {verb}", *flags]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def usage():
    """Describe the verbs, in the order in which they are used."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:{width}}  {what}" for verb, (_, what) in VERBS.items()]
    return "\n".join(
        [
            "usage: dtgan VERB --FLAG=VALUE ...",
            "",
            "In the order in which they are used:",
            *lines,
            "",
            "dtgan VERB --help lists the flags of a verb. A first try, on made-up steel:",
            "  dtgan train --config=configs/quickstart.py --workdir=runs/quickstart",
            "  dtgan evaluate --workdir=runs/quickstart",
            "  dtgan report --workdir=runs/quickstart --out=report.html",
        ]
    )


if __name__ == "__main__":
    main()
