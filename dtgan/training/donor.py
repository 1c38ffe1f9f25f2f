"""A finished run whose parameters another one starts from: config.init."""

import logging
import pathlib

import jax

from dtgan.config import ConfigError
from dtgan.methods.base import Donor
from dtgan.runs import checkpoints
from dtgan.sampling import sampler

log = logging.getLogger("dtgan")


class DonorRun:
    """The run that `config.init` names, checked against the run that is to start from it.

    method, state: `Method` and abstract GanState of the latter. Raises ConfigError, before any
    array is read, where the donor is missing or does not fit.
    """

    def __init__(self, config, method, state):
        init = config.init
        if method.adopt is None:
            raise ConfigError(
                f"init.workdir={init.workdir}: method={config.method} cannot start from another "
                "run; leave it out"
            )
        if not pathlib.Path(init.workdir).is_dir():
            raise ConfigError(
                f"init.workdir={init.workdir} is not a directory; give that of a finished run"
            )
        step = int(init.step) if init.step.isdecimal() else init.step
        self._workdir, self._adopt = init.workdir, method.adopt
        self.step = sampler.find_step(init.workdir, step)
        donor, self._classes, _, self._abstract = sampler.describe(init.workdir, self.step)
        self._method = donor.method
        jax.eval_shape(self._adopted, state, self._params(self._abstract), self._abstract.ema)

    def adopt(self, state, sharding):
        """Restore the donor and let the family adopt it -> (GanState, provenance).

        state: of step 0; the new one is laid out by `sharding`. provenance, JSON-able: {"workdir",
        "step", "digest" (of the content)}. Raises ConfigError where the donor is gone by now.
        """
        try:
            digest = checkpoints.step_digest(self._workdir, self.step)
            whole = checkpoints.restore_state(self._workdir, self.step, self._abstract, sharding)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"init.workdir={self._workdir}: step {self.step} was deleted meanwhile; run the "
                "same command again, or name a step that stays with init.step"
            ) from error
        adopted = jax.jit(self._adopted, out_shardings=sharding)
        log.info("starting from %s, step %d", self._workdir, self.step)
        provenance = {"workdir": str(self._workdir), "step": self.step, "digest": digest}
        return adopted(state, self._params(whole), whole.ema), provenance

    def _adopted(self, state, nets, ema):
        return self._adopt(state, Donor(self._method, self._classes, nets, ema))

    def _params(self, state):
        return {name: net.params for name, net in state.nets.items()}


def tell_changes(provenance):
    """Log if the donor of a resumed run has changed or gone; the run does not need it any more."""
    try:
        digest = checkpoints.step_digest(provenance["workdir"], provenance["step"])
    except OSError:
        digest = None
    if digest != provenance["digest"]:
        log.info(
            "the donor %s, step %d, is %s; this run goes on from its own checkpoint",
            provenance["workdir"],
            provenance["step"],
            "gone" if digest is None else "another one now",
        )
