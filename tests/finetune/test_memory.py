"""What preparing data costs in memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# The peak of anonymous memory, which is what can run out. Pages of the memory-mapped Arrow files are not in
# it: the kernel drops those as soon as it needs the room. Words over 100 letters are one [UNK] to the
# tokenizer, which makes the test quick.
MEASURE = """
import json, re, sys, threading
from pathlib import Path
from consumer.window import Window
from finetune import base_model, splits
from finetune.settings import parse_settings

folder, model, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
file = folder / "reviews.tsv"
with file.open("w") as out:
    out.write("star_rating\\treview_body\\n")
    for n in range(count):
        out.write(f"{n % 5 + 1}\\t" + f"{n:0120d} " * 8 + "\\n")

peak, done = 0, threading.Event()
def watch():
    global peak
    while not done.wait(0.01):
        kilobytes = re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
        peak = max(peak, int(kilobytes) * 1024)

settings = parse_settings(["--data", str(file), "--output", str(folder), "--base-model", model])
tokenizer = base_model.load_tokenizer(Path(model))
watcher = threading.Thread(target=watch)
watcher.start()
splits.prepare(settings, ["0"], tokenizer, Window(64, 16), folder)
done.set()
watcher.join()
print(json.dumps({"peak": peak, "file": file.stat().st_size}))
"""


def measure(folder: Path, model: Path, count: int) -> dict[str, int]:
    """Prepare that many comments in a process of its own; returns the bytes of memory and of the file."""
    folder.mkdir()
    command = [sys.executable, "-c", MEASURE, str(folder), str(model), str(count)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")
def test_memory_does_not_grow_with_the_file(tmp_path: Path, tiny_bert: Path) -> None:
    """Ten times as many comments take more memory by less than a fifth of what the file grew."""
    small = measure(tmp_path / "small", tiny_bert, 4_000)
    large = measure(tmp_path / "large", tiny_bert, 40_000)
    assert large["peak"] - small["peak"] < (large["file"] - small["file"]) / 5, (small, large)
