"""``python -m tests.integration.faults`` ends in order when told to."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
SECONDS = 120.0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_behind(how: signal.Signals, tiny_bundle: Path, tmp_path: Path) -> None:
    """Told to stop in the middle of its work, it ends with another code than 0 and leaves nothing."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.faults", "--bundle", str(tiny_bundle)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        said = said_until("consumers share", process)
        assert process.poll() is None, said
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 6, "three brokers and three consumers should run"

        process.send_signal(how)

        assert process.wait(SECONDS) != 0
        _, alive = psutil.wait_procs(children, SECONDS)
        assert alive == []
        assert list(tmp_path.glob("chaos-*")) == []
    finally:
        process.kill()
        process.communicate()


def said_until(what: str, process: subprocess.Popen[str]) -> list[str]:
    """The lines it prints up to one with these words, or all if there is none."""
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if what in line:
            break
    return said
