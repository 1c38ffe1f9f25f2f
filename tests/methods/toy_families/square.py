"""Fields of a toy family: none."""

FIELDS: dict = {}
