"""Mistakes of users, told in one line."""

import difflib


class ConfigError(ValueError):
    """A user's mistake: one line that names the value, the rule and the remedy."""


def nearest(name, names):
    """Suggest the nearest of `names`: ' (did you mean x?)', or '' where nothing is near."""
    match = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""
