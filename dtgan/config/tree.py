"""Nested dicts of fields, and the same flat: {"data.res": 64}."""

from ml_collections import ConfigDict


def flatten(config, prefix=""):
    """Flatten a ConfigDict or nested dict to {"data.res": 64, ...}."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, (dict, ConfigDict)):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def merge(*trees):
    """Merge nested dicts; where two hold the same field, the later one wins."""
    merged = {}
    for tree in trees:
        for name, value in tree.items():
            known = merged.get(name)
            both = isinstance(value, dict) and isinstance(known, dict)
            merged[name] = merge(known, value) if both else value
    return merged


def diff(old, new):
    """List the fields that differ: {name: (old, new)}, None on a side that lacks the field."""
    old, new = flatten(old), flatten(new)
    pairs = {name: (_plain(old.get(name)), _plain(new.get(name))) for name in {**old, **new}}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _plain(value):
    return list(value) if isinstance(value, (list, tuple)) else value
