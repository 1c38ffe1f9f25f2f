"""Pins the import rule: docs/architecture.md has a table of rooms, and imports only go down."""

import ast
import itertools
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dtgan"
PAGE = ROOT / "docs" / "architecture.md"
NEVER = {
    "data": {"nn", "models", "methods", "losses", "state", "training", "sampling"},
    "metrics": {"data", "models", "methods"},
    "training": {"metrics"},
}


def rooms():
    """{room: (floor, rooms of the same floor that it may use)} of the page's table."""
    found = {}
    for line in PAGE.read_text().splitlines():
        row = re.fullmatch(r"\| (\d) \| (\w+) \|.*\|([\w, ]*)\|", line)
        if row:
            found[row[2]] = int(row[1]), set(re.findall(r"\w+", row[3]))
    return found


ROOMS = rooms()


def area(module):
    """ "dtgan.nn.layers" -> "nn"."""
    return module.split(".")[1]


def imports_of(path):
    """Modules of dtgan that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("dtgan.")}


FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_from_lower_floors(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert own in ROOMS, f"{own} has no floor: add it to the table of docs/architecture.md"
    floor, beside = ROOMS[own]
    for module in imports_of(path):
        other = area(module)
        allowed = ROOMS[other][0] < floor or other in beside
        assert allowed and other not in NEVER.get(own, set()), f"{own} imports {module}"


def test_every_room_of_the_page_exists():
    there = {p.stem for p in PACKAGE.iterdir() if not p.name.startswith("__")}
    assert set(ROOMS) == there


def test_data_imports_no_jax():
    for path in (PACKAGE / "data").rglob("*.py"):
        assert not {"jax", "flax", "optax"} & {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }, path


def test_rule_can_fail(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from dtgan import train\nimport dtgan.models.dtgan\n")
    assert imports_of(bad) == {"dtgan.train", "dtgan.models.dtgan"}


FAMILIES = [p.stem for p in (PACKAGE / "config" / "families").glob("[a-z]*.py")]


# Families that go on from a finished run of another one, and so know it.
BUILT_ON = {"dfmgan": {"stylegan2"}, "cdc": {"stylegan2"}}


def families_in(module):
    """The families whose own files a dotted name points into."""
    parts = module.split(".")
    homes = ("methods", "models", "families")
    return {b for a, b in itertools.pairwise(parts) if a in homes and b in FAMILIES}


def test_families_do_not_use_each_other():
    """A family is its four files; what two share has a room of its own.

    But a second stage knows the first.
    """
    for role in ("methods", "models", "config/families"):
        for name in FAMILIES:
            path = PACKAGE / role / f"{name}.py"
            for module in imports_of(path) if path.exists() else ():
                known = {name} | BUILT_ON.get(name, set())
                assert families_in(module) <= known, f"{path} imports {module}"


def test_only_the_registry_knows_a_family():
    """No other file imports one, compares with its name, or asks for its config."""
    own = {
        *(PACKAGE / role / f"{name}.py" for role in ("methods", "models") for name in FAMILIES),
        *(PACKAGE / "config" / "families").glob("*.py"),
        PACKAGE / "methods" / "registry.py",
        PACKAGE / "methods" / "latents.py",  # half of methods/stylegan2.py
    }
    for path in set(FILES) - own:
        for module in imports_of(path):
            assert not families_in(module), f"{path} imports {module}"
        for node in ast.walk(ast.parse(path.read_text())):
            operands = []
            if isinstance(node, ast.Compare):
                operands = [node.left, *node.comparators]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("base_config"):
                operands = node.args
            for operand in operands:
                value = getattr(operand, "value", None)
                assert value not in FAMILIES, f"{path}:{node.lineno} names {value!r}"
