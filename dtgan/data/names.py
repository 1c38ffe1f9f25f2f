"""Names that come from data: of classes, which become folders, columns and flags; of pictures."""

import re
import unicodedata

from dtgan.config import NORMAL, ConfigError

LONGEST = 100  # characters; a file system takes 255 bytes
_CONTROL = ("Cc", "Cs", "Zl", "Zp")  # Unicode's categories of what a terminal or a file obeys


def check_names(names, where):
    """Return `names` of classes as a tuple.

    where: they come from, for the message. Raises ConfigError for a name that cannot name a folder
    everywhere, or would leave the folder that it is put in, and for two that are one to some file
    systems: equal after Unicode NFC and case folding.
    """
    seen = {}
    for name in names:
        fault = _fault(name)
        if fault:
            raise ConfigError(f"{where}: the class {name!r} {fault}; rename it")
        key = _key(name)
        if key in seen:
            raise ConfigError(
                f"{where}: the classes {seen[key]!r} and {name!r} are one to some file systems; "
                "rename one, or join them"
            )
        seen[key] = name
    return tuple(names)


def picture_of(name):
    """Return the id of the picture of the id of a fixed crop, or of one of a clean part."""
    return re.sub(r"(#clean)?(#\d+)?$", "", name)


def _fault(name):
    """Return what is wrong with a name, or ''."""
    if not isinstance(name, str) or not name:
        return "is not a text"
    if any(unicodedata.category(letter) in _CONTROL for letter in name):
        return "holds a control character, or one that is not Unicode"
    if "/" in name or "\\" in name:
        return "holds a separator of paths"
    if name[0] == ".":
        return "begins with a dot"
    if "," in name:
        return "has a comma in its name, which divides names in data.classes and --classes"
    if name != name.strip():
        return "begins or ends with a blank"
    if len(name) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if _key(name) == _key(NORMAL) and name != NORMAL:
        return f"reads like the class without defects, which is called {NORMAL!r}"
    return ""


def _key(name):
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
