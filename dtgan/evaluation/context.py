"""The context in which checkpoints of one run are judged: data, extractors, cached features."""

import functools
import hashlib
import logging
import os
import pathlib
import shutil
from typing import NamedTuple

import numpy as np

from dtgan import config as config_lib
from dtgan import sharding
from dtgan.config import ConfigError, nearest
from dtgan.data import account, catalog, crops, pipeline
from dtgan.data.records import Records
from dtgan.data.splits import SPLITS, free_split
from dtgan.evaluation import domain
from dtgan.methods.registry import make_method
from dtgan.metrics import features, inception, lpips
from dtgan.metrics.resize import MODES
from dtgan.progress import track
from dtgan.runs import checkpoints
from dtgan.sampling import requests

log = logging.getLogger("dtgan")

CHUNK = 256  # images in one cache entry: what a killed job loses at most
EXTRACTORS = ("domain", "inception")
LPIPS = ("domain", *sorted(lpips.BACKBONES))
LPIPS_BYTES = 2**30  # of embeddings held at a time


class Settings(NamedTuple):
    """Settings of an evaluation; they go into its report."""

    num_fake: int = 5000  # synthetic images, over all classes
    num_pairs: int = 256  # held-out pairs of the transfer error, no defect twice
    extractor: str = "domain"  # of EXTRACTORS
    weights: str = ""  # safetensors file of the extractor
    weights_sha256: str = ""  # accept this content digest, whatever its source
    resize: str = "tf1"  # of Inception's input
    lpips: str = "domain"  # of LPIPS
    lpips_weights: str = ""  # safetensors file of that backbone
    lpips_sha256: str = ""
    split: str = "test"  # real images to compare with
    seed: int = 0  # of pairs, noise, subsets, resampling
    data_path: str = ""  # where the data are now, if they were moved


class Context:
    """Data and extractors of one run; makes nothing that depends on a checkpoint's parameters."""

    def __init__(self, workdir, step, settings, out):
        """`step`: any good checkpoint; the config and the data are the same in all of them.

        Raises ConfigError for settings that cannot be met, before anything expensive starts.
        """
        self.settings = settings
        self.config = config_lib.from_dict(checkpoints.read_json_item(workdir, step, "config"))
        trained = checkpoints.read_json_item(workdir, step, "data")
        if settings.data_path:
            self.config.data.path = settings.data_path
        self.classes = tuple(trained["classes"])
        method = make_method(self.config, self.classes)
        requests.check_classes(method, self.config.method, self.classes[1:])
        self.sources = self._open_sources()  # in the end of their fixed crops
        self._check_data(trained["fingerprint"])
        self.held_out = free_split(settings.split, self.config.data.split)
        self.mesh = sharding.make_mesh()
        self.cache = features.Cache(pathlib.Path(out) / "cache" / "real")
        self._splits, self.lpips_raw, self.both = {}, None, None
        self._open_extractors(workdir if os.access(workdir, os.W_OK) else out)

    @property
    def train(self):
        """Records of the split that was trained on."""
        return self.split(self.config.data.split)

    def split(self, name):
        """Read all records of a split, scaled and cropped as in validation; none for None."""
        if name not in self._splits:
            source = self.sources.get(name)
            rows = np.arange(0 if source is None else len(source))
            source = self.sources[self.config.data.split] if source is None else source
            record = pipeline.load_records(self.config, source, rows)
            self._splits[name] = Records(**record)
        return self._splits[name]

    def features(self, images, cache=None, embeddings=None):
        """Extract {"pool", "tap64", ...} of uint8 images, or read them from the cache.

        embeddings: float32 [N, D], to be filled with what `embed` gives, in the same pass through
        `both`.
        """
        extractor, cache = self.extractor, cache or self.cache
        parts = []
        with track("extracting features", len(images), "images") as done:
            for start in range(0, max(len(images), 1), CHUNK):
                chunk = np.ascontiguousarray(images[start : start + CHUNK])
                what = {
                    "extractor": [extractor.name, extractor.sha256, extractor.resize],
                    "images": [list(chunk.shape), hashlib.sha256(chunk.tobytes()).hexdigest()],
                    "data": self.fingerprint,
                }
                lpips = []

                def extract(chunk=chunk, lpips=lpips):
                    found = features.extract(self.both or extractor, chunk, self.mesh)
                    lpips += [found.pop("lpips")] if self.both else []
                    return found

                parts.append(cache.get(what, extract))
                if embeddings is not None:
                    embeddings[start : start + CHUNK] = lpips[0] if lpips else self.embed(chunk)
                done(len(chunk))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def embedded_features(self, images, cache=None):
        """Extract (features, LPIPS embeddings) of uint8 images.

        The embeddings are None where two networks give these, or where so many would not fit into
        memory; `embed` then gives those that are needed.
        """
        if self.both is None or len(images) > self.lpips_limit():
            return self.features(images, cache), None
        embeddings = np.empty((len(images), self._embedding_size), np.float32)
        return self.features(images, cache, embeddings), embeddings

    def embed(self, images):
        """Compute LPIPS embeddings float32 [N, D] of uint8 images; see `lpips_limit`."""
        return features.extract(self.both or self.lpips, images, self.mesh)["lpips"]

    def embed_raw(self, images):
        """Embed images fed as 0..255 instead; None where no published backbone is used."""
        if self.lpips_raw is None:
            return None
        return features.extract(self.lpips_raw, images, self.mesh)["lpips"]

    def lpips_limit(self):
        """Return how many embeddings fit into LPIPS_BYTES."""
        return LPIPS_BYTES // (4 * self._embedding_size)

    @functools.cached_property
    def _embedding_size(self):
        return self.embed(np.zeros((1, *self.train.image.shape[1:]), np.uint8)).shape[1]

    def _open_sources(self):
        """Open the trained-on and all other splits: {split: source, None if it holds no images}."""
        try:
            return {
                split: catalog.open_checked(self.config, split, needed=False)[0]
                for split in dict.fromkeys((self.config.data.split, *SPLITS))
            }
        except ConfigError as error:
            raise catalog.with_new_place(error, self.config.data) from error

    def _check_data(self, trained):
        """Refuse other data than the run was trained on, and a split without defects or normals."""
        source = self.sources[self.config.data.split]
        path = self.config.data.path or self.config.data.source
        found = "nothing" if source is None else source.fingerprint
        if found != trained:
            raise ConfigError(
                f"the data in {path} are not those of the run (fingerprint {trained}, now {found});"
                " restore them, or name their new place with --data_path=DIR"
            )
        self.fingerprint = trained
        split = self.settings.split
        check_split(self.sources, split, path)
        judged = {name: self.sources[name] for name in (self.config.data.split, split)}
        self.findings = account.tell(judged, self.config.data)["findings"]
        self.sources = {
            split: source and crops.FixedWindows(source, self.config)
            for split, source in self.sources.items()
        }

    def _open_extractors(self, directory):
        s, domain_pair, inception_features = self.settings, None, None
        if s.extractor == "inception":  # first: a missing file must not cost a training
            inception_features = inception.extractor(s.weights, s.resize, s.weights_sha256)
        if s.lpips != "domain":
            self.lpips = lpips.extractor(s.lpips, s.lpips_weights, s.lpips_sha256)
            raw = lpips.extractor(s.lpips, s.lpips_weights, s.lpips_sha256, scaled=False)
            self.lpips_raw = raw
        if "domain" in (s.extractor, s.lpips):
            own = s.extractor == "domain"  # else its weights are those of --lpips_weights
            domain_pair = domain.open_extractors(
                directory,
                self.train.image,
                self.train.label,
                self.classes,
                path=s.weights if own else s.lpips_weights,
                sha256=s.weights_sha256 if own else s.lpips_sha256,
            )
        self.extractor = inception_features or domain_pair.features
        if s.lpips == "domain":
            self.lpips = domain_pair.lpips
        if s.extractor == s.lpips == "domain":
            self.both = domain_pair.both  # one program in the place of two


class StepCache(features.Cache):
    """Cache of one step's synthetic images and features; removed when the report is written."""

    def __init__(self, out, step):
        super().__init__(pathlib.Path(out) / "cache" / f"step-{step}")

    def remove(self):
        """Delete all entries."""
        shutil.rmtree(self.directory, ignore_errors=True)


def check_split(sources, split, path):
    """Raise ConfigError where a split lacks normals or defects, with the splits that have both.

    sources: {split: source or None}; path: of the data, for the message.
    """
    usable = [
        name
        for name in SPLITS
        if sources[name] is not None
        and 0 < np.count_nonzero(sources[name].labels) < len(sources[name])
    ]
    if split in usable:
        return
    source, found = sources[split], "no images"
    if source is not None:
        counts = np.bincount(source.labels, minlength=len(source.classes))
        named = zip(counts, source.classes, strict=True)
        found = ", ".join(f"{number} {name}" for number, name in named)
    remedy = " or ".join(f"--split={name}" for name in usable) or "more images"
    raise ConfigError(
        f"the split {split!r} of {path} holds {found}; normal and defect images are needed; use "
        f"{remedy}"
    )


def check(settings):
    """Raise ConfigError for values of Settings that do not exist or do not fit together."""
    choices = {"extractor": EXTRACTORS, "resize": MODES, "lpips": LPIPS, "split": SPLITS}
    for name, known in choices.items():
        value = getattr(settings, name)
        if value not in known:
            raise ConfigError(
                f"--{name}={value} is not one of {', '.join(known)}{nearest(value, known)}"
            )
    for name in ("num_fake", "num_pairs"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"--{name}={getattr(settings, name)} is below 1")
    if settings.extractor == settings.lpips == "domain" and settings.lpips_weights:
        raise ConfigError(
            "--lpips_weights goes with --lpips=alex, vgg, squeeze, or with --extractor=inception; "
            "the file of the domain classifier is --weights"
        )
    if settings.seed < 0:
        raise ConfigError(f"--seed={settings.seed} is below 0")


def settings_json(settings):
    """Select the settings for a report; files and resize stand there beside their extractor."""
    kept = ("num_fake", "num_pairs", "extractor", "lpips", "split", "seed")
    return {name: getattr(settings, name) for name in kept}
