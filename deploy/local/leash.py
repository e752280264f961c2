"""Become another program that dies with the process that asked for it: ``leash.py PARENT COMMAND…``.

A program of its own, since whatever Python runs between fork and exec is unsafe beside threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h; it outlasts exec


def main(parent: int, command: list[str]) -> None:
    """Turn into `command`; on Linux, it is killed (SIGKILL) when the thread that started this ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before it was asked about.
        if os.getppid() != parent:
            sys.exit("leash: the parent is gone")
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
