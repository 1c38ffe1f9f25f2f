"""Pins the import rule: a module imports from lower layers, inside its own only what is listed."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "dtgan"

LAYERS = [
    {"config", "images", "reporting"},
    {"nn", "data", "weights"},
    {"models", "losses", "annotations"},
    {"state", "methods", "sharding", "runs", "metrics"},
    {"sampling"},
    {"training", "evaluation", "generation", "classification", "exporting", "cli"},
    {"main", "evaluate", "generate", "classify", "export", "audit", "estimate"},
]
# Imports inside one layer.
WITHIN = {
    "config": {"config"},
    "nn": {"nn"},
    "data": {"data"},
    "weights": {"weights"},
    "models": {"models"},
    "methods": {"methods", "state"},
    "runs": {"runs"},
    "training": {"training"},
    "sampling": {"sampling"},
    "evaluation": {"evaluation"},
    "generation": {"generation"},
    "classification": {"classification"},
    "exporting": {"exporting"},
    "metrics": {"metrics", "sharding"},
}
NEVER = {
    "data": {"nn", "models", "methods", "losses", "state", "training", "sampling"},
    "metrics": {"data", "models", "methods"},
    "training": {"metrics"},
}


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
def test_imports_only_from_lower_layers(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    level = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    assert own in level, f"{own} has no layer: add it here and to the README's layout"
    for module in imports_of(path):
        other = area(module)
        allowed = level[other] < level[own] or other in WITHIN.get(own, set())
        assert allowed and other not in NEVER.get(own, set()), f"{own} imports {module}"


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
