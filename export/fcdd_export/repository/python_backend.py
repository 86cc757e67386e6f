"""Triton Python backend of one exported model: ONNX Runtime on whatever the machine has.

This file is copied into the model's version folder and stands alone there: the model folder is the interface, and
no code of this project has to be installed beside the server.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

# Unless this is set before the import, each process is reported to the maker of ONNX Runtime.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]  # exists inside Triton only

OUTPUTS = ["score", "anomaly_map"]


class TritonPythonModel:
    """Answers `score` and `anomaly_map` for batches of uint8 images."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model, after checking that it is the one that was verified."""
        config = json.loads(args["model_config"])
        contract = json.loads(config["parameters"]["contract"]["string_value"])
        artefact = (Path(args["model_repository"]) / contract["artefact"]).read_bytes()
        if hashlib.sha256(artefact).hexdigest() != contract["artefact_sha256"]:
            raise pb_utils.TritonModelException("the model file is not the one that was verified; export it again")
        self.inputs: list[str] = contract["inputs"]
        options = onnxruntime.SessionOptions()
        # Worker threads sleep once a batch is done: Triton needs the cores to answer.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(artefact, options, providers=providers())

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run the requests that Triton gathered as one batch, and give each its share of the answer."""
        batches = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            for request in requests
        ]
        whole = {name: np.concatenate([batch[name] for batch in batches]) for name in self.inputs}
        answers = self.session.run(OUTPUTS, whole)
        ends = np.cumsum([len(batch[self.inputs[0]]) for batch in batches])[:-1]
        shares = zip(*(np.split(answer, ends) for answer in answers), strict=True)
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, value) for name, value in zip(OUTPUTS, share, strict=True)]
            )
            for share in shares
        ]


def providers() -> list[Any]:
    """CUDA where it is built in, without TF32, which would change scores silently; the CPU otherwise."""
    cuda = [("CUDAExecutionProvider", {"use_tf32": "0"})]
    available = onnxruntime.get_available_providers()
    return [*(cuda if "CUDAExecutionProvider" in available else []), "CPUExecutionProvider"]
