"""Whether synthetic images help a classifier: arms, training, verdict."""
