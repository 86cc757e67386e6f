"""ONNX Runtime in this process, on the machine's GPU where it has one that ONNX Runtime can use, else on the CPU."""

import contextlib
import io
from pathlib import Path
from typing import Any

import onnxruntime

from fcdd_runtime.backends.base import Backend, Batch, Maps, Scores, checked_answer
from fcdd_runtime.contract import read_contract
from fcdd_runtime.errors import BackendError, ContractError, one_line
from fcdd_runtime.files import sha256_of


class OnnxRuntimeBackend(Backend):
    """Runs the ONNX file of an exported model folder. May be used by several threads at once."""

    def __init__(self, folder: Path):
        """Open a model folder.

        Raises
        ------
        ContractError
            If the contract is unreadable, or the model file is not the one that it was written for.
        BackendError
            If ONNX Runtime refuses the model.
        """
        self.contract = read_contract(folder)
        path = folder / self.contract.artefact
        if path.suffix != ".onnx":
            raise ContractError(
                f"{folder} holds an engine for {self.contract.target}; ONNX Runtime needs an ONNX model"
            )
        try:
            artefact = path.read_bytes()
        except OSError as error:
            raise ContractError(f"{path} is missing or unreadable; export the model again") from error
        if sha256_of(artefact) != self.contract.artefact_sha256:
            raise ContractError(f"{path} is not the file that was verified; export the model again")
        # By default worker threads spin on for milliseconds once a batch is done, and what follows on the same cores
        # is slow: heatmaps took up to 12 ms a batch instead of 0.3. Inference itself takes as long as before.
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session = onnxruntime.InferenceSession(artefact, options, providers=_providers())
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime {onnxruntime.__version__} cannot open {folder} ({one_line(error)})"
            ) from error

    @property
    def providers(self) -> list[str]:
        """What really runs the model: a provider that fails to load is silently left out by ONNX Runtime."""
        names: list[str] = self._session.get_providers()
        return names

    def infer(self, batch: Batch) -> tuple[Scores, Maps]:
        """Score a batch; see `Backend.infer`."""
        try:
            score, anomaly_map = self._session.run(["score", "anomaly_map"], dict(batch))
        except Exception as error:
            raise BackendError(f"ONNX Runtime failed on {self.contract.name} ({one_line(error)})") from error
        return checked_answer(score, anomaly_map, len(batch["mip"]), self.contract)

    def close(self) -> None:
        """Release the model."""
        del self._session


def _providers() -> list[Any]:
    """CUDA where it is built in, without TF32, which would change scores silently; the CPU otherwise.

    ONNX Runtime (1.21 or later) finds CUDA and cuDNN in NVIDIA's wheels when it is told to; otherwise it runs on the
    CPU without an error.
    """
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return ["CPUExecutionProvider"]
    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        # It prints what it does not find, such as libraries that our models do not need.
        with contextlib.redirect_stdout(io.StringIO()):
            preload()
    return [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]
