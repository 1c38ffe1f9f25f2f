"""What the text of a compiled program tells: how much its devices talk to each other."""

import math
import re

KINDS = (
    *("all-reduce", "all-gather", "all-to-all", "reduce-scatter"),
    *("collective-permute", "collective-broadcast"),
)
# "%name = f32[8,4]{1,0} all-reduce(", or a tuple of shapes, or the first half of a split one.
_CALL = re.compile(rf" = (.*?) ({'|'.join(KINDS)})(-start)?\(")
_SHAPE = re.compile(r"\b([a-z]+[0-9a-z]*)\[([0-9,]*)\]")
_BITS = re.compile(r"[0-9]+")


def collectives(text):
    """{kind: {"count", "bytes"}} of a compiled program's text (`compiled.as_text()`).

    bytes: of the results on one device. Kinds that the program lacks are left out.
    """
    found = {}
    for line in text.splitlines():
        call = _CALL.search(line)
        if call is None:
            continue
        shapes, kind, split = call.groups()
        size = sum(map(_bytes, _SHAPE.findall(shapes)))
        if split and kind != "all-reduce":
            size //= 2  # "-start" gives its operand, too
        entry = found.setdefault(kind, {"count": 0, "bytes": 0})
        entry["count"] += 1
        entry["bytes"] += size
    return found


def _bytes(shape):
    """Of ("f32", "8,4")."""
    kind, dims = shape
    bits = 8 if kind == "pred" else int(_BITS.search(kind)[0])
    return math.prod(int(d) for d in dims.split(",") if d) * max(bits, 8) // 8
