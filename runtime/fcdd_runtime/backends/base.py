"""The seam between scoring and whatever runs the model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fcdd_runtime.contract import ModelContract
from fcdd_runtime.errors import BadAnswerError

Batch = Mapping[str, npt.NDArray[np.uint8]]
"""Input name -> uint8 (N, 1, size, size), 0..255, C-contiguous; N between 1 and the contract's `max_batch_size`."""

Scores = npt.NDArray[np.float32]
"""float32 (N,), at least 0."""

MEAN_LIMIT = 1e-4
"""How far a score may be from the mean of its map, as a share of it: every precision computes the head in float32, and
the mean of n values that are not negative errs by less than n * 2**-24, which is 5e-5 for 28 x 28."""

Maps = npt.NDArray[np.float32]
"""float32 (N, rows, columns), at least 0, rows and columns as in the contract's `map_shape`."""


B = TypeVar("B", bound="Backend")


class Backend(ABC):
    """Runs one model, and closes with the context that it is opened in: `with open_folder(folder) as backend`.

    Not safe for use by several threads at once unless an implementation says so.
    """

    contract: ModelContract
    """Of the model that this backend runs."""

    def __enter__(self: B) -> B:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def infer(self, batch: Batch) -> tuple[Scores, Maps]:
        """Score a batch.

        Raises
        ------
        BackendError
            If the model cannot be run, or its answer is not what the contract says.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what was opened. The backend cannot be used afterwards."""


def checked_answer(
    score: npt.NDArray[np.generic], anomaly_map: npt.NDArray[np.generic], count: int, contract: ModelContract
) -> tuple[Scores, Maps]:
    """Check a model's two outputs against the contract and drop their channel axes.

    A served model can answer with empty or wrong tensors and still report success, so every answer is checked.

    Parameters
    ----------
    score : expected float32 (count, 1)
    anomaly_map : expected float32 (count, 1, rows, columns)

    Raises
    ------
    BadAnswerError
        If a shape or dtype differs, a value is NaN, infinite or negative, or for a map of kind `fcdd` a score is not
        the mean of its map, or a map is 0 everywhere, as no image makes it.
    """
    _check_tensor("score", score, (count, 1))
    _check_tensor("anomaly_map", anomaly_map, (count, 1, *contract.map_shape))
    scores, maps = score[:, 0].astype(np.float32, copy=False), anomaly_map[:, 0].astype(np.float32, copy=False)
    if contract.map_kind == "fcdd":
        means = maps.mean((1, 2), dtype=np.float64)
        if not means.all():
            raise _impossible("a map that is 0 everywhere")
        if (np.abs(scores - means) > MEAN_LIMIT * means).any():
            raise _impossible("a score that is not the mean of its map")
    return scores, maps


def _impossible(what: str) -> BadAnswerError:
    return BadAnswerError(f"the model answered {what}; check the model with fcdd-score --self-test")


def _check_tensor(name: str, value: npt.NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if value.shape != shape or value.dtype != np.float32:
        raise BadAnswerError(
            f"the model answered `{name}` as {value.dtype} {value.shape} instead of float32 {shape}; "
            "check the server's log and the model with fcdd-score --self-test"
        )
    if not np.isfinite(value).all():
        raise _impossible(f"NaN or infinite values in `{name}`")
    if value.min(initial=0) < 0:
        raise _impossible(f"negative values in `{name}`")
