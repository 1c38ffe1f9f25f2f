"""Pins what is told of a set: refusals by class and reason, and the classes that are doubtful."""

from dtgan.generation import tally


def record(name, recognised=True, **refused):
    counted = dict.fromkeys(tally.REASONS, 0) | refused
    return {"class": name, "synthetic": True, "refused": counted, "recognised": recognised}


RECORDS = [
    record("crack", invisible=7, cut=2),
    record("crack", recognised=False, empty=1),
    record("crack", recognised=False),
    record("crack", recognised=False),
    record("spot", copied=5, invisible=5),
    {"class": "normal", "synthetic": False},
]


def test_refusals_are_counted_by_class_and_reason():
    table = tally.counts(RECORDS)
    assert table["crack"] == {
        "drawn": 4,
        "refused": dict.fromkeys(tally.REASONS, 0) | {"cut": 2, "empty": 1, "invisible": 7},
        "recognised": 0.25,
    }
    assert table["spot"]["refused"]["copied"] == 5 and set(table) == {"crack", "spot"}
    assert tally.total(RECORDS) == "2 left the picture, 1 empty, 12 invisible, 5 copies"
    assert tally.total(RECORDS[2:4]) == ""


def test_doubtful_classes_are_named_with_a_remedy():
    table = tally.counts(RECORDS)
    said, doubts = tally.lines(table, {"crack": 1.5}, {"crack": 0.8})
    assert said[0] == (
        "crack: 4 drawn; replaced: 2 left the picture, 1 empty, 7 invisible; contrast from 1.50; "
        "recognised 25 % (real ones 80 %)"
    )
    assert said[1] == "spot: 1 drawn; replaced: 5 invisible, 5 copies; recognised 100 %"
    assert len(doubts) == 2 and all("'crack'" in line and "--classes" in line for line in doubts)
    assert "only 36 % of its defects show" in doubts[0] and "takes 25 %" in doubts[1]
    assert not tally.lines(table, None, {"crack": 0.4})[1][1:]  # half of 0.4 is reached


def test_a_classifier_that_knows_no_real_one_tells_nothing():
    _, (doubt,) = tally.lines(tally.counts(RECORDS[4:]), None, {"spot": 0.0})
    assert "'spot'" in doubt and "calls no held-out real image by it" in doubt


def test_nothing_is_said_of_what_nobody_told():
    said, doubts = tally.lines(tally.counts([record("crack", recognised=None)]))
    assert said == ["crack: 1 drawn"] and not doubts
