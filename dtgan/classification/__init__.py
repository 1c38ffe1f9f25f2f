"""The experiment whether synthetic images help a classifier: arms, training, verdict."""
