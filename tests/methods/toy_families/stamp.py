"""Fields of the toy family of tests/studio/stamp.py: none."""

FIELDS: dict = {}
