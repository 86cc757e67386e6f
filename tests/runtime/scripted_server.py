"""A real gRPC server on loopback that speaks Triton's protocol and answers what a test tells it."""

import base64
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from result_builders import make_contract
from tritonclient.grpc import service_pb2, service_pb2_grpc

from fcdd_runtime.backends.golden import GoldenVectors, golden_to_bytes
from fcdd_runtime.contract import CONTRACT_PARAMETER, GOLDEN_PARAMETER

Infer = Callable[[Any, grpc.ServicerContext], Any]


def answer(score: npt.NDArray[Any], anomaly_map: npt.NDArray[Any], declared: tuple[int, ...] | None = None) -> Any:
    response = service_pb2.ModelInferResponse(model_name="fcdd_fp16")
    for name, value in (("score", score), ("anomaly_map", anomaly_map)):
        kind = {"float32": "FP32", "float64": "FP64"}[str(value.dtype)]
        response.outputs.add(name=name, datatype=kind, shape=declared or value.shape)
        response.raw_output_contents.append(value.tobytes())
    return response


def good(request: Any, *_: Any, value: float = 1.0) -> Any:
    count = request.inputs[0].shape[0]
    return answer(np.full((count, 1), value, np.float32), np.full((count, 1, 28, 28), value, np.float32))


GOLDEN = GoldenVectors(
    np.zeros((1, 1, 224, 224), np.uint8), np.ones(1, np.float32), np.ones((1, 28, 28), np.float32), None, 1e-3
)


class Scripted(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, infer: Infer, contract: str | None):
        self.infer, self.contract, self.calls = infer, contract, 0

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        response = service_pb2.ModelConfigResponse()
        if self.contract is not None:
            response.config.parameters[CONTRACT_PARAMETER].string_value = self.contract
            golden = base64.b64encode(golden_to_bytes(GOLDEN)).decode()
            response.config.parameters[GOLDEN_PARAMETER].string_value = golden
        return response

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.calls += 1
        return self.infer(request, context)


@contextmanager
def scripted(infer: Infer = good, contract: str | None = "", port: int = 0) -> Iterator[tuple[str, Scripted]]:
    text = make_contract().to_json() if contract == "" else contract
    servicer = Scripted(infer, text)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}/fcdd_fp16", servicer
    finally:
        server.stop(None).wait()
