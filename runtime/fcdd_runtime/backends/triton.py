"""A model on a Triton Inference Server, over gRPC."""

import base64
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from fcdd_runtime.backends.base import Backend, Batch, Maps, Scores, checked_answer
from fcdd_runtime.backends.golden import GoldenVectors, golden_from_bytes
from fcdd_runtime.contract import CONTRACT_PARAMETER, GOLDEN_PARAMETER, ModelContract
from fcdd_runtime.errors import BackendError, BadAnswerError, ContractError, ServerUnreachableError, one_line

T = TypeVar("T")

CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Images of patients take no detour over a web proxy that happens to be set in the environment.
    ("grpc.enable_http_proxy", 0),
]


class TritonBackend(Backend):
    """Runs a model by its address, `grpc://HOST:PORT/MODEL`. May be used by several threads at once.

    The contract comes from the server's model configuration, so a client needs no files.
    """

    def __init__(self, url: str, deadline_s: float):
        """Connect and read the contract.

        Parameters
        ----------
        url : `grpc://HOST:PORT/MODEL`
        deadline_s : seconds that one call may take

        Raises
        ------
        ServerUnreachableError
            If nothing answers there in time.
        ContractError
            If the model is not there, or was not exported by this project.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = None
        self._address, self._model = parts.netloc, parts.path.strip("/")
        if parts.scheme != "grpc" or not parts.hostname or port is None or not self._model or "/" in self._model:
            raise BackendError(f"{url!r} is no address of a model; give grpc://HOST:PORT/MODEL")
        self._deadline_s = deadline_s
        self._client = triton.InferenceServerClient(self._address, channel_args=CHANNEL_OPTIONS)
        try:
            parameters = self._read_parameters()
            self.contract = ModelContract.from_json(parameters[CONTRACT_PARAMETER].string_value)
            self._golden = parameters[GOLDEN_PARAMETER].string_value
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
            lambda: self._client.infer(self._model, tensors, outputs=outputs, client_timeout=self._deadline_s)
        )
        return checked_answer(_array(answer, "score"), _array(answer, "anomaly_map"), len(batch["mip"]), self.contract)

    def golden(self) -> GoldenVectors:
        """Return the golden vectors that the server holds beside the contract.

        Raises
        ------
        ContractError
            If they are missing or damaged.
        """
        return golden_from_bytes(base64.b64decode(self._golden))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _read_parameters(self) -> Any:
        answer = self._call(lambda: self._client.get_model_config(self._model, client_timeout=self._deadline_s))
        parameters = answer.config.parameters
        if CONTRACT_PARAMETER not in parameters:
            raise ContractError(
                f"the model {self._model!r} at {self._address} has no contract; serve one of fcdd-export"
            )
        return parameters

    def _call(self, call: Callable[[], T]) -> T:
        """Call the server; once more if it was unavailable, as it is for a moment while it restarts."""
        try:
            return call()
        except InferenceServerException as error:
            if _status(error) != "UNAVAILABLE":
                raise self._translated(error) from error
        try:
            return call()
        except InferenceServerException as error:
            raise self._translated(error) from error

    def _translated(self, error: InferenceServerException) -> Exception:
        status, message = _status(error), one_line(error.message())
        if status == "UNAVAILABLE" and "ready state" not in message and "version" not in message:
            return ServerUnreachableError(f"no Triton server answers at grpc://{self._address}; start fcdd-serve")
        if status == "DEADLINE_EXCEEDED":
            return ServerUnreachableError(
                f"the Triton server at grpc://{self._address} did not answer within {self._deadline_s:g} s; "
                "look into its log"
            )
        if status in {"NOT_FOUND", "UNAVAILABLE"} or "unknown model" in message:
            return ContractError(f"the Triton server at {self._address} has no such model ({message})")
        return BackendError(f"the Triton server at {self._address} refused ({message})")


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
