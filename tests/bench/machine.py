"""The line above every figure: what it was measured on."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import psutil

# What decides how fast matrices are multiplied, by the kernel's name for it.
INSTRUCTION_SETS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "amx_int8": "AMX int8",
    "asimddp": "NEON dot product",
    "i8mm": "NEON int8",
}


def describe() -> str:
    """CPU, cores, instruction sets, memory, and GPU if there is one."""
    parts = [
        _cpu(),
        f"{cores()} cores",
        ", ".join(name for flag, name in INSTRUCTION_SETS.items() if flag in cpu_flags()) or "no vector unit",
        f"{psutil.virtual_memory().total / 2**30:.0f} GB of memory",
        gpu() or "no GPU",
    ]
    return "; ".join(parts)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def has_int8_products() -> bool:
    """Whether the CPU multiplies and adds bytes in one instruction."""
    return bool({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"} & cpu_flags())


def cpu_flags() -> frozenset[str]:
    """The CPU's features, by the kernel's names."""
    found = re.search(r"^(?:flags|Features)\s*: (.*)$", _cpuinfo(), re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()


def gpu() -> str | None:
    """The GPUs by NVIDIA's name, None where there is none."""
    if not shutil.which("nvidia-smi"):
        return None
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True
    )
    return ", ".join(asked.stdout.split("\n")).strip(", ") if asked.returncode == 0 else None


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.*)$", _cpuinfo(), re.MULTILINE)
    return found.group(1) if found else platform.processor() or platform.machine()


def _cpuinfo() -> str:
    return Path("/proc/cpuinfo").read_text()
