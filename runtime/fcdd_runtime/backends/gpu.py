"""The NVIDIA GPU of this machine, asked of its driver: no package is needed for that."""

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRIVER_LIBRARY = "libcuda.so.1"
DRIVER_VERSION_FILE = Path("/sys/module/nvidia/version")
MAJOR, MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of CUDA's driver interface."""


@dataclass(frozen=True)
class Gpu:
    """A GPU and its driver, as an engine's identity and a proof name them."""

    name: str
    """Such as `NVIDIA RTX 4000 Ada Generation`."""
    compute_capability: str
    """Such as `8.9`."""
    driver: str
    """Version of the kernel driver, or `unknown` where it does not say."""
    cuda: str
    """Newest CUDA version that the driver runs, such as `12.4`."""


def find_gpu() -> Gpu | None:
    """Return the first GPU that the driver shows to this process; None without a driver or a GPU."""
    try:
        driver = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        return None
    return first_gpu(driver)


def first_gpu(driver: Any) -> Gpu | None:
    """Ask a loaded CUDA driver library for its first device; None if it has none or cannot start."""
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    if driver.cuDeviceGetName(name, len(name), device):
        return None
    major, minor = (_attribute(driver, number, device) for number in (MAJOR, MINOR))
    return Gpu(name.value.decode(errors="replace"), f"{major}.{minor}", _driver_version(), _cuda_version(driver))


def _attribute(driver: Any, number: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), number, device)
    return value.value


def _cuda_version(driver: Any) -> str:
    """Decode the driver's number, which is 1000 * major + 10 * minor."""
    value = ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(value))
    return f"{value.value // 1000}.{value.value % 1000 // 10}"


def _driver_version() -> str:
    try:
        return DRIVER_VERSION_FILE.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return "unknown"
