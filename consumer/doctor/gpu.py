"""The GPU and what it takes to use one: the driver, ONNX Runtime's CUDA provider, NVIDIA's libraries."""

import contextlib
import ctypes
import io
import re
from collections.abc import Iterator
from pathlib import Path

import onnxruntime

from consumer.doctor.finding import Finding, fail, ok, skip, warn
from consumer.settings import Settings

GPU = "GPU"
LIBRARIES = "GPU libraries"
DRIVER = "libcuda.so.1"
PROVIDER = "CUDAExecutionProvider"
INSTALL = "pip install 'urgency-router[cuda]'"
NAME_BYTES = 256


def check(settings: Settings) -> Iterator[Finding]:
    """Look at what a GPU needs, where the settings let one be used."""
    if settings.device == "cpu" or settings.precision == "int8":
        asked = "--device cpu" if settings.device == "cpu" else "--precision int8"
        yield skip(GPU, f"{asked} uses none")
        return
    lacking = warn if settings.device == "auto" else fail
    found = gpus()
    if isinstance(found, str):
        if settings.device == "auto":
            yield ok(GPU, f"{found}: --device auto takes the CPU")
        else:
            yield fail(GPU, found, "install NVIDIA's driver and make a GPU visible, or use --device cpu")
        yield skip(LIBRARIES, "there is no GPU to use them")
        return
    yield ok(GPU, ", ".join(found))
    if PROVIDER not in onnxruntime.get_available_providers():
        yield lacking(LIBRARIES, f"ONNX Runtime has no {PROVIDER}", f"install onnxruntime-gpu: {INSTALL}")
    elif missing := missing_libraries():
        yield lacking(LIBRARIES, f"{', '.join(missing)} cannot be loaded", f"install them: {INSTALL}")
    else:
        yield ok(LIBRARIES, f"{PROVIDER} and all that it needs can be loaded")


def gpus() -> list[str] | str:
    """The names of the GPUs that the driver finds, or in words why there are none."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return f"no NVIDIA driver ({DRIVER})"
    count = ctypes.c_int(0)
    if code := driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return f"the NVIDIA driver finds no GPU (CUDA's error {code})"
    if not count.value:
        return "the NVIDIA driver finds no GPU"
    return [_name(driver, number) for number in range(count.value)]


def missing_libraries() -> list[str]:
    """NVIDIA's libraries that ONNX Runtime's CUDA provider needs and that do not load."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        onnxruntime.preload_dlls()
    missing = re.findall(r"^Failed to load (\S+):", said.getvalue(), re.MULTILINE)
    directory = Path(onnxruntime.__file__).parent / "capi"
    for name in ("shared", "cuda"):
        try:
            ctypes.CDLL(str(directory / f"libonnxruntime_providers_{name}.so"), ctypes.RTLD_GLOBAL)
        except OSError as error:
            missing.append(str(error).partition(":")[0])
    return sorted(set(missing))


def _name(driver: ctypes.CDLL, number: int) -> str:
    name = ctypes.create_string_buffer(NAME_BYTES)
    driver.cuDeviceGetName(name, NAME_BYTES, number)
    return name.value.decode(errors="replace")
