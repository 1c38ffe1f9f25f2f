"""Holds README.md and docs to the code: commands are right, links lead to files, tables are new."""

import argparse
import pathlib
import re
import runpy
import shlex
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

from benchmarks.pages import __main__ as pages
from dtgan import audit, cli, generate, images
from dtgan.classification import settings
from dtgan.config import base_config, validate
from dtgan.training import loop

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = (README, ROOT / "launch/README.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCK = re.compile(r"^```\n(.*?)^```$", re.S | re.M)
ABSL = {"dtgan.main": None, "dtgan.classify": settings, "dtgan.estimate": None}  # and its config
SBATCH = {
    "launch/slurm.sbatch": "dtgan.main",
    "launch/evaluate.sbatch": "dtgan.evaluate",
    "launch/generate.sbatch": "dtgan.generate",
}
PROGRAMS = {"python", "pytest", "sbatch", "docker", "kubectl"}


def read_commands(page):
    """List the commands of a page's plain code blocks, each as words, without launch/run.sh."""
    found = []
    for block in BLOCK.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            if not re.match(r"([A-Z_]+=\S+ )*(launch/|python |sbatch |docker |kubectl )", line):
                continue
            words = [word for word in shlex.split(line, comments=True) if word != "..."]
            while re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            # S stands for a seed.
            words = [re.sub(r"=S$", "=0", word) for word in words]
            found.append(words[1:] if words[0] == "launch/run.sh" else words)
    return found


COMMANDS = {
    f"{page.relative_to(ROOT)}: {shlex.join(words)}": words
    for page in PAGES
    for words in read_commands(page)
}


class ParsedError(Exception):
    """Raised in place of what a program would do: (its arguments, those that it does not know)."""


@pytest.fixture
def parse(monkeypatch):
    """parse(words) runs a program until its command line is read: the words it does not know."""
    known = argparse.ArgumentParser.parse_known_args

    def stop(self, args=None, namespace=None):
        raise ParsedError(known(self, args, namespace)[1])

    def run(words):
        monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
        module = words[0] == "-m"
        monkeypatch.setattr(sys, "argv", words[module:])
        if not module:  # a file finds what lies beside it, and what is installed
            rest = [folder for folder in sys.path if folder not in ("", str(ROOT))]
            monkeypatch.setattr(sys, "path", [str((ROOT / words[0]).parent), *rest])
            for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
                monkeypatch.delitem(sys.modules, name)
        start = runpy.run_module if module else runpy.run_path
        with pytest.raises(ParsedError) as parsed:
            start(words[module], run_name="__main__")
        monkeypatch.undo()
        return parsed.value.args[0]

    return run


@pytest.mark.filterwarnings("ignore:.* found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_commands_exist_and_know_their_flags(words, parse):
    check(words, parse)


def check(words, parse):
    """Check one command: its program exists, its flags and the config that they make are right."""
    program, *rest = words
    if program == "launch/verdict.sh":
        made = subprocess.run(
            ["bash", ROOT / program, "--dry_run", *rest], capture_output=True, text=True, check=True
        )
        lines = [line for line in made.stderr.splitlines() if line.startswith("== ")]
        assert len(lines) == 2 * int(rest[1]) + 1
        for line in lines:
            check(line.removeprefix("== ").split(), parse)
    elif program == "sbatch":
        script = next(word for word in rest if not word.startswith("--"))
        check(["python", "-m", SBATCH[script], *rest[rest.index(script) + 1 :]], parse)
    elif program == "python" and rest[:1] == ["-m"] and rest[1] in ABSL:
        check_absl(rest[1], rest[2:])
    elif program == "python":
        unknown = parse(rest)
        if unknown:
            assert rest[1] == "dtgan.audit", unknown
            config = ConfigDict({"data": base_config().data})
            cli.check_config_flags(["audit", *unknown], config, "")
    else:
        assert program in PROGRAMS or (ROOT / program).exists(), program
        for word in rest:
            assert not word.startswith("launch/") or (ROOT / word).exists(), word


def check_absl(module, words):
    """Check a command of a program with absl flags, and that its config is valid."""
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    known = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', source))
    known |= {f"no{name}" for name in re.findall(r'DEFINE_bool\w*\(\s*"(\w+)"', source)}
    names = {re.split("[=.]", word.removeprefix("--"))[0] for word in words}
    assert names <= known, (names - known, words)
    file = next((w.partition("=")[2] for w in words if w.startswith("--config=")), None)
    config = cli.read_config(file) if file else ABSL[module].get_config()
    fields = [word for word in words if word.startswith("--config.")]
    cli.check_config_flags([module, *fields], config, "")
    own = flags.FlagValues()
    config_flags.DEFINE_config_dict("config", config, flag_values=own, sys_argv=fields)
    own([module, *fields])
    if "method" in config:
        validate(config)


def test_the_readme_is_short():
    lines = README.read_text().splitlines()
    assert len(lines) <= 180 and max(map(len, lines)) <= 150
    assert len(read_commands(README)) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"\w+:", target):
            file, _, part = target.partition("#")
            assert (page.parent / file).exists(), target
            assert not part, f"{target}: parts of pages are not checked; link the page"


def test_every_page_can_be_reached_from_the_readme():
    seen, ahead = set(), [README]
    while ahead:
        page = ahead.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)\s]+\.md)\)", page.read_text()):
            ahead.append((page.parent / target).resolve())
    assert set(PAGES) <= seen, set(PAGES) - seen


def test_tables_of_results_are_those_of_the_files():
    assert pages.main(["--check"]) == 0, "run launch/run.sh python -m benchmarks.pages"


def test_a_page_that_differs_from_its_file_is_noticed():
    page = (ROOT / "docs/results/procedural.md").read_text()
    assert pages.filled(page) == page
    changed = page.replace("| layered, before | 3 | 0.567", "| layered, before | 3 | 0.667")
    assert changed != page and pages.filled(changed) == page


def test_the_readmes_own_data_are_checked_learned_and_drawn(tmp_path, monkeypatch, capsys):
    """Audit, train and generate as the README says, with pasting, which learns nothing."""
    rng = np.random.default_rng(0)
    for label in ("normal", "scratch"):
        for k in range(6):
            picture = rng.integers(90, 160, (32, 32, 1), np.uint8)
            if label != "normal":
                picture[10 : 12 + k] = 250
                mask = np.where(picture == 250, 255, 0).astype(np.uint8)
                write(tmp_path / f"data/masks/{label}/{k}.png", mask)
            write(tmp_path / f"data/images/{label}/{k}.png", picture)
    look, draw = (
        next(words for words in read_commands(README) if f"dtgan.{verb}" in words)
        for verb in ("audit", "generate")
    )
    monkeypatch.chdir(tmp_path)
    assert audit.main([word.replace("DIR", "data") for word in look[3:]]) == 0
    assert "OK: 12 images, 2 classes" in capsys.readouterr().out
    config = cli.read_config(f"{ROOT / 'configs/paste.py'}:smoke")
    config.data.source, config.data.path, config.data.batch_size = "folder", "data", 8
    loop.train_and_evaluate(config, tmp_path / "runs/mine")
    draw = [word.replace("=100", "=2") for word in draw[3:]]
    assert generate.main([*draw, "--compilation_cache=", "--no_visibility"]) == 0
    assert len(list((tmp_path / "synthetic/images/scratch").iterdir())) == 2


def write(path, picture):
    """Write a picture and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write_image(path, picture)
