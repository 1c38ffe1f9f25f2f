"""Cost of a gradient penalty's gradients, in forward passes of the critic, by form of convolution.

    taskset -c 0 launch/run.sh python -m benchmarks.penalty

A 4x4 convolution of stride 2 is computed as `nn.convolution.conv_halve` does and as XLA's strided
one. Every figure is the median over rounds. Results go to benchmarks/results/penalty.json.
"""

import argparse
import json
import pathlib
import statistics
import time
from unittest import mock

import jax

from benchmarks import record
from dtgan import losses
from dtgan.models.defect_gan import Critic
from dtgan.nn import convolution

RESULTS = pathlib.Path(__file__).parent / "results" / "penalty.json"
SIZES = {"64 px, width 16": (64, 16), "128 px, width 32": (128, 32)}


def strided(x, kernel):
    """A 4x4 convolution of stride 2 as XLA has it."""
    return convolution._conv(x, kernel, (2, 2), ((1, 1), (1, 1)))


def seconds(function, *args, rounds):
    """Median seconds of the processor (others may use the machine) that a compiled call takes."""
    compiled = jax.jit(function).lower(*args).compile()
    jax.block_until_ready(compiled(*args))
    found = []
    for _ in range(rounds):
        start = time.process_time()
        jax.block_until_ready(compiled(*args))
        found.append(time.process_time() - start)
    return statistics.median(found)


def measure(res, ch, batch, rounds):
    """Seconds of a forward pass, and how many of them the penalty's gradients take."""
    critic, x = Critic(ch, 7), jax.random.normal(jax.random.key(0), (batch, res, res, 1))
    params = jax.jit(critic.init)(jax.random.key(1), x)

    def penalty(params, x):
        return losses.gradient_penalty(lambda x: critic.apply(params, x)[0], x)

    forward = seconds(lambda params, x: critic.apply(params, x)[0], params, x, rounds=rounds)
    gradients = seconds(lambda params, x: jax.grad(penalty)(params, x), params, x, rounds=rounds)
    return {"forward_seconds": forward, "passes": gradients / forward}


def main(argv=None):
    """Measure both forms at each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args(argv)
    found = {}
    for name, size in SIZES.items():
        found[name] = {"folded": measure(*size, args.batch, args.rounds)}
        with mock.patch.object(convolution, "conv_halve", strided):
            found[name]["strided"] = measure(*size, args.batch, args.rounds)
    result = {"device": jax.devices()[0].device_kind, "jax": jax.__version__, **vars(args), **found}
    record.write(RESULTS, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
