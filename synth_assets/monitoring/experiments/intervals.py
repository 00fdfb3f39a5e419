"""What repeated runs say: means with Student's t intervals, paired by seed where two things are compared.

Here: two functions of numbers. Not here: the intervals of one report (measures.find_null_interval).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def find_run_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of runs that each resample the rows, and both ends of the interval of one: their spread is that
    of the rows, which more runs do not lessen. The ends are NaN for fewer than two runs.
    """
    mean, low, high = find_mean_interval(values, confidence)
    reach = (high - low) / 2 * float(np.sqrt(len(values)))
    return mean, mean - reach, mean + reach


def find_mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of the runs and both ends of its t interval; the ends are NaN for fewer than two runs."""
    from scipy.stats import t

    runs = np.asarray(values, dtype=np.float64)
    mean = float(runs.mean()) if len(runs) else float("nan")
    if len(runs) < 2:
        return mean, float("nan"), float("nan")
    reach = float(t.ppf((1 + confidence) / 2, len(runs) - 1) * runs.std(ddof=1) / np.sqrt(len(runs)))
    return mean, mean - reach, mean + reach
