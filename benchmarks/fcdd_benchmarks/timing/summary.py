"""Times -> percentiles, as far as there are samples for them, and whether the machine held still meanwhile."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
class Percentile:
    """A quantile with its uncertainty, ms."""

    value: float
    low: float
    """2.5 % end of the interval."""
    high: float


@dataclass(frozen=True)
class TimingSummary:
    """Figures of one measurement."""

    samples: int
    mean_ms: float
    max_ms: float
    percentiles: dict[int, Percentile | None]
    """50, 90, 95, 99; None where there are too few samples for it: 10, 20 and 100."""
    spread: float
    """Largest minus smallest median of the first, second and last third, as a share of the median."""

    @property
    def noisy(self) -> bool:
        """Whether the machine was too busy with other things for the figures to be trusted."""
        return self.spread > NOISY

    @property
    def p50(self) -> Percentile:
        """The median, which every measurement has."""
        found = self.percentiles[50]
        assert found is not None
        return found


def summary_of(times: Times) -> TimingSummary:
    """Summarise at least three times."""
    thirds = [float(np.median(third)) for third in np.array_split(times, 3)]
    return TimingSummary(
        samples=len(times),
        mean_ms=float(times.mean()),
        max_ms=float(times.max()),
        percentiles={percent: percentile(times, percent) for percent in PERCENTILES},
        spread=(max(thirds) - min(thirds)) / float(np.median(times)),
    )


def percentile(times: Times, percent: int) -> Percentile | None:
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
    return Percentile(float(np.quantile(times, quantile)), min(low, *among, low), max(high, *among, high))


def fewest_samples(percent: int) -> int:
    """Return how many samples a percentile needs: one is then expected at or above it; 100 for p99."""
    return round(100 / (100 - percent))


def rate_interval(ended_s: Times, started_s: float) -> Percentile:
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
    return Percentile(rate, max(rate - half, 0.0), rate + half)


def ratio_of_medians(times: Sequence[float], reference: Sequence[float]) -> Percentile:
    """Return median(times) / median(reference) with a 95 % bootstrap interval.

    The two were measured in turns, so a bootstrap draws rounds: whatever slowed a round slowed both.
    """
    pairs = np.array([times, reference])
    picks = np.random.default_rng(0).integers(0, pairs.shape[1], (BOOTSTRAPS, pairs.shape[1]))
    medians = np.median(pairs[:, picks], axis=2)
    low, high = np.quantile(medians[0] / medians[1], (0.025, 0.975))
    value, other = np.median(pairs, axis=1)
    return Percentile(float(value / other), float(low), float(high))
