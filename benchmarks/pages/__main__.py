"""Write the tables of README.md and docs anew: launch/run.sh python -m benchmarks.pages

A page marks the place of a table by a comment, and what it holds ends at the next one:

    <!-- table: NAME ARGUMENT -->     a function of TABLES, of that argument
    <!-- run: FILE -->                how benchmarks/results/FILE.json came about, of its "run"
    <!-- end -->

What a file does not say is "not recorded". With --check nothing is written, and pages that differ
from the files are named.
"""

import argparse
import pathlib
import re
import sys
import textwrap

from benchmarks.pages import formats, markdown, methods, noise, scores, speeds, verdicts

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "data.md",
    ROOT / "docs" / "dfmgan.md",
    ROOT / "docs" / "generation.md",
    *sorted((ROOT / "docs" / "results").glob("*.md")),
)
PLACE = re.compile(r"(<!-- (table|run): (\w+) ?([\w-]*) -->\n).*?(<!-- end -->)", re.S)
FACTS = ("config", "hardware", "time", "seeds", "commit", "date")
MADE = (
    scores.summary,
    scores.quickstart,
    scores.classes,
    scores.probes,
    scores.long,
    scores.ablation,
    scores.neu_steel,
    scores.found,
    scores.magnetic_tile,
    scores.magnetic_tile_native,
    scores.magnetic_tile_folds,
    scores.defect_gan,
    scores.table2,
    verdicts.verdict,
    verdicts.verdicts,
    verdicts.by_class,
    verdicts.refused,
    verdicts.planted,
    verdicts.choosing,
    verdicts.few_shot,
    verdicts.few_shot_classes,
    speeds.step,
    speeds.images_per_second,
    speeds.sets,
    speeds.penalty,
    noise.noise,
    methods.equal_time,
    methods.equal_images,
    methods.one_class,
    methods.orderings,
    methods.paper,
    methods.thesis,
    formats.readers,
    formats.layouts,
    formats.native,
    formats.plant,
)
TABLES = {made.__name__: made for made in MADE}
WIDTH = 110  # of a line of a command or of facts, in characters


def main(argv=None):
    """Rewrite every page, or name those that differ; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where pages differ")
    args = parser.parse_args(argv)
    stale = {page: filled(page.read_text()) for page in PAGES}
    stale = {page: text for page, text in stale.items() if text != page.read_text()}
    for page, text in stale.items():
        print(page.relative_to(ROOT))
        if not args.check:
            page.write_text(text)
    return 1 if stale and args.check else 0


def filled(text):
    """Fill every place of a page: its text with the present tables."""

    def fill(place):
        head, kind, name, argument, end = place.groups()
        lines = run(name) if kind == "run" else TABLES[name](*filter(None, [argument]))
        return head + "\n".join(lines) + "\n" + end

    return PLACE.sub(fill, text)


def run(name):
    """Tell how a result file came about: its commands, then a paragraph of facts."""
    told = markdown.read(name)
    facts = {key: told[key] for key in ("config", "seeds") if isinstance(told.get(key), str)}
    if "cpu_cores" in told:
        facts["hardware"] = (
            f"{told['cpu_cores']} CPU cores, jax {told.get('jax', markdown.UNKNOWN)}"
        )
    if "seconds" in told:
        facts["time"] = f"{told['seconds']:.0f} s"
    facts |= told.get("run", {})
    commands = [line for command in facts.get("commands", ()) for line in wrapped(command)]
    code = ["```", *commands, "```"] if commands else [f"Command: {markdown.UNKNOWN}."]
    row = [f"{key}: {facts.get(key, markdown.UNKNOWN)}" for key in FACTS]
    text = " · ".join([f"file: `{name}.json`", *row])
    lines = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return ["", *code, "", *lines, ""]


def wrapped(command):
    """Break a command before its flags, as a shell reads it on: lines of text."""
    lines = [""]
    for word in re.split(r" (?=--)", command):
        if lines[-1] and len(lines[-1]) + len(word) > WIDTH:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


if __name__ == "__main__":
    sys.exit(main())
