"""Counts that tell how a checkout is built: python benchmarks/structure.py CHECKOUT [CHECKOUT ...]

files at the top: of dtgan/. rooms: modules and packages directly in it. dependencies: pairs of
rooms of which one imports the other. files, lines: of the package, without tests. repeated:
passages of six or more equal lines, blank ones, comments and imports left out. named: places
outside a family's own files and the registry that import it, compare with its name or hold it as a
key (its files: the modules of its name in methods, models, config/families).
"""

import ast
import collections
import json
import pathlib
import sys

WINDOW = 6  # lines


def main():
    """Print one JSON object a checkout."""
    for root in sys.argv[1:]:
        print(json.dumps({"checkout": root, **count(pathlib.Path(root) / "dtgan")}))


def count(package):
    """The counts of a package directory."""
    files = sorted(package.rglob("*.py"))
    trees = {path: ast.parse(path.read_text()) for path in files}
    families = {p.stem for p in (package / "methods").glob("*.py")}
    families &= {p.stem for p in (package.parent / "configs").glob("*.py")} | {"layered"}
    top = [p for p in package.iterdir() if p.name not in ("__init__.py", "__pycache__")]
    edges = {
        (room(package, path), other)
        for path, tree in trees.items()
        for other in imported_rooms(tree)
        if other != room(package, path)
    }
    return {
        "files at the top": sum(p.is_file() for p in top),
        "rooms": len(top),
        "dependencies": len([edge for edge in edges if edge[0]]),
        "files": len(files),
        "lines": sum(len(path.read_text().splitlines()) for path in files),
        "repeated": repeated(files),
        "named": sum(named(package, path, tree, families) for path, tree in trees.items()),
    }


def room(package, path):
    """The first part of a module's name in the package; "" for the package itself."""
    first = path.relative_to(package).with_suffix("").parts[0]
    return "" if first == "__init__" else first


def modules(tree):
    """Modules of dtgan that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imported_rooms(tree):
    """The rooms of dtgan that a file imports."""
    return {name.split(".")[1] for name in modules(tree) if name.startswith("dtgan.")}


def repeated(files):
    """How many passages of WINDOW or more equal lines stand in two places."""
    seen, passages = collections.defaultdict(list), set()
    texts = {}
    for path in files:
        lines = [line.strip() for line in path.read_text().splitlines()]
        texts[path] = [x for x in lines if x and not x.startswith(("from ", "import ", "#"))]
        for k in range(len(texts[path]) - WINDOW + 1):
            seen[tuple(texts[path][k : k + WINDOW])].append((path, k))
    for places in seen.values():
        for one in places:
            for two in places:
                before = (one[0], one[1] - 1), (two[0], two[1] - 1)
                grown = [texts[p][k] for p, k in before if k >= 0]
                if one < two and not (len(grown) == 2 and grown[0] == grown[1]):
                    passages.add((one, two))
    return len(passages)


def named(package, path, tree, families):
    """Places in a file that know a family which is not its own."""
    where = path.relative_to(package)
    roles = (("methods",), ("models",), ("config", "families"))
    own = {where.stem} if where.parts[:-1] in roles else set()
    if where.as_posix() == "methods/registry.py":
        return 0
    found = 0
    for name in modules(tree):
        parts = name.split(".")
        if parts[0] == "dtgan" and len(parts) > 2 and parts[1] in ("methods", "models"):
            found += bool({parts[2]} & families - own)
    for node in ast.walk(tree):
        values = []
        if isinstance(node, ast.Compare):
            values = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            values = [key for key in node.keys if key is not None]
        found += any(getattr(v, "value", None) in families - own for v in values)
    return found


if __name__ == "__main__":
    main()
