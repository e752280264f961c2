"""How long something takes."""

import time
from collections.abc import Callable

# The first runs load kernels and grow memory, and a GPU clocks up under load.
WARM_UP_SECONDS = 1.0


def seconds_a_pass(work: Callable[[], object], seconds: float) -> float:
    """How long one call of `work` takes, over about that many seconds of whole calls after a warm-up.

    `work` must leave its result on the host, so that it has waited for the device.
    """
    repeated(work, min(seconds, WARM_UP_SECONDS))
    return repeated(work, seconds)


def repeated(work: Callable[[], object], seconds: float) -> float:
    """Call `work` for that long, at least once; the seconds a call."""
    calls = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or not calls:
        work()
        calls += 1
    return elapsed / calls
