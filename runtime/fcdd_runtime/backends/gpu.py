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
    major, minor, cuda = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, device)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, device)
    driver.cuDriverGetVersion(ctypes.byref(cuda))
    try:
        kernel_driver = DRIVER_VERSION_FILE.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        kernel_driver = "unknown"
    return Gpu(
        name=name.value.decode(errors="replace"),
        compute_capability=f"{major.value}.{minor.value}",
        driver=kernel_driver,
        # The driver's number is 1000 * major + 10 * minor.
        cuda=f"{cuda.value // 1000}.{cuda.value % 1000 // 10}",
    )
