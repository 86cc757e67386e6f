"""Proving an engine on the GPU that runs it: the golden vectors once, and a record beside the engine."""

import contextlib
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from fcdd_runtime.backends.base import Backend
from fcdd_runtime.backends.golden import SelfTest, read_golden, self_test
from fcdd_runtime.backends.gpu import Gpu
from fcdd_runtime.backends.tensorrt.identity import EngineIdentity
from fcdd_runtime.contract import from_plain
from fcdd_runtime.files import replaced_file
from fcdd_runtime.outside_text import json_from_outside, read_outside_text

PROOF_FILE = "engine_proof.json"


@dataclass(frozen=True)
class EngineProof:
    """That an engine answered its golden vectors right, and where. It holds for that library, GPU and driver only."""

    engine_sha256: str
    version: str
    """Of the TensorRT library."""
    gpu: Gpu
    result: SelfTest


def prove_once(backend: Backend, folder: Path, identity: EngineIdentity, version: str, gpu: Gpu) -> None:
    """Run the golden vectors of a model folder, unless that was done here before, and record the outcome.

    Where the folder cannot be written to, nothing is recorded and the next opening proves the engine again.

    Parameters
    ----------
    version : of the TensorRT library on this machine

    Raises
    ------
    GateError
        If an answer differs by more than the limit of the model's precision.
    """
    path = (folder / backend.contract.artefact).parent / PROOF_FILE
    if identity.proven and (identity.version, identity.gpu) == (version, gpu):
        return
    # A record that cannot be read is none: the golden vectors are run again.
    with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
        former: EngineProof = from_plain(EngineProof, json_from_outside(read_outside_text(path)))
        if (former.engine_sha256, former.version, former.gpu) == (identity.engine_sha256, version, gpu):
            return
    proof = EngineProof(identity.engine_sha256, version, gpu, self_test(backend, read_golden(folder)))
    with contextlib.suppress(OSError), replaced_file(path) as fresh:
        fresh.write_text(json.dumps(dataclasses.asdict(proof), indent=2) + "\n", encoding="utf-8")
