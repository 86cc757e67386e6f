"""How an engine is built: batch profile, types, and which GPUs and releases it is for."""

from dataclasses import dataclass
from typing import Any

from fcdd_runtime.backends.gpu import Gpu
from fcdd_runtime.backends.tensorrt.identity import Profile
from fcdd_runtime.backends.tensorrt.library import Flavour
from fcdd_runtime.errors import EngineBuildError

BEST_BATCH_SIZE = 2
"""The two breasts of one study: what a scanner-side appliance runs all day."""
TURING = "7.5"
"""Left out of engines that are built for all GPUs, as TensorRT-RTX itself leaves it out unless it is named."""


@dataclass(frozen=True)
class EngineSettings:
    """How an engine is built."""

    flavour: Flavour
    max_batch_size: int
    version_compatible: bool = False
    """Whether later releases of the same major version may load it; full TensorRT only."""
    hardware_compatible: bool = False
    """Whether it shall run on all GPUs from Ampere on, and not only on this machine's. TensorRT-RTX does so too where
    no GPU is at hand."""
    timing_cache: bytes = b""
    """A timing cache of an earlier build; empty: every kernel is timed anew. TensorRT-RTX has none."""

    @property
    def profile(self) -> Profile:
        """The batch sizes."""
        return Profile(1, min(BEST_BATCH_SIZE, self.max_batch_size), self.max_batch_size)

    def for_all_gpus(self, gpu: Gpu | None) -> bool:
        """Whether the engine is built for all GPUs from Ampere on, given the one that is here."""
        return self.hardware_compatible or (self.flavour == "tensorrt-rtx" and gpu is None)


def builder_config(library: Any, builder: Any, network: Any, settings: EngineSettings, gpu: Gpu | None) -> Any:
    """Return TensorRT's `IBuilderConfig` for a network.

    Raises
    ------
    EngineBuildError
        If the flavour cannot do what is asked.
    """
    config = builder.create_builder_config()
    config.clear_flag(library.BuilderFlag.TF32)
    profile, batches = builder.create_optimization_profile(), settings.profile
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        image = tuple(tensor.shape)[1:]
        sizes = (batches.smallest, batches.best, batches.largest)
        profile.set_shape(tensor.name, *((size, *image) for size in sizes))
    config.add_optimization_profile(profile)
    if settings.flavour == "tensorrt-rtx":
        _configure_rtx(library, config, settings, gpu)
    else:
        _configure_full(library, config, settings)
    return config


def compute_capabilities(library: Any, settings: EngineSettings, gpu: Gpu | None) -> tuple[str, ...]:
    """Return the GPU generations that an engine of these settings is for, such as `8.9`."""
    if settings.flavour == "tensorrt-rtx" and settings.for_all_gpus(gpu):
        return tuple(name for name in _rtx_generations(library) if name != TURING)
    return (gpu.compute_capability,) if gpu else ()


def _configure_full(library: Any, config: Any, settings: EngineSettings) -> None:
    if settings.version_compatible:
        config.set_flag(library.BuilderFlag.VERSION_COMPATIBLE)
    if settings.hardware_compatible:
        config.hardware_compatibility_level = library.HardwareCompatibilityLevel.AMPERE_PLUS
    cache = config.create_timing_cache(settings.timing_cache)
    # A cache of another GPU or release is refused; then every kernel is timed anew.
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _configure_rtx(library: Any, config: Any, settings: EngineSettings, gpu: Gpu | None) -> None:
    """Name the GPU generations: TensorRT-RTX takes these instead of a compatibility level, and needs no GPU for it."""
    if settings.version_compatible:
        raise EngineBuildError(
            "TensorRT-RTX builds no engines for other releases than its own; build on the appliance, "
            "or with --target tensorrt"
        )
    chosen = compute_capabilities(library, settings, gpu)
    generations = _rtx_generations(library)
    if unknown := [generation for generation in chosen if generation not in generations]:
        raise EngineBuildError(
            f"TensorRT-RTX {library.__version__} does not run on compute capability {unknown[0]}, only on "
            f"{', '.join(generations)}; give --target tensorrt"
        )
    config.num_compute_capabilities = len(chosen)
    for index, generation in enumerate(chosen):
        config.set_compute_capability(generations[generation], index)


def _rtx_generations(library: Any) -> dict[str, Any]:
    """Return compute capability, such as `8.9` -> TensorRT-RTX's name for it, in order."""
    numbered = {
        int(name.removeprefix("SM")): value
        for name, value in library.ComputeCapability.__members__.items()
        if name.startswith("SM")
    }
    return {f"{number // 10}.{number % 10}": value for number, value in sorted(numbered.items())}
