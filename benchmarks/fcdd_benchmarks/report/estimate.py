"""A measured figure with its interval: what reports, tables, plots and `drift` know of a number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval, or where it is said so the range of its runs."""

    value: float
    low: float
    high: float

    @classmethod
    def of_draws(cls, value: float, draws: Sequence[float] | npt.NDArray[np.float64]) -> "Estimate":
        """Take the interval from a bootstrap: the 2.5 % and 97.5 % quantiles of what its resamples gave."""
        low, high = np.quantile(draws, (0.025, 0.975))
        return cls(value, float(low), float(high))

    @classmethod
    def of_runs(cls, values: Sequence[float]) -> "Estimate":
        """Return the median of a few runs with the smallest and largest of them."""
        return cls(float(np.median(values)), min(values), max(values))

    def scaled(self, factor: float) -> "Estimate":
        """Return the figure in another unit."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)

    def reciprocal(self, numerator: float = 1.0) -> "Estimate":
        """Return a numerator over the figure, such as a rate from a time; the ends of the interval change places."""
        return Estimate(numerator / self.value, numerator / self.high, numerator / self.low)

    def text(self, form: str = ".2f") -> str:
        """Return such as `1.02 (0.98 to 1.05)`, each in a format of Python's."""
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"

    def named(self, name: str) -> "NamedEstimate":
        """Return it under a name."""
        return NamedEstimate(self.value, self.low, self.high, name)

    def metric(self, name: str, better: Literal["lower", "higher"], unit: str = "") -> "Metric":
        """Return it as one that `drift` compares."""
        return Metric(self.value, self.low, self.high, name, better, unit)


@dataclass(frozen=True)
class NamedEstimate(Estimate):
    """One of several figures of a kind, such as a model's ROC AUC."""

    name: str


@dataclass(frozen=True)
class Metric(NamedEstimate):
    """One figure that `fcdd-bench drift` compares between two reports of a kind.

    Its name is the same in every report of a kind, such as `fcdd_fp16: ROC AUC`.
    """

    better: Literal["lower", "higher"]
    unit: str
    """Such as `ms`; empty for shares and areas."""
