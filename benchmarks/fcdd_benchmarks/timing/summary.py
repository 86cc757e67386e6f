"""Times -> percentiles, as far as there are samples for them, and whether the machine held still meanwhile."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fcdd_benchmarks.report.estimate import Estimate

Times = npt.NDArray[np.float64]
"""float64 (N,), ms, in the order of measurement."""

NOISY = 0.1
"""Spread of the medians of the thirds of a measurement, as a share of its median, above which it is called noisy."""
PERCENTILES = (50, 90, 95, 99)
BOOTSTRAPS = 2000
MOST_BATCHES = 10
STUDENT_T = {3: 4.303, MOST_BATCHES: 2.262}
"""97.5 % quantiles of Student's t with one degree of freedom less than batches."""
FEW_ROUNDS = 10
ROUGH = f"With fewer than {FEW_ROUNDS} rounds the intervals are rough: they hold the truth in fewer than 95 % of cases."


@dataclass(frozen=True)
class TimingSummary:
    """Figures of one measurement; a percentile is None where there are too few samples for it: 10, 20 and 100."""

    samples: int
    mean_ms: float
    max_ms: float
    spread: float
    """Largest minus smallest median of the first, second and last third, as a share of the median."""
    p50: Estimate
    p90: Estimate | None
    p95: Estimate | None
    p99: Estimate | None
    noisy: bool
    """Whether the machine was too busy with other things for the figures to be trusted."""


def noise_in_words(spread: float) -> str:
    """Return a cell of a table: a spread, and whether it is too large."""
    return f"{spread:.0%}" + (" noisy" if spread > NOISY else "")


def summary_of(times: Times) -> TimingSummary:
    """Summarise at least three times."""
    median = percentile(times, 50)
    assert median is not None
    thirds = [float(np.median(third)) for third in np.array_split(times, 3)]
    spread = (max(thirds) - min(thirds)) / float(np.median(times))
    p90, p95, p99 = (percentile(times, percent) for percent in PERCENTILES[1:])
    return TimingSummary(
        len(times), float(times.mean()), float(times.max()), spread, median, p90, p95, p99, spread > NOISY
    )


def percentile(times: Times, percent: int) -> Estimate | None:
    """Return a percentile; None where no sample would be expected above it.

    The interval is that of order statistics, which assumes no distribution: the ranks n q -+ 1.96 sqrt(n q (1 - q))
    (Conover, Practical Nonparametric Statistics, 3rd edition, section 3.2). Times that follow each other are not
    independent, so it is widened to what the thirds of the measurement say where they have enough samples themselves.
    """
    if len(times) < fewest_samples(percent):
        return None
    ordered, quantile = np.sort(times), percent / 100
    middle, half = len(times) * quantile, 1.96 * math.sqrt(len(times) * quantile * (1 - quantile))
    ranks = np.clip([math.floor(middle - half), math.ceil(middle + half)], 0, len(times) - 1)
    thirds = [third for third in np.array_split(times, 3) if len(third) >= fewest_samples(percent)]
    among = [float(np.quantile(third, quantile)) for third in thirds]
    low, high = (float(ordered[rank]) for rank in ranks)
    return Estimate(float(np.quantile(times, quantile)), min(low, *among, low), max(high, *among, high))


def fewest_samples(percent: int) -> int:
    """Return how many samples a percentile needs: one is then expected at or above it; 100 for p99."""
    return round(100 / (100 - percent))


def rate_interval(ended_s: Times, started_s: float) -> Estimate:
    """Return how many a second were completed, with a 95 % interval by batch means.

    The measurement is cut into batches of as many completions each, whose rates are taken as independent (Law,
    Simulation Modeling and Analysis, 5th edition, section 9.5.3), which single times are not.

    Parameters
    ----------
    ended_s : at least three completions, in order
    started_s : when the first of them was begun
    """
    count = MOST_BATCHES if len(ended_s) >= 3 * MOST_BATCHES else 3
    parts = np.array_split(ended_s, count)
    ends = np.array([started_s, *(part[-1] for part in parts)])
    rates = np.array([len(part) for part in parts]) / np.diff(ends).clip(1e-9)
    rate = len(ended_s) / (float(ended_s[-1]) - started_s)
    half = STUDENT_T[count] * float(rates.std(ddof=1)) / math.sqrt(count)
    return Estimate(rate, max(rate - half, 0.0), rate + half)


def ratio_of_medians(times: Sequence[float], reference: Sequence[float]) -> Estimate:
    """Return median(times) / median(reference) with a 95 % bootstrap interval.

    The two were measured in turns, so a bootstrap draws rounds: whatever slowed a round slowed both.
    """
    pairs = np.array([times, reference])
    picks = np.random.default_rng(0).integers(0, pairs.shape[1], (BOOTSTRAPS, pairs.shape[1]))
    medians = np.median(pairs[:, picks], axis=2)
    value, other = np.median(pairs, axis=1)
    return Estimate.of_draws(float(value / other), medians[0] / medians[1])
