"""Pins metrics.jsonl over a resume, readable TensorBoard events, and progress arithmetic."""

import errno
import json
import logging
import threading

import numpy as np
import pytest

from dtgan.runs import events
from dtgan.runs.writers import Progress, Writer

pytestmark = pytest.mark.faults


@pytest.fixture
def warnings(caplog):
    """What is logged."""
    logging.getLogger("dtgan").propagate = True
    with caplog.at_level(logging.WARNING, "dtgan"):
        yield caplog


def test_rows_after_the_restored_step_are_dropped(tmp_path):
    writer = Writer(tmp_path)
    for step in (1, 2, 3):
        writer.scalars(step, {"loss/rec": 1.0 / step})
    writer.image(3, "samples", np.zeros((8, 8, 1), np.uint8))
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "loss')  # cut short by a kill
    writer = Writer(tmp_path, step=2)
    writer.scalars(3, {"loss/rec": 9.0})
    writer.close()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(r["step"], r["loss/rec"]) for r in rows] == [(1, 1.0), (2, 0.5), (3, 9.0)]
    events = list(tmp_path.glob("events.*"))
    assert events and sum(e.stat().st_size for e in events) > 100


def test_a_damaged_row_is_skipped_and_the_file_set_aside(tmp_path, warnings):
    file = tmp_path / "metrics.jsonl"
    content = b'{"step": 1}\n\xff\n5\n{"step": 2}\n'
    file.write_bytes(content)
    for _ in range(2):  # said once
        Writer(tmp_path, step=2).close()
    assert file.read_bytes() == b'{"step": 1}\n{"step": 2}\n'
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == content
    assert warnings.text.count("metrics.jsonl.damaged") == 1


def test_a_disk_that_answers_nobody_holds_up_nobody(tmp_path, monkeypatch, warnings):
    """The queue of events fills, what is more is lost, and the end does not wait for it."""
    stuck = threading.Event()

    class Stuck:
        def __init__(self, prefix):
            stuck.wait()

    monkeypatch.setattr("tensorboardX.event_file_writer.EventsWriter", Stuck)
    monkeypatch.setattr(events, "PATIENCE", 0.05)
    writer = Writer(tmp_path)
    for step in range(events.WAITING + 50):
        writer.scalars(step, {"loss/rec": 1.0})
    writer.close()
    stuck.set()
    assert warnings.text.count("no more TensorBoard events") == 1
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == events.WAITING + 50


def test_all_numbers_of_a_row_are_kept(tmp_path, warnings):
    """A report of evaluation has more of them than rows may wait."""
    from tensorboardX.proto.event_pb2 import Event

    names = {f"eval/{i}": float(i) for i in range(2 * events.WAITING)}
    made = events.Events(tmp_path)
    made.scalars(names, 5)
    made.close()
    (file,) = tmp_path.glob("events.*")
    content, at, kept = file.read_bytes(), 0, {}
    while at < len(content):  # a record: length, its checksum, the event, its checksum
        size = int.from_bytes(content[at : at + 8], "little")
        event = Event.FromString(content[at + 12 : at + 12 + size])
        kept |= {value.tag: value.simple_value for value in event.summary.value}
        at += size + 16
    assert kept == names and not warnings.text


def test_a_full_disk_costs_records_and_no_run(tmp_path, monkeypatch, warnings):
    """Events end, rows go on when there is room again, and each loss is said once."""
    writer = Writer(tmp_path)
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*_args, **_kwargs):
        raise full

    with monkeypatch.context() as patch:
        for name in ("write_event", "flush"):
            patch.setattr(f"tensorboardX.event_file_writer.EventsWriter.{name}", fail)
        patch.setattr("pathlib.Path.open", fail)
        for step in (1, 2):
            writer.scalars(step, {"loss/rec": 1.0})
            writer.image(step, "samples", np.zeros((8, 8, 1), np.uint8))
        writer.close()  # the thread has seen it by now
    writer.scalars(3, {"loss/rec": 1.0})
    assert (tmp_path / "metrics.jsonl").read_text().split() == [
        '{"step":',
        "3,",
        '"loss/rec":',
        "1.0}",
    ]
    for words in ("records of the run are lost", "no more TensorBoard events"):
        assert warnings.text.count(words) == 1


def test_only_the_lead_writes(tmp_path):
    writer = Writer(tmp_path, lead=False)
    writer.scalars(1, {"a": 1.0})
    writer.image(1, "a", np.zeros((8, 8, 1), np.uint8))
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_rates_leave_out_pauses():
    now = [0.0]
    progress = Progress(100, 300, images_per_step=8, clock=lambda: now[0])
    now[0] = 10.0
    progress.pause(150)  # 50 steps in 10 s
    now[0] = 1000.0  # sampling and saving
    progress.resume()
    with progress.waiting():
        now[0] = 1003.0
    now[0] = 1005.0
    progress.pause(175)  # 25 steps in 5 s
    expected = {"steps_per_s": 5.0, "images_per_s": 40.0, "waiting_for_data": 0.2}
    assert progress.rates() == pytest.approx({f"rate/{k}": v for k, v in expected.items()})
    assert set(progress.rates().values()) == {0.0}
    line = progress.line(175, 5.0, {"G": 1.5})
    assert "step 175/300 ( 58 %)  40.0 images/s  ETA 0:25  G 1.5" in line
