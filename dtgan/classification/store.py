"""Finished seeds of an experiment on disk, so that a killed one resumes seed by seed.

OUT/experiment.json                    all that the results depend on
OUT/arms/<arm>/<seeds>.npz             Seeds
OUT/classifiers/<arm>.safetensors      the seed with the least validation error so far
"""

import hashlib
import io
import json
import pathlib
import zipfile
from typing import NamedTuple

import numpy as np

from dtgan.config import ConfigError
from dtgan.files import parse_object, same_or_refuse, set_aside, write_atomic
from dtgan.weights import published


class Seeds(NamedTuple):
    """Results of some seeds of an arm, a row each."""

    logits: np.ndarray  # of the test images [S, N, K]; in a search of the validation images
    val_error: np.ndarray  # balanced, of the chosen step [S]
    step: np.ndarray  # chosen [S]
    shown: np.ndarray  # how often each training image was seen, mean over the seeds


class Store:
    """The directory of one experiment."""

    def __init__(self, out, described):
        """described: JSON-able, all that the results depend on.

        Raises ConfigError where `out` holds another experiment, or cannot be written.
        """
        self.out, self._described = pathlib.Path(out), json.loads(json.dumps(described))
        try:
            same_or_refuse(self.out / "experiment.json", described, "an experiment")
        except OSError as error:
            raise ConfigError(f"--out={out} cannot be written ({error.strerror})") from error

    def adopt(self, other, arms, free):
        """Copy what another directory has of some arms and this one has not.

        free: names, or groups of names ("choose"), that these arms do not depend on. Raises
        ConfigError where the other is no experiment, or differs in something else.
        """
        other = pathlib.Path(other)
        try:  # without setting a damaged file aside: the directory is another's
            known = parse_object((other / "experiment.json").read_bytes())
        except (OSError, ValueError):
            raise ConfigError(
                f"--baseline={other} holds no experiment; give the --out of python -m "
                "dtgan.classify on the same real images, or leave it out"
            ) from None
        for name in sorted({*known, *self._described}):
            values = known.get(name), self._described.get(name)
            if values[0] != values[1] and not {name, name.partition(".")[0]} & set(free):
                raise ConfigError(
                    f"--baseline={other} was trained with {name}={values[0]}, this one has "
                    f"{name}={values[1]}; leave it out"
                )
        for arm in arms:
            for file in (*(other / "arms" / arm).glob("*.npz"), _classifier(other, arm)):
                mine = self.out / file.relative_to(other)
                if file.exists() and not mine.exists():
                    mine.parent.mkdir(parents=True, exist_ok=True)
                    write_atomic(mine, file.read_bytes())

    def load(self, arm, seeds):
        """Load the finished Seeds; None where there are none, or damaged ones, set aside."""
        file = self._file(arm, seeds)
        if not file.exists():
            return None
        try:
            with np.load(file) as found:
                return Seeds(*(found[name] for name in Seeds._fields))
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            set_aside(file, error)
            return None

    def save(self, arm, seeds, result):
        """Save Seeds. Atomic."""
        file = self._file(arm, seeds)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez_compressed(content, **result._asdict())
        write_atomic(file, content.getvalue())

    def save_classifier(self, arm, state, network, about):
        """Save the parameters {name: array} as the arm's classifier; about: {name: text}."""
        published.write(_classifier(self.out, arm), state, network, **about)

    def _file(self, arm, seeds):
        return self.out / "arms" / arm / f"{'-'.join(map(str, seeds))}.npz"


def _classifier(out, arm):
    return out / "classifiers" / f"{arm}.safetensors"


def digest(*arrays):
    """Compute a fingerprint of arrays, 16 hexadecimal digits."""
    made = hashlib.sha256()
    for array in arrays:
        made.update(np.ascontiguousarray(array).tobytes())
    return made.hexdigest()[:16]
