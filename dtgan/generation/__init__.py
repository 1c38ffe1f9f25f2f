"""Labelled synthetic defect images as a data set on disk."""
