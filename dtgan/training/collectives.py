"""Count the collective operations in a compiled program's HLO text and the bytes they move."""

import math
import re

KINDS = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "reduce-scatter",
    "collective-permute",
    "collective-broadcast",
)
# "%name = f32[8,4]{1,0} all-reduce(", or with a tuple of shapes, or "all-reduce-start(", the first
# half of an asynchronous operation.
_CALL = re.compile(rf" = (.*?) ({'|'.join(KINDS)})(-start)?\(")
_SHAPE = re.compile(r"\b([a-z]+[0-9a-z]*)\[([0-9,]*)\]")
_BITS = re.compile(r"[0-9]+")


def collectives(text):
    """Count the collectives of a compiled program's text: {kind: {"count", "bytes"}}.

    text: `compiled.as_text()`. bytes: of the results on one device. Kinds that the program lacks
    are left out.
    """
    found = {}
    for line in text.splitlines():
        call = _CALL.search(line)
        if call is None:
            continue
        shapes, kind, split = call.groups()
        size = sum(map(_bytes, _SHAPE.findall(shapes)))
        if split and kind != "all-reduce":
            size //= 2  # the shapes of "-start" include its operand
        entry = found.setdefault(kind, {"count": 0, "bytes": 0})
        entry["count"] += 1
        entry["bytes"] += size
    return found


def _bytes(shape):
    """Return the size in bytes of a shape such as ("f32", "8,4")."""
    kind, dims = shape
    bits = 8 if kind == "pred" else int(_BITS.search(kind)[0])
    return math.prod(int(d) for d in dims.split(",") if d) * max(bits, 8) // 8
