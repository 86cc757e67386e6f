"""ONNX -> engine of TensorRT or TensorRT-RTX, with its identity. Needs neither torch nor onnx: appliances build too."""

from dataclasses import dataclass
from typing import Any

from fcdd_export.engine.errors import build_error, check_parsed, start_error
from fcdd_export.engine.layers import Layer, check_layers, layers_of
from fcdd_export.engine.monitor import BuildMonitor, BuildProgress
from fcdd_export.engine.settings import EngineSettings, builder_config, compute_capabilities
from fcdd_runtime.backends.gpu import Gpu, find_gpu
from fcdd_runtime.backends.tensorrt.identity import (
    BUILD_LOG_FILE,
    IDENTITY_FILE,
    IDENTITY_SCHEMA_VERSION,
    PLAN_FILE,
    TIMING_CACHE_FILE,
    EngineIdentity,
)
from fcdd_runtime.backends.tensorrt.library import Flavour, Message, library_log, load_library
from fcdd_runtime.contract import Precision
from fcdd_runtime.files import sha256_of


@dataclass(frozen=True)
class Engine:
    """An engine with all that is kept beside it."""

    plan: bytes
    identity: EngineIdentity
    log: str
    """What the builder said, one line a message, without what it says for its own developers only."""
    timing_cache: bytes
    """After the build; empty for TensorRT-RTX."""

    def files(self) -> dict[str, bytes]:
        """Return file name -> contents of what belongs into one folder."""
        files = {
            PLAN_FILE: self.plan,
            IDENTITY_FILE: self.identity.to_json().encode(),
            BUILD_LOG_FILE: self.log.encode(),
        }
        return files | ({TIMING_CACHE_FILE: self.timing_cache} if self.timing_cache else {})


def engine_from_onnx(
    onnx: bytes, precision: Precision, settings: EngineSettings, progress: BuildProgress | None = None
) -> Engine:
    """Build an engine for batches from 1 to the largest, tuned for the two breasts of a study.

    The network is strongly typed: the graph's own types hold, and TF32 is off, so that FLOAT means FLOAT. Before it
    is built, the parsed network is checked layer by layer. The engine's identity says that it is not proven yet.

    Parameters
    ----------
    onnx : contents of the ONNX file
    precision : what the graph was made for
    progress : told of every step that TensorRT reports; raising ends the build

    Raises
    ------
    MissingExtraError
        If the flavour is not installed.
    EngineBuildError
        If TensorRT refuses the graph, or cannot build it on this machine.
    GateError
        If it made other types of the graph than the precision demands.
    """
    with library_log(settings.flavour).kept() as messages:
        build = _parse(settings, onnx)
        check_layers(layers_of(build.network), precision)
        plan, cache = _build_plan(build, progress, messages)
    identity = EngineIdentity(
        schema_version=IDENTITY_SCHEMA_VERSION,
        flavour=settings.flavour,
        version=str(build.library.__version__),
        compute_capabilities=compute_capabilities(build.library, settings, build.gpu),
        gpu=build.gpu,
        profile=settings.profile,
        onnx_sha256=sha256_of(onnx),
        engine_sha256=sha256_of(plan),
        timing_cache_sha256=sha256_of(cache) if cache else None,
        version_compatible=settings.version_compatible,
        hardware_compatible=settings.for_all_gpus(build.gpu),
        proven=False,
    )
    log = "".join(f"{level} {text}\n" for level, text in messages if level != "VERBOSE")
    return Engine(plan, identity, log, cache)


def layers_from_onnx(onnx: bytes, flavour: Flavour) -> list[Layer]:
    """Parse a graph and list what TensorRT makes of it, without building.

    Raises
    ------
    MissingExtraError, EngineBuildError
        If the flavour is not installed, or refuses the graph.
    """
    build = _parse(EngineSettings(flavour, max_batch_size=1), onnx)
    return layers_of(build.network)


@dataclass(frozen=True)
class _Build:
    """A parsed network, and what must live as long as it does."""

    library: Any
    settings: EngineSettings
    gpu: Gpu | None
    builder: Any
    network: Any
    parser: Any


def _parse(settings: EngineSettings, onnx: bytes) -> _Build:
    library, log = load_library(settings.flavour), library_log(settings.flavour)
    try:
        builder = library.Builder(log.logger)
    except (TypeError, RuntimeError) as error:
        raise start_error(settings.flavour, log.last_error()) from error
    # Releases before 11 must be told to take the graph's types as they are; 11 does nothing else.
    flag = getattr(library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if flag is None else 1 << int(flag))
    parser = library.OnnxParser(network, log.logger)
    with log.kept() as messages:
        well = parser.parse(onnx)
    check_parsed(settings.flavour, library, parser, well, messages)
    return _Build(library, settings, find_gpu(), builder, network, parser)


def _build_plan(build: _Build, progress: BuildProgress | None, messages: list[Message]) -> tuple[bytes, bytes]:
    """Return plan and timing cache."""
    config = builder_config(build.library, build.builder, build.network, build.settings, build.gpu)
    monitor = BuildMonitor(build.library, progress)
    config.progress_monitor = monitor.native
    plan = build.builder.build_serialized_network(build.network, config)
    monitor.raise_what_ended_it()
    if plan is None:
        raise build_error(build.settings.flavour, build.library, messages)
    rtx = build.settings.flavour == "tensorrt-rtx"
    return bytes(memoryview(plan)), b"" if rtx else bytes(memoryview(config.get_timing_cache().serialize()))
