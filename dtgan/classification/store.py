"""What an experiment has finished, on disk: a killed one goes on seed by seed.

OUT/experiment.json                    what all of it depends on
OUT/arms/<arm>/<seeds>.npz             Seeds
OUT/classifiers/<arm>.safetensors      the seed with the least validation error so far
"""

import hashlib
import json
import os
import pathlib
from typing import NamedTuple

import numpy as np

from dtgan.config import ConfigError
from dtgan.runs.workdir import write_text
from dtgan.weights import published


class Seeds(NamedTuple):
    """Some seeds of an arm, a row each."""

    logits: np.ndarray  # of the test images [S, N, K]
    val_error: np.ndarray  # balanced, of the chosen step [S]
    step: np.ndarray  # chosen [S]
    shown: np.ndarray  # how often each training image was seen, mean over the seeds


class Store:
    """The directory of one experiment."""

    def __init__(self, out, described):
        """described: JSON-able, all that the results depend on.

        Raises ConfigError where `out` holds another experiment, or cannot be written.
        """
        self.out = pathlib.Path(out)
        described = json.loads(json.dumps(described))
        file = self.out / "experiment.json"
        try:
            if file.exists():
                _compare(out, json.loads(file.read_text()), described)
            self.out.mkdir(parents=True, exist_ok=True)
            write_text(file, json.dumps(described, indent=2) + "\n")
        except OSError as error:
            raise ConfigError(f"--out={out} cannot be written ({error.strerror})") from error

    def load(self, arm, seeds):
        """The finished Seeds, None where there are none."""
        file = self._file(arm, seeds)
        if not file.exists():
            return None
        with np.load(file) as found:
            return Seeds(*(found[name] for name in Seeds._fields))

    def save(self, arm, seeds, result):
        """Keep Seeds; the file appears at once or not at all."""
        file = self._file(arm, seeds)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        with open(part, "wb") as stream:
            np.savez_compressed(stream, **result._asdict())
        os.replace(part, file)

    def save_classifier(self, arm, state, network, about):
        """Keep the parameters {name: array} as the arm's classifier; about: {name: text}."""
        published.write(self.out / "classifiers" / f"{arm}.safetensors", state, network, **about)

    def save_predictions(self, **arrays):
        """Write predictions.npz: truth and ids of the test images, {arm: int [S, N]}."""
        np.savez_compressed(self.out / "predictions.npz", **arrays)

    def _file(self, arm, seeds):
        return self.out / "arms" / arm / f"{'-'.join(map(str, seeds))}.npz"


def digest(*arrays):
    """A short fingerprint of arrays."""
    made = hashlib.sha256()
    for array in arrays:
        made.update(np.ascontiguousarray(array).tobytes())
    return made.hexdigest()[:16]


def _compare(out, known, asked):
    for name, value in asked.items():
        if known.get(name) != value:
            raise ConfigError(
                f"--out={out} holds an experiment with {name}={known.get(name)}, this one has "
                f"{name}={value}; use another directory, or the old values to go on"
            )
