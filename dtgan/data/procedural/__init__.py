"""Procedural steel: surfaces, defects and the seeded data set made of them."""

from dtgan.data.procedural.source import (
    CLASSES,
    CLASSIFIER_COUNTS,
    OWN_FAMILY,
    TRAIN_COUNTS,
    ProceduralSteel,
    class_counts,
    contact_sheet,
    render,
)

__all__ = [
    "CLASSES",
    "CLASSIFIER_COUNTS",
    "OWN_FAMILY",
    "TRAIN_COUNTS",
    "ProceduralSteel",
    "class_counts",
    "contact_sheet",
    "render",
]
