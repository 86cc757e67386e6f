"""Where the time of a request to Triton goes: the server's own statistics, and the client's share."""

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from tritonclient import grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from fcdd_runtime.backends.base import Batch, checked_answer
from fcdd_runtime.backends.triton import CHANNEL_OPTIONS
from fcdd_runtime.contract import ModelContract
from fcdd_runtime.errors import BackendError, one_line

PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
SETTLING_S = 2.0
"""The server counts a request a moment after it has answered it."""
STILL_S = 0.05
CLIENT_REPEATS = 50


@dataclass(frozen=True)
class Split:
    """Mean time of a request by where it was spent, ms; all but `network` are measured, and that is what remains."""

    client: float
    """Packing a request and unpacking an answer in this process."""
    network: float
    """gRPC on both sides and the way between them."""
    queue: float
    compute_input: float
    infer: float
    """With Triton's Python backend, the way to its process and back belongs to this."""
    compute_output: float


@dataclass(frozen=True)
class Counters:
    """Triton's sums since the server started."""

    requests: int
    nanoseconds: dict[str, int]
    """By `PARTS`, over all executions that succeeded."""

    def plus(self, later: "Counters") -> "Counters":
        """Return the sums after what was counted later."""
        sums = {name: total + later.nanoseconds[name] for name, total in self.nanoseconds.items()}
        return Counters(self.requests + later.requests, sums)


class TritonStatistics:
    """Reads the statistics of one model."""

    def __init__(self, url: str):
        """Connect to `grpc://HOST:PORT/MODEL`, an address that `open_url` has taken before."""
        parts = urlsplit(url)
        self._model = parts.path.strip("/")
        self._client = triton.InferenceServerClient(parts.netloc, channel_args=CHANNEL_OPTIONS)

    def read(self) -> Counters:
        """Return the sums over all versions.

        Raises
        ------
        BackendError
            If the server does not give them.
        """
        try:
            answer = self._client.get_inference_statistics(self._model)
        except InferenceServerException as error:
            raise BackendError(
                f"the Triton server gives no statistics of {self._model} ({one_line(error.message())}); open that "
                "part of its interface to this machine"
            ) from error
        found = [model.inference_stats for model in answer.model_stats]
        sums = {name: sum(getattr(version, name).ns for version in found) for name in PARTS}
        return Counters(sum(version.success.count for version in found), sums)

    def settled(self) -> Counters:
        """Return the sums once they have held still for a moment: requests answered before are all counted then."""
        last = self.read()
        while True:
            time.sleep(STILL_S)
            former, last = last, self.read()
            if last == former:
                return last

    def since(self, before: Counters, requests: int) -> Counters:
        """Return what so many requests since `before` added, waiting for the server to have counted them.

        Raises
        ------
        BackendError
            If the server counted another number of requests: somebody else uses the model.
        """
        limit = time.monotonic() + SETTLING_S
        while (after := self.read()).requests < before.requests + requests and time.monotonic() < limit:
            time.sleep(0.002)
        if after.requests != before.requests + requests:
            raise BackendError(
                f"the server counted {after.requests - before.requests} requests of {self._model} where {requests} "
                "were sent; measure a server that nobody else uses"
            )
        return Counters(requests, {name: after.nanoseconds[name] - before.nanoseconds[name] for name in PARTS})

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def split_of(mean_ms: float, counted: Counters, client_ms: float) -> Split:
    """Divide a request's mean time as its client saw it."""
    parts = {name: total / counted.requests / 1e6 for name, total in counted.nanoseconds.items()}
    network, infer = mean_ms - client_ms - sum(parts.values()), parts.pop("compute_infer")
    return Split(client=client_ms, network=network, infer=infer, **parts)


def client_ms(batch: Batch, contract: ModelContract) -> float:
    """Return what packing such a batch and unpacking its answer takes, ms, median: all but the server."""
    count = len(batch["mip"])
    answer = service_pb2.ModelInferResponse()
    for name, shape in (("score", (count, 1)), ("anomaly_map", (count, 1, *contract.map_shape))):
        answer.outputs.add(name=name, datatype="FP32", shape=shape)
        answer.raw_output_contents.append(np.ones(shape, np.float32).tobytes())
    encoded, times = answer.SerializeToString(), []
    for _ in range(CLIENT_REPEATS):
        started = time.perf_counter()
        request = service_pb2.ModelInferRequest(model_name=contract.name)
        for name, images in batch.items():
            request.inputs.add(name=name, datatype="UINT8", shape=images.shape)
            request.raw_input_contents.append(images.tobytes())
        request.SerializeToString()
        unpacked = triton.InferResult(service_pb2.ModelInferResponse.FromString(encoded))
        checked_answer(unpacked.as_numpy("score"), unpacked.as_numpy("anomaly_map"), count, contract)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3
