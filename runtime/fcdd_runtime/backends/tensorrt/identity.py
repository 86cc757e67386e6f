"""What a TensorRT engine was built for: engine.json beside it, and whether it fits this machine.

A plan is a plan: nothing is glued to it, since Triton and other programs read it too.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from fcdd_runtime.backends.gpu import Gpu
from fcdd_runtime.backends.tensorrt.library import PACKAGES, Flavour
from fcdd_runtime.contract import ModelContract, from_plain
from fcdd_runtime.errors import ContractError, EngineMismatchError
from fcdd_runtime.files import sha256_of
from fcdd_runtime.outside_text import json_from_outside, read_outside_text

IDENTITY_SCHEMA_VERSION = 1
PLAN_FILE = "model.plan"
IDENTITY_FILE = "engine.json"
BUILD_LOG_FILE = "engine_build.log"
TIMING_CACHE_FILE = "timing.cache"


@dataclass(frozen=True)
class Profile:
    """The batch sizes that an engine was built for."""

    smallest: int
    best: int
    """What it is tuned for."""
    largest: int


@dataclass(frozen=True)
class EngineIdentity:
    """What an engine was built by, on, from and for."""

    schema_version: int
    flavour: Flavour
    version: str
    """Version of the library that built it."""
    compute_capabilities: tuple[str, ...]
    """GPU generations that it was built for, such as `8.9`."""
    gpu: Gpu | None
    """Where it was built; None on a machine without a GPU."""
    profile: Profile
    onnx_sha256: str
    """Hash of the ONNX file that it was built from."""
    engine_sha256: str
    timing_cache_sha256: str | None
    """Hash of the timing cache after the build, which lets another build choose the same kernels; None where the
    flavour has none."""
    version_compatible: bool
    """Whether later releases of the same major version may load it."""
    hardware_compatible: bool
    """Whether it was built for more GPU generations than that of one machine."""
    proven: bool
    """Whether its golden vectors were run where it was built; otherwise the runtime runs them at first opening."""

    def to_json(self) -> str:
        """Return the identity as JSON text, keys in declaration order, ending in a newline."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "EngineIdentity":
        """Read an identity.

        Raises
        ------
        ContractError
            If the text is no JSON object, of another schema version, or an entry is missing, unknown or mistyped.
        """
        try:
            identity: EngineIdentity = from_plain(cls, json_from_outside(text))
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"the engine's identity is damaged ({error}); build the engine again") from error
        if identity.schema_version != IDENTITY_SCHEMA_VERSION:
            raise ContractError(
                f"the engine's identity has schema version {identity.schema_version}, this program reads "
                f"{IDENTITY_SCHEMA_VERSION}; build the engine with the same release as the runtime"
            )
        return identity

    def describe(self) -> str:
        """Return what it was built for in words."""
        place = f"{self.gpu.name}, driver {self.gpu.driver}" if self.gpu else "no GPU"
        return (
            f"{PACKAGES[self.flavour].title} {self.version} for compute capability "
            f"{', '.join(self.compute_capabilities)} on {place}"
        )


def read_engine(folder: Path, contract: ModelContract) -> tuple[EngineIdentity, bytes]:
    """Read the engine of a model folder with its identity.

    Raises
    ------
    ContractError
        If a file is missing or damaged, or engine, identity and contract do not belong together.
    """
    path = folder / contract.artefact
    try:
        plan = path.read_bytes()
        text = read_outside_text(path.parent / IDENTITY_FILE)
    except (OSError, ValueError) as error:
        raise ContractError(
            f"{folder} lacks {path.name} or {IDENTITY_FILE} beside it; build the engine again"
        ) from error
    identity = EngineIdentity.from_json(text)
    if not sha256_of(plan) == contract.artefact_sha256 == identity.engine_sha256:
        raise ContractError(f"{path} is not the engine that its contract and identity name; build the engine again")
    if identity.flavour != contract.target or identity.profile.largest != contract.max_batch_size:
        raise ContractError(f"{path} was not built as its contract says; build the engine again")
    return identity, plan


def check_fits(identity: EngineIdentity, version: str, gpu: Gpu, folder: Path) -> None:
    """Refuse an engine that was built for another library or GPU than what is here.

    Parameters
    ----------
    version : of the library of the engine's flavour on this machine
    folder : the model folder, for the command that builds the engine again

    Raises
    ------
    EngineMismatchError
        If it does not fit; the sentence names both sides.
    """
    version_fits = version == identity.version
    if identity.version_compatible:
        built, here = _numbers(identity.version), _numbers(version)
        version_fits = here[0] == built[0] and here >= built
    # Full TensorRT times its kernels on one GPU model and warns of errors on others, so the model must be the same.
    same_model = identity.gpu is not None and identity.gpu.name == gpu.name
    gpu_fits = gpu.compute_capability in identity.compute_capabilities
    if identity.flavour == "tensorrt":
        from_ampere_on = int(gpu.compute_capability.split(".")[0]) >= 8
        gpu_fits = from_ampere_on if identity.hardware_compatible else gpu_fits and same_model
    if not (version_fits and gpu_fits):
        raise EngineMismatchError(
            f"the engine in {folder} was built by {identity.describe()}; here are {PACKAGES[identity.flavour].title} "
            f"{version} and {gpu.name} with compute capability {gpu.compute_capability}, driver {gpu.driver}; "
            f"build it for this machine: fcdd-export {folder} --target {identity.flavour}"
        )


def _numbers(version: str) -> list[int]:
    """Return a version's leading numbers, such as 10, 3, 0, 26; at least one."""
    parts = version.split(".")
    return [int(part) for part in parts if part.isdecimal()] or [-1]
