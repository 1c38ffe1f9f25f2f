"""Pins what is kept, undone and removed, which uploads are refused, and that tabs are apart."""

import json

import numpy as np
import pytest

from dtgan import images
from dtgan.config import ConfigError, base_config
from dtgan.data.folders.folder import FolderSource
from dtgan.generation import dataset
from dtgan.studio.kept import Kept
from dtgan.studio.render import Wish
from dtgan.studio.session import SHELF, Session, Shelf
from dtgan.studio.stock import WIDEST
from tests.studio.conftest import CLASSES


def manifest(studio):
    return [json.loads(x) for x in (studio.kept.out / "manifest.jsonl").read_text().splitlines()]


def draw_tear(session, **wish):
    session.open_class(CLASSES.index("tear"))
    return session.draw(Wish(CLASSES.index("tear"), **wish))


def test_what_is_kept_is_a_set_of_generate(session, studio):
    drawn = draw_tear(session, move=(0.1, 0.0))
    record = session.keep()
    out = studio.kept.out
    dataset.verify(out)
    kept, surface = manifest(studio)
    assert kept == json.loads(json.dumps(record)) and kept["studio"] and kept["synthetic"]
    assert kept["class"] == "tear" and kept["label"] == 5
    assert kept["defect"] == session.defect.name and kept["surface"] == session.surface.name
    assert kept["varied"]["shift"][0] == pytest.approx(0.1, abs=0.02)
    assert set(dataset.__doc__.split()) >= {"OUT/manifest.jsonl"} and surface["class"] == "normal"
    for key, name in (
        ("file", "image"),
        ("mask", "hard"),
        ("soft_mask", "soft"),
        ("twin", "clean"),
    ):
        there = images.read_image(out / kept[key], 1)
        assert np.array_equal(there, drawn.pictures[name]), key
    assert (out / "labels/tear/tear_000000.txt").read_text()
    coco = json.loads((out / "annotations/instances_train.json").read_text())
    assert len(coco["annotations"]) == len(kept["instances"]) > 0


def test_others_read_what_is_kept(session, studio):
    for turn in range(4):
        for name in ("tear", "mark"):
            session.choose_surface(turn)
            session.open_class(CLASSES.index(name))
            session.draw(Wish(CLASSES.index(name), move=(0.02 * turn, 0.0)))
            session.keep()
    data = base_config().data
    data.path, data.res = str(studio.kept.out), 32
    found = FolderSource(data, "train+val+test")
    assert found.classes == ("normal", "mark", "tear")
    assert np.bincount(found.labels).tolist() == [4, 4, 4] and found[5]["has_mask"]


def test_undo_and_remove(session, studio):
    draw_tear(session)
    first = session.keep()["file"]
    with pytest.raises(ConfigError, match="kept already"):
        session.keep()
    session.choose_surface(1)
    draw_tear(session)
    second = session.keep()["file"]
    assert [r["file"] for r in manifest(studio)[:2]] == [first, second]
    session.remove(first)
    assert [r["file"] for r in studio.kept.records] == [second]
    assert not (studio.kept.out / first).exists() and len(manifest(studio)) == 2
    dataset.verify(studio.kept.out)
    assert first in session.undo() and (studio.kept.out / first).exists()
    dataset.verify(studio.kept.out)
    session.undo()
    assert [r["file"] for r in studio.kept.records] == [first]
    session.undo()
    assert manifest(studio) == [] and not list((studio.kept.out / "images").iterdir())
    assert not list((studio.kept.out / "labels").iterdir())
    with pytest.raises(ConfigError, match="nothing to undo"):
        session.undo()


def test_two_tabs_are_apart(session, studio):
    other = Session(studio)
    draw_tear(session)
    session.keep()
    assert other.drawn is None and other.defect.name != session.defect.name
    with pytest.raises(ConfigError, match="draw first"):
        other.keep()
    with pytest.raises(ConfigError, match="nothing to undo in this tab"):
        other.undo()
    draw_tear(other)
    assert other.keep()["file"] != session.studio.kept.records[0]["file"]
    session.undo()
    assert len(studio.kept.records) == 1


def test_what_comes_back_takes_nobodys_place(session, studio):
    other = Session(studio)
    draw_tear(session)
    removed = session.keep()
    session.remove(removed["file"])
    other.choose_surface(1)
    draw_tear(other)
    kept = other.keep()
    session.undo()
    assert [r["file"] for r in studio.kept.records] == [kept["file"], removed["file"]]
    assert len({r["surface_index"] for r in studio.kept.records}) == 2
    dataset.verify(studio.kept.out)


@pytest.mark.parametrize("field", [{"file": "../../x.png"}, {"mask": "/etc/x"}, {"number": None}])
def test_a_strangers_manifest_names_no_files_elsewhere(session, studio, field):
    draw_tear(session)
    record = session.keep() | field
    studio.kept.close()
    (studio.kept.out / "manifest.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(ConfigError, match=r"manifest\.jsonl is damaged .*no record of this"):
        Kept(studio.kept.out, CLASSES)


def test_nothing_is_kept_where_nothing_shows(session):
    draw_tear(session, strength=0.0)
    with pytest.raises(ConfigError, match="nothing to label"):
        session.keep()


def test_a_shelf_turns():
    shelf = Shelf(range(SHELF + 2))
    assert shelf.shown == list(range(SHELF))
    shelf.turn()
    assert shelf.shown == [SHELF, SHELF + 1]
    shelf.turn()
    assert shelf.shown[0] == 0


def test_an_uploaded_strip_stays_as_it_is(session, save):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 100), np.uint8)
    surface = session.upload_surface(save("strip.png", pixels))
    assert np.array_equal(surface.image[..., 0], pixels) and surface.name == "upload:strip.png"
    assert not surface.notes


@pytest.mark.parametrize(
    ("mode", "note"),
    [((4,), "transparency"), ((3,), "in colour"), ((), "")],
    ids=["transparent", "colour", "grey"],
)
def test_other_channels_are_told(session, save, mode, note):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, *mode), np.uint8)
    notes = " ".join(session.upload_surface(save("a.png", pixels)).notes)
    assert note in notes and "scaled from 40 x 40 to 32 x 32" in notes


def test_bad_uploads_are_refused_in_words(session, save, tmp_path):
    before = session.surface
    (tmp_path / "notes.png").write_text("not a picture")
    cases = {
        str(tmp_path / "notes.png"): "notes.png: unreadable: whatever its suffix says",
        save("small.png", np.zeros((8, 90))): "small.png: too small: 90 x 8 pixels",
        save("wide.png", np.zeros((64, 20_000))): f"wide.png: too wide: .* above the {WIDEST}",
    }
    for path, words in cases.items():
        with pytest.raises(ConfigError, match=words):
            session.upload_surface(path)
    assert session.surface is before


def test_a_bomb_is_refused_before_it_is_decoded(session, save):
    session.studio.stock.config.data.max_megapixels = 0.001
    try:
        with pytest.raises(ConfigError, match=r"studio --max_megapixels=0\.0"):
            session.upload_surface(save("bomb.png", np.zeros((64, 64))))
    finally:
        session.studio.stock.config.data.max_megapixels = 179.0


def test_a_mask_goes_with_an_uploaded_defect(session, save, spot):
    picture, mask = spot
    defect = session.upload_defect(save("a.png", picture), save("a_mask.png", mask[..., 0]))
    assert np.array_equal(defect.mask, mask)
    with pytest.raises(ConfigError, match=r"half.png: 16 x 32 pixels for a picture of 32 x 32"):
        session.upload_defect(save("a.png", picture), save("half.png", mask[:, :16, 0]))
    with pytest.raises(ConfigError, match="marks no pixel"):
        session.upload_defect(save("a.png", picture), save("none.png", mask[..., 0] * 0))


def test_a_set_is_one_studios(studio, tmp_path):
    with pytest.raises(ConfigError, match="open in another studio"):
        Kept(studio.kept.out, CLASSES)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("a")
    with pytest.raises(ConfigError, match="not empty and holds no set of the studio"):
        Kept(tmp_path / "mine", CLASSES)
    studio.kept.close()
    with pytest.raises(ConfigError, match="holds a set with masks=True, this one has masks=False"):
        Kept(studio.kept.out, CLASSES, masks=False)
    with pytest.raises(ConfigError, match="holds a set with classes="):
        Kept(studio.kept.out, CLASSES[:3])


def test_a_kill_amid_a_keep_leaves_a_set(session, studio):
    draw_tear(session)
    file = session.keep()["file"]
    out = studio.kept.out
    studio.kept.close()
    (out / "_SUCCESS").unlink()
    images.write_image(out / "images/tear/tear_000001.png", np.zeros((32, 32, 1), np.uint8))
    again = Kept(out, CLASSES)
    assert [r["file"] for r in again.records] == [file]
    assert not (out / "images/tear/tear_000001.png").exists()
    dataset.verify(out)
    again.close()
