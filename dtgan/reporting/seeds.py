"""Mean and 95 % interval of a score over the seeds of an experiment."""

import math

import numpy as np
from scipy import stats


def over_seeds(values):
    """Compute {"mean", "sd", "ci95"} of one number a seed: floats, ci95 a list [low, high].

    ci95 is Student's t-interval of the mean. sd (of n - 1) and ci95 are None for one value, all
    three for none.
    """
    values = np.asarray(values, float)
    n = len(values)
    mean = float(values.mean()) if n else None
    if n < 2:
        return {"mean": mean, "sd": None, "ci95": None}
    sd = float(values.std(ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
    return {"mean": mean, "sd": sd, "ci95": [mean - half, mean + half]}
