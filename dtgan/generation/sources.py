"""What a set is drawn from: the run's data, defects, surfaces, and whole pictures of these."""

import logging
from typing import Any, NamedTuple

import numpy as np

from dtgan.config import ConfigError
from dtgan.data import account, catalog, crops, pipeline, windows
from dtgan.data.clean import PART
from dtgan.data.folders import loose
from dtgan.data.source import Selected, normals_of
from dtgan.generation import surfaces as surfaces_lib
from dtgan.generation.native import Pictures
from dtgan.runs import checkpoints
from dtgan.sampling import projection

log = logging.getLogger("dtgan")


class Opened(NamedTuple):
    """What a set is drawn from; None for what the method or the settings do without.

    trained: the source of the run's training; defects: crops.FixedWindows; surfaces: likewise,
    or, of whole pictures, a source of these; cached: both, as of crops.CachedSource. limits:
    surfaces.Limits. scale: of the training, in pixels per pixel of a whole picture; pictures:
    native.Pictures. projected: projection.Projected of the surfaces, by index; see `project`.
    """

    trained: Any
    defects: Any
    surfaces: Any
    cached: tuple
    limits: Any
    scale: float | None
    pictures: Any
    projected: Any = None

    def described(self):
        """Describe what the bytes of a set depend on: of the images, wherever they lie."""
        return {
            "backgrounds": self.surfaces and self.surfaces.fingerprint,
            "references": self.defects and self.defects.fingerprint,
            "limits": self.limits and self.limits.fingerprint,
            "scale": self.scale,
        }


def open_all(workdir, sampler, settings):
    """Open what a set is drawn from: `Opened`. settings: plan.Settings.

    Raises ConfigError for data that are not those of the run, and for what the method cannot use.
    """
    config, method = sampler.config, sampler.method
    trained = _trained(workdir, sampler)
    whole = settings.size == "native"
    scale = _scale_of(sampler, trained) if whole else None
    defects, surfaces = _open_two(sampler, settings, trained, scale)
    limits = pictures = None
    if settings.limits:
        if not whole:
            surfaces_lib.check_limits(f"--limits={settings.limits}", method, config.method)
        limits = surfaces_lib.Limits(settings.limits, surfaces, config)
    if whole:
        pictures = Pictures(surfaces, config.data, scale, settings.mask_threshold)
    cached = tuple(s and crops.CachedSource.of(s, config) for s in (defects, surfaces))
    return Opened(trained, defects, surfaces, cached, limits, scale, pictures)


def project(opened, sampler, settings):
    """Search the surfaces among the styles of a model that draws its own: an `Opened`."""
    if opened.surfaces is None or "normal" in pipeline.kinds_of(sampler.method.needs):
        return opened
    rows = np.arange(len(opened.surfaces))
    image = pipeline.load_records(sampler.config, opened.cached[1], rows)["image"]
    found = projection.project(sampler, image, settings.projection_steps)
    return opened._replace(projected=found)


def open_trained(config):
    """Open the data that a run was trained on; a ConfigError names the flag of their new place."""
    try:
        return catalog.open_source(config, config.data.split)
    except ConfigError as error:
        raise catalog.with_new_place(error, config.data) from error


def _trained(workdir, sampler):
    """Open the data that a run was trained on. Raises ConfigError where they are others now."""
    config, classes = sampler.config, sampler.classes
    trained = open_trained(config)
    if tuple(trained.classes) != tuple(classes):
        raise ConfigError(
            f"the data have the classes {', '.join(trained.classes)}, the run was trained on "
            f"{', '.join(classes)}; give the run's data with --data_path"
        )
    fingerprint = checkpoints.read_json_item(workdir, sampler.step, "data")["fingerprint"]
    if trained.fingerprint != fingerprint:
        raise ConfigError(
            f"the data in {config.data.path or config.data.source} are not those of the run "
            f"(fingerprint {fingerprint}, now {trained.fingerprint}); restore them, or name their "
            "new place with --data_path=DIR"
        )
    return trained


def kinds_of(method, settings):
    """List the kinds of images that are drawn from: those that a method needs, and surfaces that
    are searched for among its styles."""
    kinds = pipeline.kinds_of(method.needs)
    searched = settings.backgrounds and method.styles and "clean" in method.gives
    return (*kinds, "normal") if searched else kinds


def _open_two(sampler, settings, trained, scale):
    """Open (source of defects, source of surfaces); None for what the model does not need.

    scale: of the training, of whole pictures alone; see `_scale_of`.
    """
    config, classes = sampler.config, sampler.classes
    kinds = kinds_of(sampler.method, settings)
    for kind, flag in (("defect", "references"), ("normal", "backgrounds")):
        if getattr(settings, flag) and kind not in kinds:
            raise ConfigError(
                f"--{flag}={getattr(settings, flag)}: method={config.method} draws from no "
                f"{kind} images; leave it out"
            )
    defects = surfaces = None
    if "defect" in kinds:
        defects, role = trained, config.data.split
        if settings.references:
            defects = loose.open_labelled(settings.references, classes, config.data, "--references")
            role = "--references"
        catalog.check_sizes(defects, config)
        account.tell({role: defects}, config.data)
        defects = crops.FixedWindows(defects, config)
    if "normal" in kinds:
        surfaces = trained
        if settings.backgrounds:
            surfaces = loose.open_surfaces(settings.backgrounds, classes, config.data)
        surfaces = normals_of(surfaces)
        if settings.size == "native":
            surfaces = surfaces if settings.backgrounds else _pictures(surfaces, scale, config)
        else:
            catalog.check_sizes(surfaces, config)
            surfaces = crops.FixedWindows(surfaces, config)
    return defects, surfaces


def _pictures(surfaces, scale, config):
    """Leave out of a run's own surfaces those that are no whole pictures, or too small for one.

    scale: of the training, in pixels per pixel of a picture.
    """
    whole = [row for row in range(len(surfaces)) if not surfaces.id(row).endswith(PART)]
    least = config.data.res / scale
    kept = [row for row in whole if min(surfaces.sizes[row]) >= least]
    if len(kept) < len(whole):
        log.warning(
            "%d of %d surfaces are smaller than the %.0f pixels of a window; not drawn on",
            *(len(whole) - len(kept), len(whole), least),
        )
    if not kept:
        raise ConfigError(
            "--size=native: no surface of the run is a whole picture and large enough; give "
            "--backgrounds"
        )
    return Selected(surfaces, kept)


def _scale_of(sampler, trained):
    """Compute at which scale a run has seen its defects, in pixels per pixel of their pictures.

    It is the median of the training defects: without data.scale each picture has its own. Raises
    ConfigError for a method that does not draw a defect on a given surface.
    """
    method, name = sampler.method, sampler.config.method
    if "surface" not in method.needs or not {"mask", "clean"} <= set(method.gives):
        raise ConfigError(
            f"--size=native: method={name} does not draw a defect and its mask on a given surface; "
            "use --size=crop"
        )
    rows = np.flatnonzero(trained.labels)
    sizes = [trained.sizes[row] for row in rows]
    return float(np.median([windows.scale_of(size, sampler.config.data) for size in sizes]))
