"""A backend without a model, for tests and for trying out a pipeline."""

from dataclasses import dataclass, field

import numpy as np

from fcdd_runtime.backends.base import Backend, Batch, Maps, Scores
from fcdd_runtime.contract import ModelContract


@dataclass
class FakeBackend(Backend):
    """Lights one map cell: the map is 0 but for `value` at `cell`, and the score is the map's mean.

    Attributes
    ----------
    batch_sizes : number of images of every call so far
    closed : whether `close` was called
    """

    contract: ModelContract
    cell: tuple[int, int] = (14, 14)
    """Row and column of the map."""
    value: float = 784.0
    """Map value there; the default makes every score 1 on a 28 x 28 map."""
    batch_sizes: list[int] = field(default_factory=list)
    closed: bool = False

    def infer(self, batch: Batch) -> tuple[Scores, Maps]:
        """Answer the same map for every image."""
        count = len(batch["mip"])
        self.batch_sizes.append(count)
        maps = np.zeros((count, *self.contract.map_shape), np.float32)
        maps[:, self.cell[0], self.cell[1]] = self.value
        return maps.mean((1, 2)), maps

    def close(self) -> None:
        """Note that the backend was closed."""
        self.closed = True
