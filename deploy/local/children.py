"""Child processes that end in order, and in no case outlive this process."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from deploy.local import leash

STOP_SECONDS = 20.0


def spawn(
    command: Sequence[str], *, output: IO[bytes] | None = None, directory: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a program (its whole path, and arguments) in a session of its own: Ctrl-C does not reach it.

    Its standard output and error go to `output`, or where this process's go. On Linux it is killed when the
    thread that called this ends, even if by SIGKILL.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> int:
    """Ask the process to end (SIGTERM), and kill it if it has not after `seconds`; its exit code."""
    process.terminate()
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return kill(process)
    except BaseException:
        # A second Ctrl-C: whoever asks twice does not want to wait.
        kill(process)
        raise


def kill(process: subprocess.Popen[bytes]) -> int:
    """End the process and its children at once (SIGKILL); its exit code."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
