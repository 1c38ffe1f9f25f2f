"""Pins what is said of a split that cannot be judged."""

import numpy as np
import pytest

from dtgan.config import ConfigError
from dtgan.data.source import Source
from dtgan.evaluation.context import check_split


def _source(*labels):
    source = Source()
    source.classes, source.labels = ("normal", "crack", "dent"), np.asarray(labels, np.int32)
    return source


@pytest.mark.parametrize(
    ("test", "val", "message"),
    [
        ((0, 0, 0), (0, 1), "'test' of DIR holds 3 normal, 0 crack, 0 dent; .* --split=train or -"),
        ((1, 2, 2), (2,), "'test' of DIR holds 0 normal, 1 crack, 2 dent; .*; use --split=train$"),
        (None, (0, 2), "'test' of DIR holds no images; .*; use --split=train or --split=val$"),
    ],
)
def test_a_split_that_lacks_a_kind_is_named_with_its_counts_and_the_others(test, val, message):
    sources = {"train": _source(0, 1, 2), "val": _source(*val)}
    sources["test"] = None if test is None else _source(*test)
    with pytest.raises(ConfigError, match=message):
        check_split(sources, "test", "DIR")
    check_split(sources, "train", "DIR")
