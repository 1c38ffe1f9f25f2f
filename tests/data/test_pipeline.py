"""Pins: the training stream (order, resume, sharding, balance, flips, crops), cache, records."""

import collections
import json

import numpy as np
import pytest

from dtgan.config import ConfigError, base_config
from dtgan.data import crops, pipeline, transforms
from dtgan.data.source import Source

COUNTS = (20, 3, 7, 12)
READS = ("image", "label", "mask", "has_mask", "normal")


class FakeSource(Source):
    """Images whose every pixel is unlike any other image's; a defect's mask is one small box."""

    classes = ("normal", "dent", "scratch", "tear")
    fingerprint = "0123456789abcdef"

    def __init__(self, counts=COUNTS, size=(32, 32), masks=True):
        self.labels = np.repeat(np.arange(4, dtype=np.int32), counts)
        self.sizes = np.tile(np.array([size], np.int32), (len(self.labels), 1))
        self.size, self.masks, self.reads = size, masks, 0

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        self.reads += 1
        height, width = self.size
        label = int(self.labels[index])
        image = np.random.default_rng(index).integers(0, 256, (height, width, 1), np.uint8)
        mask = np.zeros((height, width, 1), np.uint8)
        if label and self.masks:
            mask[height - 6 : height - 3, 4:9] = 255
        known = np.bool_(self.masks)
        return {"image": image, "mask": mask, "has_mask": known, "label": label, "id": f"{index}"}


def config_of(seed=0, **data):
    config = base_config()
    config.seed = seed
    config.data.update({"res": 32, "flips": "none", **data})
    return config


def take(iterator, n):
    return [next(iterator) for _ in range(n)]


def stream(n=6, source=None, start=None, shard=(0, 1), reads=READS, **config):
    """The first n batches of a fresh iterator, from a state if one is given."""
    index, count = shard
    source = source or FakeSource()
    iterator = pipeline.train_iterator(config_of(**config), source, reads, index, count)
    if start is not None:
        iterator.set_state(start)
    batches = take(iterator, n)
    iterator.close()
    return batches


def same(a, b):
    return len(a) == len(b) and all(
        x.keys() == y.keys() and all(np.array_equal(x[k], y[k]) for k in x)
        for x, y in zip(a, b, strict=True)
    )


def whose(images, source):
    """The index in `source` of each image, flipped or not."""
    known = {
        np.flip(source[i]["image"], axes).tobytes(): i
        for i in range(len(source))
        for axes in ((), (0,), (1,), (0, 1))
    }
    return [known[image.tobytes()] for image in images]


def test_batches_have_the_contract_of_the_spec():
    config = config_of(res=32, flips="both")
    spec = pipeline.batch_spec(config, READS)
    (batch,) = stream(1, flips="both")
    assert batch.keys() == spec.keys() == set(READS)
    for name, array in batch.items():
        assert (array.shape, array.dtype) == (spec[name].shape, spec[name].dtype)
        assert array.flags.c_contiguous
        assert not any(spec[name].strides)
    assert (batch["label"] > 0).all() and batch["has_mask"].all()


def test_images_labels_and_masks_belong_together():
    source = FakeSource()
    for batch in stream(8, source):
        defects, normals = whose(batch["image"], source), whose(batch["normal"], source)
        assert np.array_equal(source.labels[defects], batch["label"])
        assert not source.labels[normals].any()
        assert np.array_equal(batch["mask"], [source[i]["mask"] for i in defects])


def test_the_stream_depends_on_the_seed_alone():
    want = stream(flips="both")
    assert same(want, stream(flips="both"))
    assert not same(want, stream(flips="both", seed=1))
    for workers in (0, 1, 4):
        assert same(want, stream(flips="both", workers=workers))


@pytest.mark.parametrize("balance", ["classes", "oversample", "none"])
def test_resume_is_exact_at_every_step(balance):
    options = {"flips": "both", "balance": balance, "size": (40, 48)}
    source = FakeSource(size=options.pop("size"))
    iterator = pipeline.train_iterator(config_of(**options), source, READS)
    states, batches = [], []
    for _ in range(12):
        states.append(json.loads(json.dumps(iterator.get_state())))
        batches.append(next(iterator))
    for step in (0, 1, 5, 11):
        assert same(batches[step:], stream(12 - step, source, states[step], workers=3, **options))
    iterator.set_state(states[4])
    assert same(batches[4:6], take(iterator, 2))
    iterator.close()


def test_processes_hold_contiguous_rows_of_the_single_stream():
    whole = stream(5, flips="both")
    parts = [stream(5, shard=(i, 2), flips="both") for i in range(2)]
    for step in range(5):
        for name, array in whole[step].items():
            for i in range(2):
                half = len(array) // 2
                assert np.array_equal(parts[i][step][name], array[i * half :][:half])
    iterator = pipeline.train_iterator(config_of(flips="both"), FakeSource(), READS, 1, 2)
    take(iterator, 3)
    assert same(whole[3:], stream(2, start=iterator.get_state(), flips="both"))
    iterator.close()
    with pytest.raises(ConfigError, match="batch_size=8 is not divisible by 3 processes"):
        pipeline.train_iterator(config_of(), FakeSource(), READS, 0, 3)


def test_classes_are_balanced_in_every_round():
    labels = np.concatenate([b["label"] for b in stream(15, batch_size=6)])
    rounds = labels.reshape(-1, 3)
    assert (np.sort(rounds) == [1, 2, 3]).all()
    assert len({tuple(r) for r in rounds.tolist()}) == 6  # no fixed order within the round


def test_a_class_without_images_is_left_out():
    labels = np.concatenate([b["label"] for b in stream(3, FakeSource((5, 2, 0, 1)))])
    assert set(labels.tolist()) == {1, 3}


def test_none_is_uniform_over_images():
    source = FakeSource()
    batches = stream(11, source, balance="none", batch_size=4)
    seen = whose(np.concatenate([b["image"] for b in batches]), source)
    assert set(collections.Counter(seen).values()) == {2}  # 44 draws of 22 defects: two epochs
    assert seen[:22] != seen[22:]


def test_oversampling_is_that_of_the_thesis():
    got = pipeline.oversample((105, 28, 163, 25, 167, 40), 40)
    assert got == (105, 84, 163, 75, 167, 120)


def test_oversampled_images_come_plain_and_flipped_both_ways():
    source = FakeSource()
    entries = pipeline.oversample(COUNTS[1:], 7)
    batches = stream(sum(entries), source, balance="oversample", oversample_at_most=7, batch_size=1)
    images = [b["image"][0] for b in batches]
    seen = collections.Counter(whose(images, source))
    assert all(seen[i] == (3 if source.labels[i] < 3 else 1) for i in range(20, len(source)))
    first = source[20]["image"]
    shown = {image.tobytes() for image in images}
    assert {np.flip(first, axes).tobytes() for axes in ((), (0,), (1,))} <= shown
    assert np.flip(first, (0, 1)).tobytes() not in shown


def test_normals_are_drawn_independently_of_defects():
    source = FakeSource((12, 4, 4, 4))
    batches = stream(60, source, batch_size=12, balance="none")
    defects = whose(np.concatenate([b["image"] for b in batches]), source)
    normals = whose(np.concatenate([b["normal"] for b in batches]), source)
    assert set(collections.Counter(normals).values()) == {60}
    # 720 pairs over 144 cells: all but 144 exp(-5) = 1 of them are met.
    assert len(set(zip(defects, normals, strict=True))) > 130


@pytest.mark.parametrize(
    ("flips", "rolling", "axes"),
    [
        ("along", "horizontal", {(), (1,)}),
        ("across", "horizontal", {(), (0,)}),
        ("along", "vertical", {(), (0,)}),
        ("across", "vertical", {(), (1,)}),
        ("both", "vertical", {(), (0,), (1,), (0, 1)}),
        ("none", "horizontal", {()}),
    ],
)
def test_flips_respect_the_rolling_direction(flips, rolling, axes):
    source = FakeSource()
    batches = stream(25, source, flips=flips, rolling=rolling)
    masks = np.concatenate([batch["mask"] for batch in batches])
    for name in ("image", "normal"):
        shown, counts = np.concatenate([batch[name] for batch in batches]), collections.Counter()
        for image, mask, index in zip(shown, masks, whose(shown, source), strict=True):
            record = source[index]
            (done,) = (
                flip
                for flip in ((), (0,), (1,), (0, 1))
                if np.array_equal(np.flip(record["image"], flip), image)
            )
            counts[done] += 1
            assert name == "normal" or np.array_equal(np.flip(record["mask"], done), mask)
        assert set(counts) == axes
        assert max(counts.values()) - min(counts.values()) < 60


def test_x1_and_x2_flip_independently():
    batches = stream(30, FakeSource(), flips="along")
    source = FakeSource()
    plain = {source[i]["image"].tobytes() for i in range(len(source))}
    pairs = [
        (a.tobytes() in plain, b.tobytes() in plain)
        for batch in batches
        for a, b in zip(batch["image"], batch["normal"], strict=True)
    ]
    assert min(collections.Counter(pairs).values()) > 30 and len(set(pairs)) == 4


def test_training_crops_hold_part_of_the_defect():
    source = FakeSource(size=(80, 120))
    batches = stream(20, source, scale_to=-1)
    assert all(batch["mask"].any(axis=(1, 2, 3)).all() for batch in batches)
    assert len({batch["mask"].tobytes() for batch in batches}) > 10


def test_images_are_scaled_with_their_masks():
    config = config_of(res=32)
    record = transforms.scale_record(FakeSource(size=(64, 96))[25], config.data)
    assert record["image"].shape == (32, 48, 1) == record["mask"].shape
    assert set(np.unique(record["mask"])) == {0, 255}
    with pytest.raises(ConfigError, match=r"image 25 16x16 is smaller than data\.res=32; "):
        transforms.scale_record(FakeSource(size=(16, 16))[25], config.data)
    config.data.upscale = True
    assert transforms.scale_record(FakeSource(size=(16, 16))[25], config.data)["image"].shape == (
        (32, 32, 1)
    )


def test_the_cache_changes_reads_and_not_the_stream():
    cached, direct = FakeSource(size=(64, 64)), FakeSource(size=(64, 64))
    want = stream(30, direct, flips="both", cache_mb=0)
    assert same(want, stream(30, cached, flips="both", cache_mb=64, workers=0))
    assert cached.reads <= len(cached) < direct.reads


def test_the_cache_keeps_to_its_budget():
    source = FakeSource((0, 0, 0, 3), size=(1024, 512))  # 0.5 MB each, and as much of mask
    cached = crops.CachedSource(source, config_of(res=64, scale_to=-1, cache_mb=1))
    for _ in range(2):
        for i in range(3):
            assert np.array_equal(cached[i]["mask"], FakeSource.__getitem__(source, i)["mask"])
    assert source.reads == 6 + 1 + 2 + 2


def test_records_without_masks():
    source = FakeSource(masks=False)
    (batch,) = stream(1, source)
    assert not batch["has_mask"].any() and not batch["mask"].any()
    records = pipeline.load_records(config_of(), source, [0, 30])
    assert not records["has_mask"].any() and not records["mask"].any()


def test_load_records_keeps_the_order_asked_for():
    source, config = FakeSource(size=(40, 64)), config_of(scale_to=-1)
    records = pipeline.load_records(config, source, [30, 2, 30])
    assert records["index"].tolist() == [30, 2, 30]
    assert records["label"].tolist() == [int(source.labels[i]) for i in (30, 2, 30)]
    assert np.array_equal(records["image"][0], source[30]["image"][8:40, 0:32])
    assert np.array_equal(records["image"][1], source[2]["image"][4:36, 16:48])
    assert records["mask"][0].any() and not records["mask"][1].any()
    empty = pipeline.load_records(config, source, [])
    assert empty["image"].shape == (0, 32, 32, 1)


def test_eval_pairs_go_round_the_classes():
    source = FakeSource()
    defects, normals = pipeline.eval_pairs(source, 27, seed=0)
    assert source.labels[defects].tolist() == [1, 2, 3] * 9
    assert not source.labels[normals].any()
    assert len(set(normals[:20].tolist())) == 20  # all normals before any comes again
    assert len(set(defects[2::3].tolist())) == 9
    distinct, others = pipeline.eval_pairs(source, 100, seed=0, distinct=True)
    assert sorted(distinct) == np.flatnonzero(source.labels).tolist() and len(others) == 22
    assert source.labels[distinct[:9]].tolist() == [1, 2, 3] * 3
    few, _ = pipeline.eval_pairs(source, 5, seed=0, distinct=True)
    assert np.array_equal(few, distinct[:5])
    fewer = pipeline.eval_pairs(source, 10, seed=0)
    assert np.array_equal(fewer[0], defects[:10]) and np.array_equal(fewer[1], normals[:10])
    assert not np.array_equal(pipeline.eval_pairs(source, 27, seed=1)[0], defects)


@pytest.mark.parametrize("counts", [(0, 1, 1, 1), (4, 0, 0, 0)])
def test_pairs_need_defects_and_normals(counts):
    found = (
        rf"hold {sum(counts[1:])} defect and {counts[0]} normal images; defect and normal images"
    )
    with pytest.raises(ConfigError, match=found):
        pipeline.train_iterator(config_of(), FakeSource(counts), READS)
    with pytest.raises(ConfigError, match=found):
        pipeline.eval_pairs(FakeSource(counts), 4, 0)


def test_one_kind_of_image_suffices_where_the_other_is_not_read():
    surfaces, defects = FakeSource((4, 0, 0, 0)), FakeSource((0, 2, 2, 2))
    (batch,) = stream(1, surfaces, reads=("normal",))
    assert batch.keys() == {"normal"} and batch["normal"].shape == (8, 32, 32, 1)
    assert set(whose(batch["normal"], surfaces)) == set(range(4))
    (batch,) = stream(1, defects, reads=("image", "label"))
    assert batch.keys() == {"image", "label"}
    assert np.array_equal(defects.labels[whose(batch["image"], defects)], batch["label"])
    spec = pipeline.batch_spec(config_of(), ("image", "label"))
    assert {name: array.shape for name, array in batch.items()} == {
        name: array.shape for name, array in spec.items()
    }
    with pytest.raises(ConfigError, match="0 defect and 4 normal images; defect images are"):
        pipeline.train_iterator(config_of(), surfaces, ("image", "label"))
    with pytest.raises(ConfigError, match="6 defect and 0 normal images; normal images are"):
        pipeline.train_iterator(config_of(), defects, ("normal",))


def test_a_stream_of_one_kind_goes_on_where_it_was():
    source = FakeSource()
    iterator = pipeline.train_iterator(config_of(flips="both"), source, ("normal",))
    take(iterator, 3)
    state = json.loads(json.dumps(iterator.get_state()))
    want = take(iterator, 3)
    iterator.close()
    assert same(want, stream(3, source, state, reads=("normal",), flips="both", workers=3))


def test_streams_of_randomness_have_unrelated_seeds():
    seeds = {pipeline.stream_seed(s, n) for s in range(50) for n in ("augment", "normals", "x")}
    assert len(seeds) == 150 and all(0 <= seed < 2**31 for seed in seeds)
