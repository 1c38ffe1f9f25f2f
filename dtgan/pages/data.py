"""The data of a run: how many images of what, and some of them."""

from typing import NamedTuple

import numpy as np

from dtgan import config as config_lib
from dtgan.config import ConfigError
from dtgan.data import catalog, pipeline
from dtgan.data.splits import SPLITS
from dtgan.pages import pictures
from dtgan.pages.read import at

EXAMPLES = 8  # pictures of a class


class Data(NamedTuple):
    """What a page shows of a run's data.

    counts: {split: {class: images}}. masked: {class: defects with a mask, in training}. examples:
    {class: [data URI]}. findings: what the account of the data says. note: why there are no
    pictures, "" where there are.
    """

    counts: dict
    masked: dict
    examples: dict
    findings: list
    note: str

    @property
    def classes(self):
        """Names of the classes, in the order of the data."""
        return list(dict.fromkeys(name for table in self.counts.values() for name in table))


def describe(run, data_path=""):
    """Describe the data of a read.Run; those that cannot be opened, from the run's own account.

    data_path: where they are now, if they were moved.
    """
    accounts = at(run.data, "accounts") or {}
    counts = {
        split: {name: part["pictures"] for name, part in table.items()}
        for split, table in accounts.items()
    }
    masked = {
        name: part["with_mask"]
        for table in list(accounts.values())[:1]
        for name, part in table.items()
    }
    known = Data(counts, masked, {}, list(at(run.data, "findings") or []), "")
    try:
        config = config_lib.from_dict(run.config)
        config.data.path = data_path or config.data.path
        trained = catalog.open_source(config, config.data.split)
        others = [split for split in SPLITS if split not in config.data.split.split("+")]
        sources = {config.data.split: trained}
        sources |= {split: catalog.open_source(config, split) for split in others}
        examples = _examples(config, trained)
    except (ConfigError, OSError) as error:
        return known._replace(note=f"The data could not be opened: {error}")
    note = ""
    if at(run.data, "fingerprint") not in (None, trained.fingerprint):
        note = "The data have changed since the run was trained; shown is what they are now."
    counts = {
        split: dict(
            zip(
                source.classes,
                np.bincount(source.labels, minlength=len(source.classes)).tolist(),
                strict=True,
            )
        )
        for split, source in sources.items()
        if len(source)
    }
    return known._replace(counts=counts, examples=examples, note=note)


def _examples(config, source):
    """Encode some pictures of every class, as the model sees them, with outlines of masks."""
    found = {}
    for label, name in enumerate(source.classes):
        rows = pictures.thinned(np.flatnonzero(source.labels == label), EXAMPLES)
        if len(rows):
            shown = pipeline.load_records(config, source, rows)
            found[name] = [
                pictures.thumbnail(pictures.outlined(image, mask if label else np.zeros_like(mask)))
                for image, mask in zip(shown["image"], shown["mask"], strict=True)
            ]
    return found
