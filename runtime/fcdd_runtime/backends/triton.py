"""A model on a Triton Inference Server, over gRPC."""

import base64
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from fcdd_runtime.backends.base import Backend, Batch, Maps, Scores, checked_answer
from fcdd_runtime.backends.golden import GoldenVectors, golden_from_bytes, self_test
from fcdd_runtime.contract import CONTRACT_PARAMETER, GOLDEN_PARAMETER, ModelContract
from fcdd_runtime.errors import (
    BackendError,
    BadAnswerError,
    ContractError,
    ModelChangedError,
    ServerUnreachableError,
    one_line,
)
from fcdd_runtime.redaction import quoted

T = TypeVar("T")

FIRST = 1
"""Of Triton's levels of priority; 0 is the model's own level, the last."""
RESTART_S = 1.0
"""Since the last answer; no server ends, starts and loads a model in less, and tritonclient does not tell whether its
connection is a new one. Requests that follow each other faster are not held up by golden images."""

CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Images of patients take no detour over a web proxy that happens to be set in the environment.
    ("grpc.enable_http_proxy", 0),
]


class TritonBackend(Backend):
    """Runs a model by its address, `grpc://HOST:PORT/MODEL`. May be used by several threads at once.

    The contract comes from the server's model configuration, so a client needs no files. It is bound to the connection:
    an answer counts only if the server still names the same contract and version afterwards, and if the first golden
    image comes out right where the server may have been started again since the last answer.
    """

    def __init__(self, url: str, deadline_s: float, urgent: bool = False):
        """Connect and read the contract.

        Parameters
        ----------
        url : `grpc://HOST:PORT/MODEL`
        deadline_s : seconds that one call may take
        urgent : whether its requests go before all others that wait, as a health check's have to; models exported by
            earlier releases know no order

        Raises
        ------
        ServerUnreachableError
            If nothing answers there in time.
        ContractError
            If the model is not there, or was not exported by this project.
        """
        self._address, self._model = _address_and_model(url)
        self._deadline_s = deadline_s
        self._priority = FIRST if urgent else 0
        self._client = triton.InferenceServerClient(self._address, channel_args=CHANNEL_OPTIONS)
        self._version = ""
        self._may_be_new, self._answered = False, time.monotonic()
        try:
            self._described = self._read_parameters()
            self.contract = ModelContract.from_json(self._described[0])
        except BaseException:
            self._client.close()
            raise

    def infer(self, batch: Batch) -> tuple[Scores, Maps]:
        """Score a batch; see `Backend.infer`."""
        tensors = [triton.InferInput(name, list(images.shape), "UINT8") for name, images in batch.items()]
        for tensor, images in zip(tensors, batch.values(), strict=True):
            tensor.set_data_from_numpy(images)
        outputs = [triton.InferRequestedOutput(name) for name in ("score", "anomaly_map")]
        answer = self._call(
            lambda: self._client.infer(
                self._model, tensors, outputs=outputs, priority=self._priority, client_timeout=self._deadline_s
            )
        )
        self._check_unchanged(answer.get_response().model_version)
        return checked_answer(_array(answer, "score"), _array(answer, "anomaly_map"), len(batch["mip"]), self.contract)

    def _check_unchanged(self, version: str) -> None:
        """Make sure that what has just answered is the model that was opened.

        Raises
        ------
        ModelChangedError
            If the server names another contract, other golden vectors or another version.
        GateError
            If the server may have been started again, and its first golden image does not come out as it should.
        """
        described = self._read_parameters()
        self._version = self._version or version
        if described != self._described or version != self._version:
            now = ModelContract.from_json(described[0])
            raise ModelChangedError(
                f"the server's model changed during the run: version {self._version} with contract "
                f"{self.contract.sha256[:12]} was opened, version {version} with contract {now.sha256[:12]} answers "
                "now; score what is left over again"
            )
        silent_s, self._answered = time.monotonic() - self._answered, time.monotonic()
        if self._may_be_new or silent_s > RESTART_S:
            self._may_be_new = False
            self_test(self, self.golden().first())

    def golden(self) -> GoldenVectors:
        """Return the golden vectors that the server holds beside the contract.

        Raises
        ------
        ContractError
            If they are missing or damaged.
        """
        return golden_from_bytes(base64.b64decode(self._described[1]))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _read_parameters(self) -> tuple[str, str]:
        """Return the contract and the golden vectors as the server's model configuration has them."""
        answer = self._call(lambda: self._client.get_model_config(self._model, client_timeout=self._deadline_s))
        parameters = answer.config.parameters
        if CONTRACT_PARAMETER not in parameters:
            raise ContractError(
                f"the model {self._model} at grpc://{self._address} has no contract; serve one of fcdd-export"
            )
        return parameters[CONTRACT_PARAMETER].string_value, parameters[GOLDEN_PARAMETER].string_value

    def _call(self, call: Callable[[], T]) -> T:
        """Call the server; once more if it was unavailable, as it is for a moment while it restarts."""
        try:
            return call()
        except InferenceServerException as error:
            if _status(error) != "UNAVAILABLE":
                raise self._translated(error) from error
        self._may_be_new = True
        try:
            return call()
        except InferenceServerException as error:
            raise self._translated(error) from error

    def _translated(self, error: InferenceServerException) -> Exception:
        return _translated(error, self._address, self._deadline_s)


def answered_requests(url: str, deadline_s: float) -> int:
    """Return how many requests a model has answered since it was loaded, whether well or not.

    Raises
    ------
    BackendError
        If the server does not say so in time.
    """
    address, model = _address_and_model(url)
    client = triton.InferenceServerClient(address, channel_args=CHANNEL_OPTIONS)
    try:
        answer = client.get_inference_statistics(model, client_timeout=deadline_s)
    except InferenceServerException as error:
        raise _translated(error, address, deadline_s) from error
    finally:
        client.close()
    return sum(int(stats.inference_stats.success.count) for stats in answer.model_stats)


def _address_and_model(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    model = parts.path.strip("/")
    if parts.scheme != "grpc" or not parts.hostname or port is None or not model or "/" in model:
        raise BackendError(f"{quoted(url)} is no address of a model; give grpc://HOST:PORT/MODEL")
    return parts.netloc, model


def _translated(error: InferenceServerException, address: str, deadline_s: float) -> BackendError | ContractError:
    status, message = _status(error), one_line(error.message())
    if status == "UNAVAILABLE" and "ready state" not in message and "version" not in message:
        return ServerUnreachableError(f"no Triton server answers at grpc://{address}; start fcdd-serve")
    if status == "DEADLINE_EXCEEDED":
        return ServerUnreachableError(
            f"the Triton server at grpc://{address} did not answer within {deadline_s:g} s; look into its log"
        )
    if status in {"NOT_FOUND", "UNAVAILABLE"} or "unknown model" in message:
        return ContractError(f"the Triton server at grpc://{address} has no such model ({message})")
    return BackendError(f"the Triton server at grpc://{address} refused ({message})")


def _array(answer: triton.InferResult, name: str) -> "np.ndarray[Any, np.dtype[Any]]":
    """Decode an output; a server that lost its numpy answers empty buffers and reports success."""
    try:
        value = answer.as_numpy(name)
    except ValueError as error:
        raise BadAnswerError(
            f"the server's answer `{name}` has fewer bytes than its shape says ({error}); look into its log"
        ) from error
    if value is None:
        raise BadAnswerError(f"the server's answer lacks `{name}`; look into its log")
    return np.asarray(value)


def _status(error: InferenceServerException) -> str:
    return str(error.status() or "").removeprefix("StatusCode.")
