"""Pins by random examples what readers promise of any names, split files, manifests and masks."""

import csv
import json
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtgan import images
from dtgan.classification import data as classification_data
from dtgan.config import NORMAL, ConfigError, base_config
from dtgan.data.folders import assign, examine, scan
from dtgan.data.names import check_names
from dtgan.generation import digests
from dtgan.runs import checkpoints
from dtgan.runs.writers import keep_rows

pytestmark = pytest.mark.faults
few = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
# What JSON can hold.
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@few
@given(st.lists(st.text(min_size=1, max_size=8), max_size=5), st.randoms())
def test_names_that_pass_fill_as_many_folders(tmp_path_factory, names, rng):
    """Taken together, in any order, each has a folder of its own."""
    mixed = [*names]
    rng.shuffle(mixed)
    try:
        passed = check_names((NORMAL, *names), "here")
    except ConfigError:
        with pytest.raises(ConfigError):
            check_names((NORMAL, *mixed), "here")
        return
    assert passed == (NORMAL, *names) and check_names((NORMAL, *mixed), "here")
    root = tmp_path_factory.mktemp("names")
    for name in passed:
        (root / name).mkdir()
    assert len(list(root.iterdir())) == len(passed)


# Names of files: no separators of paths, no control characters, no blanks at the ends.
names = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\"), min_size=1)


@few
@given(st.lists(st.tuples(names, names, st.sampled_from(["train", "val", "test"]))), st.booleans())
def test_a_split_file_is_read_as_it_was_written(tmp_path, rows, marked):
    file = tmp_path / "splits.csv"
    with file.open("w", newline="", encoding="utf-8-sig" if marked else "utf-8") as out:
        table = csv.writer(out)
        table.writerow(("file", "split"))
        table.writerows((f"{folder}/{name}.png", split) for folder, name, split in rows)
    found = [(name, split) for _, name, split in assign.read_csv(file)]
    written = [(unicodedata.normalize("NFC", f"{f}/{n}.png"), split) for f, n, split in rows]
    assert found == [(name.removeprefix("images/"), split) for name, split in written]


@few
@given(st.binary(max_size=60), st.booleans())
def test_a_split_file_of_any_bytes_is_read_or_refused(tmp_path, content, headed):
    file = tmp_path / "splits.csv"
    file.write_bytes(b"file,split\n" * headed + content)
    try:
        rows = assign.read_csv(file)
    except ConfigError:
        return
    assert all(isinstance(text, str) for _, *texts in rows for text in texts)


@few
@given(st.lists(st.binary(max_size=20) | values.map(lambda x: json.dumps(x).encode())))
def test_a_manifest_of_any_lines_is_read_or_refused(tmp_path, lines):
    (tmp_path / "manifest.jsonl").write_bytes(b"\n".join(lines))
    try:
        found = classification_data.manifest_sources(tmp_path)
    except ConfigError:
        return
    assert all(isinstance(name, str) for name in found)


@few
@given(st.dictionaries(st.sampled_from(["classes", "fingerprint", "position", "format"]), values))
def test_data_of_any_checkpoint_are_of_our_types_or_refused(tmp_path, content):
    folder = tmp_path / "checkpoints" / "1" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata").write_text(json.dumps(content))
    try:
        found = checkpoints.read_json_item(tmp_path, 1, "data")
    except ConfigError as refused:
        assert "\n" not in str(refused)
        return
    assert all(isinstance(name, str) for name in found.get("classes", []))
    assert isinstance(found.get("fingerprint", ""), str)


@few
@given(st.integers(0, 3), st.lists(st.binary(max_size=12), max_size=3))
def test_rows_up_to_a_step_outlive_any_damage(tmp_path, step, damage):
    file = tmp_path / "metrics.jsonl"
    rows = [json.dumps({"step": k}).encode() for k in (1, 2, 3)]
    file.write_bytes(b"\n".join([*damage, *rows, b""]))
    keep_rows(file, step)
    kept = [json.loads(line) for line in file.read_bytes().splitlines()]
    steps = [row["step"] for row in kept]
    assert all(k <= step for k in steps) and steps[len(steps) - step :] == [1, 2, 3][:step]


@few
@given(st.data())
def test_a_changed_byte_of_a_set_is_noticed(tmp_path, data):
    file = tmp_path / "a.png"
    content = data.draw(st.binary(min_size=1, max_size=30))
    file.write_bytes(content)
    digests.write(tmp_path)
    assert digests.faults(tmp_path) == []
    at, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    file.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
    assert digests.faults(tmp_path) == ["a.png has changed"]


sides = st.integers(1, 9)


@st.composite
def arrays(draw, values):
    height, width = draw(sides), draw(sides)
    flat = draw(st.lists(values, min_size=height * width, max_size=height * width))
    return np.asarray(flat, np.uint8).reshape(height, width, 1)


@given(arrays(st.sampled_from([0, 255])), sides, sides)
def test_a_resized_mask_is_near_the_defect_and_never_empty(mask, height, width):
    """See `images.resize_mask`: marked only where it touches, touched is marked or next to it."""
    resized = images.resize_mask(mask, (height, width))[..., 0] > 127
    rows, columns = mask.shape[:2]
    touched = np.zeros((height, width), bool)
    for y, x in np.argwhere(mask[..., 0] > 127):
        own = [_cells(at, size, new) for at, size, new in ((y, rows, height), (x, columns, width))]
        touched[np.ix_(*own)] = True
    assert resized.any() == (mask > 127).any()
    assert not (resized & ~touched).any()
    padded = np.pad(resized, 1)
    near = sum(
        padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    )
    assert (near > 0)[touched].all()


def _cells(at, size, new):
    """The cells that a pixel falls into, by middles: of smaller cells those inside it."""
    if new >= size:
        return [k for k in range(new) if (2 * k + 1) * size // (2 * new) == at]
    return [(2 * at + 1) * new // (2 * size)]


@few
@given(arrays(st.integers(0, 255)), st.sampled_from(["", "100:crack", "#ff0000:crack"]))
def test_any_mask_is_read_or_found_fault_with(tmp_path, mask, kinds):
    data = base_config().data
    data.mask_values = kinds
    picture, file = tmp_path / "a.png", tmp_path / "m.png"
    images.write_image(picture, np.full((*mask.shape[:2], 1), 90, np.uint8))
    images.write_image(file, mask)
    entry = scan.Record("crack", "crack", "a.png", picture, file)
    records, errors, _ = examine.examine(tmp_path, entry, data)
    assert bool(records) != bool(errors)
    for record in records:
        assert record.size == mask.shape[:2] and 0 <= record.area <= 1
        assert record.mask is None or record.area > 0 or record.class_name == NORMAL
