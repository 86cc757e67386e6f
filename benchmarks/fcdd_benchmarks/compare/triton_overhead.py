"""What a call to Triton costs beyond running the model there."""

import contextlib
import time

import numpy as np

from fcdd_benchmarks.report.estimate import Estimate
from fcdd_benchmarks.timing.summary import percentile
from fcdd_benchmarks.timing.timed_model import opened_url
from fcdd_benchmarks.timing.triton_split import TritonStatistics
from fcdd_runtime.errors import BackendError

WARM_UPS = 5
FEWEST_CALLS = 10


def client_overhead_ms(url: str, batch: int, calls: int) -> Estimate:
    """Return the median over calls, one at a time, of the client's time less what the server spent in the model.

    So it holds packing, gRPC both ways, queue, input and output, and unpacking. With Triton's Python backend the way
    to its process counts as time in the model.

    Raises
    ------
    GateError
        If an answer is wrong.
    BackendError
        If the model takes no such batch, or somebody else uses the server.
    """
    with opened_url(url) as model, contextlib.closing(TritonStatistics(url)) as statistics:
        largest = model.backend.contract.max_batch_size
        if batch > largest:
            raise BackendError(f"{url} takes batches of at most {largest}; give a smaller --batch")
        request = model.request(batch)
        for _ in range(WARM_UPS):
            model.check([request()], batch)
        overheads = []
        before = statistics.settled()
        for _ in range(max(calls, FEWEST_CALLS)):
            started = time.perf_counter()
            answer = request()
            taken_ms = (time.perf_counter() - started) * 1e3
            model.check([answer], batch)
            counted = statistics.since(before, 1)
            before = before.plus(counted)
            overheads.append(taken_ms - counted.nanoseconds["compute_infer"] / 1e6)
    found = percentile(np.array(overheads), 50)
    assert found is not None
    return found
