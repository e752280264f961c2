"""A bundle's model on a device."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from consumer import bundle, session
from consumer.bundle import Device, DeviceChoice, PrecisionChoice
from consumer.session import leaves_gpu_unused, open_session


def test_nobody_is_told(tmp_path: Path) -> None:
    """ONNX Runtime leaves nothing in the home directory when it is imported, so has nothing to report."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    command = [sys.executable, "-c", "import consumer.session"]
    subprocess.run(command, check=True, env={**environment, "HOME": str(tmp_path)}, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_cpu_runs_the_graph_as_exported(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime puts no LayerNorm back together that export took apart for speed."""

    class Profiled(onnxruntime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.enable_profiling = True
            self.profile_file_prefix = str(tmp_path / "profile")

    monkeypatch.setattr(onnxruntime, "SessionOptions", Profiled)
    *_, opened = open_session(bundle.read(tiny_bundle), "cpu", "default")
    tokens = np.ones((2, 7), dtype=np.int32)
    opened.run(None, {"input_ids": tokens, "attention_mask": tokens})

    events = json.loads(Path(opened.end_profiling()).read_text())

    ran = {event["args"]["op_name"] for event in events if "op_name" in event.get("args", {})}
    assert "LayerNormalization" in ran
    assert "SkipLayerNormalization" not in ran


@pytest.mark.parametrize(("gpu_memory", "limit"), [(0, None), (3_500_000_000, "3500000000")])
def test_gpu_memory_is_bounded_where_asked(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, gpu_memory: int, limit: str | None
) -> None:
    """The bound reaches ONNX Runtime's arena in bytes, and 0 sets none."""
    given: list[Any] = []

    class Driver:
        def cuInit(self, _: int) -> int:  # noqa: N802
            return 0

        def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
            count._obj.value = 1
            return 0

    class Opened:
        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Driver())
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(session, "_load_model", lambda *arguments: given.extend(arguments) or Opened())

    open_session(bundle.read(tiny_bundle), "cuda", "default", gpu_memory)

    [(provider, options), fallback] = given[3]
    assert (provider, fallback) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert options.get("gpu_mem_limit") == limit


@pytest.mark.parametrize(
    ("shown", "device", "choice", "precision", "unused"),
    [
        ("nvidia0", "cpu", "auto", "default", True),
        ("nvidia11", "cpu", "auto", "default", True),
        ("nvidiactl", "cpu", "auto", "default", False),
        ("null", "cpu", "auto", "default", False),
        ("nvidia0", "cuda", "auto", "default", False),
        ("nvidia0", "cpu", "cpu", "default", False),
        ("nvidia0", "cpu", "auto", "int8", False),
    ],
)
def test_gpu_is_unused_where_auto_fell_back(
    shown: str,
    device: Device,
    choice: DeviceChoice,
    precision: PrecisionChoice,
    unused: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A GPU is unused where its device file is there, and neither it nor a person chose the CPU."""
    (tmp_path / shown).touch()
    monkeypatch.setattr(session, "DEVICES", tmp_path)

    assert leaves_gpu_unused(device, choice, precision) is unused
