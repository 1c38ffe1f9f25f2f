"""Pins aligned tables, character by character."""

import pytest

from dtgan.reporting import tables

SPEC = (("n", "num", 0), ("FID", "fid", 1), ("95 %", "ci95", 2), ("unused", "other", 3))


def test_the_first_column_is_flush_left_and_the_others_are_flush_right():
    rows = [["arm", "images", "error"], ["real", "8", "12.5"], ["real+classic", "10000", "9.0"]]
    assert tables.aligned(rows) == [
        "arm           images  error",
        "real               8   12.5",
        "real+classic   10000    9.0",
    ]


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ValueError):
        tables.aligned([["a", "b"], ["c"]])


def test_columns_format_values_and_leave_out_those_without_any():
    rows = [("crack", {"num": 7, "fid": 1.25, "ci95": [0.5, 2.0]}), ("all", {"num": 12})]
    assert tables.columns("scores", rows, SPEC) == [
        "scores    n  FID          95 %",
        "  crack   7  1.2  [0.50, 2.00]",
        "  all    12    -             -",
    ]


def test_columns_without_rows_are_the_title_alone():
    assert tables.columns("scores", [], SPEC) == ["scores"]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, 2, "-"),
        (3, 0, "3"),
        (0.125, 1, "0.1"),
        ((1.0, None), 1, "[1.0, -]"),
        (float("nan"), 1, "nan"),
    ],
)
def test_numbers_intervals_and_missing_values(value, digits, text):
    assert tables.number(value, digits) == text
