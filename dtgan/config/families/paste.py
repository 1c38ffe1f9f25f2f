"""Fields of Crop&Paste: none, it has no parameters."""

FIELDS: dict = {}
