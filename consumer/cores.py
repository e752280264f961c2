"""How many cores this process may keep busy."""

import math
import os
from pathlib import Path

# Where a container finds its limit of CPU time, as microseconds in each period (cgroup v2).
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores(quota: Path = QUOTA) -> int:
    """The cores that it may run on, or fewer where its container may use less time than they have.

    Threads beyond that time would only be stopped in the middle of their work, all at once.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        microseconds, period = quota.read_text().split()
        return max(1, min(allowed, math.ceil(int(microseconds) / int(period))))
    except (OSError, ValueError):  # no such limit, which is also spelt "max"
        return allowed
