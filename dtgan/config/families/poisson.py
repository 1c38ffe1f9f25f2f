"""Fields of Poisson blending: none, it has no parameters."""

FIELDS: dict = {}
