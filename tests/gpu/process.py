"""A graph measured in a process of its own, whose environment ONNX Runtime finds as it starts.

It imports neither torch nor transformers, which would take longer than measuring.
"""

import ctypes
import multiprocessing
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from consumer.bundle import Bundle, Device
from tests.gpu import batches, clock
from tests.gpu.batches import Batch

# ONNX Runtime then says, at every run, which attention kernel it takes.
SAY_KERNEL = "ORT_ENABLE_ATTENTION_KERNEL_DEBUG_INFO"

T = TypeVar("T")

_spawning = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Measured:
    """What a process found for some micro-batches.

    seconds: for all of them
    bound: the same through IO binding, inputs already on the device
    kernels: what ONNX Runtime calls the attention it chose for them; "" where it says nothing
    answers: [texts, labels], by micro-batch
    """

    seconds: float
    bound: float
    kernels: str
    answers: NDArray[np.float32]


def measure(
    of: Bundle,
    device: Device,
    workloads: Mapping[str, Sequence[Batch]],
    *,
    seconds: float,
    variables: Mapping[str, str],
    log: Path,
) -> dict[str, Measured]:
    """Measure a bundle's graph in a new process.

    Args:
        of: whose graph for the device.
        device: where.
        workloads: micro-batches by name.
        seconds: of each measurement.
        variables: added to the environment.
        log: for what the process prints.

    Raises:
        BrokenProcessPool: the process crashed.
    """
    measured = partial(_measured, of, device, dict(workloads), seconds, log)
    return apart(measured, variables=variables, log=log)


def apart(work: Callable[[], T], *, variables: Mapping[str, str], log: Path) -> T:
    """Do something that can be pickled in a new process, with more environment and its output in a file."""
    with ProcessPoolExecutor(
        1, mp_context=_spawning, initializer=_start, initargs=(dict(variables), log)
    ) as pool:
        return pool.submit(work).result()


def kernels(said: str) -> str:
    """The attention kernels that ONNX Runtime says it took."""
    return ", ".join(sorted(set(re.findall(r"SdpaKernel=(\w+)", said))))


def _start(variables: dict[str, str], log: Path) -> None:
    os.environ.update(variables)
    # ONNX Runtime writes from C++, past sys.stdout.
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _measured(
    of: Bundle, device: Device, workloads: dict[str, Sequence[Batch]], seconds: float, log: Path
) -> dict[str, Measured]:
    session = batches.session(of, device)
    answer = batches.answered_by(session)
    found = {}
    for name, ready in workloads.items():
        alone = clock.seconds_a_pass(lambda ready=ready: batches.answers(answer, ready), seconds)  # type: ignore[misc]
        bound = clock.seconds_a_pass(batches.bound(session, device, ready), seconds)
        found[name] = Measured(
            alone, bound, _kernels_of(of, device, ready, log), batches.answers(answer, ready)
        )
    return found


def _kernels_of(of: Bundle, device: Device, ready: Sequence[Batch], log: Path) -> str:
    """The kernels of a session that says them, which takes time at every run."""
    before = len(log.read_text())
    os.environ[SAY_KERNEL] = "1"
    batches.answers(batches.answered_by(batches.session(of, device)), ready)
    del os.environ[SAY_KERNEL]
    ctypes.CDLL(None).fflush(None)
    return kernels(log.read_text()[before:])
