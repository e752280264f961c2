"""What a plain matrix product reaches on a device."""

import time
from statistics import median

import torch

from consumer.bundle import Device
from tests.gpu import clock

# Large enough to fill any GPU of today, and done by a CPU in reasonable time.
SIZES: dict[Device, int] = {"cuda": 8192, "cpu": 2048}
DTYPES: dict[Device, torch.dtype] = {"cuda": torch.float16, "cpu": torch.float32}


def matrix_product(device: Device, seconds: float) -> float:
    """Operations a second of a large square product, fp16 on a GPU and fp32 on a CPU: the median."""
    size, dtype = SIZES[device], DTYPES[device]
    a, b = (torch.rand(size, size, dtype=dtype, device=device) for _ in range(2))
    durations: list[float] = []

    def product() -> None:
        synchronize(device)
        start = time.perf_counter()
        torch.mm(a, b)
        synchronize(device)
        durations.append(time.perf_counter() - start)

    clock.repeated(product, min(seconds, clock.WARM_UP_SECONDS))
    durations.clear()
    clock.repeated(product, seconds)
    return float(2 * size**3 / median(durations))


def synchronize(device: Device) -> None:
    """Wait until the device has done all that PyTorch gave it."""
    if device == "cuda":
        torch.cuda.synchronize()
