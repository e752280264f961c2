"""`python -m export`: what it writes, what it says, and what is left when it does not finish."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper
from transformers import BertConfig

from consumer import bundle
from consumer.bundle import Agreement
from consumer.classifier import Classifier
from consumer.errors import BundleError
from export import graph, parity, quantisation
from export.__main__ import main
from export.checkpoint import Checkpoint
from tests.conftest import comments, write_test_split

# Runs the command with one function replaced by one that says so and waits to be killed.
BLOCKED = """
import runpy, sys, time
from {module} import {name}
import {module} as module
def wait(*args, **kwargs):
    print("BLOCKED", flush=True)
    time.sleep(600)
module.{name} = wait
sys.argv = ["export", *sys.argv[1:]]
runpy.run_module("export", run_name="__main__")
"""


def contents(directory: Path) -> dict[str, bytes]:
    """Every file of a directory."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def run(*arguments: str | Path, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "export", *map(str, arguments)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@contextmanager
def blocked(at: str, checkpoint: Path, output: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, stopped at a function; killed at the end if it still runs."""
    module, _, name = at.rpartition(".")
    command = [sys.executable, "-c", BLOCKED.format(module=module, name=name), str(checkpoint)]
    process = subprocess.Popen(
        [*command, "--output", str(output), "--variants", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any(line == "BLOCKED\n" for line in process.stdout)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_bundle_proves_itself(tiny_bundle: Path) -> None:
    """The consumer reads the bundle, and its golden comments come out as PyTorch gave them."""
    Classifier(bundle.read(tiny_bundle), device="cpu").prove()


def test_bundle_answers_as_pytorch_does_alone(tiny_bundle: Path, checkpoint: Checkpoint) -> None:
    """Texts of all lengths, classified together, get what PyTorch gives each alone."""
    texts = ["late", "", "kind waiter", "cold food again " * 9, "never " * 200, "é☃ unknown"]
    got = Classifier(bundle.read(tiny_bundle), device="cpu").classify(texts)
    expected = parity.reference(checkpoint, texts, token_budget=1, advance=lambda count: None)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_bundle_states_what_was_measured(tiny_bundle: Path) -> None:
    """bundle.json has the comparison of the cpu variant, the labels, max_length and what training was."""
    manifest = bundle.read(tiny_bundle).manifest
    agreement = manifest.variants["cpu"].agreement
    assert agreement is not None
    assert agreement.texts == 520
    assert agreement.label_agreement == 1
    assert 0 < agreement.largest_probability_difference < 1e-4
    assert (manifest.name, manifest.labels, manifest.window) == ("tiny", ("1", "2", "3", "4", "5"), (64, 16))
    assert manifest.training == {
        "temperature": 1.7,
        "measures": {"accuracy": 0.5},
        "labels": {"1": 120, "2": 80, "3": 100, "4": 200, "5": 500},
    }
    assert {device: variant.precision for device, variant in manifest.variants.items()} == {
        "cpu": "fp32",
        "cpu-int8": "int8",
        "cuda": "fp16",
    }


def test_every_label_occurs_in_the_golden_comments(tiny_bundle: Path) -> None:
    """The fixture is no toy that always answers the same."""
    golden = bundle.read(tiny_bundle).golden
    assert {int(np.argmax(comment.probabilities)) for comment in golden} == {0, 1, 2, 3, 4}


def test_tokenizer_neither_cuts_nor_pads(tiny_bundle: Path) -> None:
    """tokenizer.json has no truncation and no padding, which the checkpoint's had."""
    tokenizer = json.loads((tiny_bundle / "tokenizer.json").read_text())
    assert (tokenizer["truncation"], tokenizer["padding"]) == (None, None)


def test_same_checkpoint_gives_the_same_version(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """Another process with another hash seed writes the same files, and says little but what matters."""
    result = run(tiny_checkpoint, "--output", tmp_path / "again", hash_seed="7")
    assert (result.returncode, result.stderr) == (0, "")
    again, before = contents(tmp_path / "again"), contents(tiny_bundle)
    models = ("model.cpu.onnx", "model.cpu-int8.onnx", "model.cuda.onnx")
    for name in (*models, "tokenizer.json", "golden.json"):
        assert again[name] == before[name], name
    version = bundle.read(tiny_bundle).manifest.version
    assert f"version {version}" in result.stdout
    assert f"python -m consumer --bundle {tmp_path / 'again'}" in result.stdout
    assert re.search(r"cpu +fp32 +0\.1 MB +520 +\d\.\de-\d\d +100\.00%", result.stdout)


def test_cuda_variant_without_a_gpu_is_unchecked(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no GPU is found the variant is written, called unchecked, and rehearsed on the CPU."""
    monkeypatch.setattr("ctypes.CDLL", _no_driver)
    assert main([str(tiny_checkpoint), "--output", str(tmp_path / "b"), "--variants", "cuda"]) == 0
    manifest = bundle.read(tmp_path / "b").manifest
    assert {device: variant.agreement for device, variant in manifest.variants.items()} == {"cuda": None}
    said = capsys.readouterr().out
    assert re.search(r"cuda +fp16 .* unchecked +unchecked\n", said)
    assert "The cuda variant is unchecked: this machine has no NVIDIA driver" in said
    assert sorted(contents(tmp_path / "b")) == [
        "bundle.json",
        "golden.json",
        "model.cuda.onnx",
        "tokenizer.json",
    ]


def _no_driver(name: str) -> None:
    raise OSError(f"{name}: cannot open shared object file")


def test_wrong_graph_writes_nothing(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A graph that computes otherwise than PyTorch fails the export with one sentence and no file."""
    make = graph.fused

    def wrong(checkpoint: Checkpoint) -> ModelProto:
        model = make(checkpoint)
        for tensor in model.graph.initializer:
            if tensor.name == "temperature":
                tensor.CopyFrom(numpy_helper.from_array(np.float32(1.8), "temperature"))
        return model

    monkeypatch.setattr(graph, "fused", wrong)
    output = tmp_path / "bundle"
    assert main([str(tiny_checkpoint), "--output", str(output), "--variants", "cpu"]) == 1
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"export: the cpu variant's probabilities differ .*: no bundle was written; .*\n", said
    )


@pytest.fixture
def undecided(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny checkpoint, to be compared on near ties too, of which int8 tips some to another label."""
    checkpoint = shutil.copytree(tiny_checkpoint, tmp_path / "undecided")
    write_test_split(checkpoint, comments(520))
    return checkpoint


def test_int8_that_changes_labels_is_left_out(
    undecided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A default export leaves out an int8 variant outside its limits, says why, and writes the others."""
    output = tmp_path / "bundle"
    assert main([str(undecided), "--output", str(output)]) == 0
    assert set(bundle.read(output).manifest.variants) == {"cpu", "cuda"}
    assert "model.cpu-int8.onnx" not in contents(output)
    said = capsys.readouterr().out
    assert re.search(
        r"variant is left out: .* 9\d\.\d\d% of 520 texts get the same label \(needed 99%\)\.\n", said
    )
    assert "no bundle was written" not in said


def test_int8_asked_for_by_name_must_keep_labels(
    undecided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export that asks for an int8 variant outside its limits fails with one sentence and no file."""
    output = tmp_path / "bundle"
    assert main([str(undecided), "--output", str(output), "--variants", "cpu", "cpu-int8"]) == 1
    assert list(tmp_path.iterdir()) == [undecided]
    assert re.fullmatch(
        r"export: the cpu-int8 variant's probabilities .*: no bundle was written; .*\n",
        capsys.readouterr().err,
    )


def test_int8_that_depends_on_the_batch_is_left_out(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a scale taken over the batch, as dynamic quantisation has it, int8 does not get into a bundle."""
    monkeypatch.setattr(quantisation, "int8", scale_over_the_batch)
    output = tmp_path / "bundle"
    assert main([str(tiny_checkpoint), "--output", str(output)]) == 0
    assert "cpu-int8" not in bundle.read(output).manifest.variants
    assert re.search(
        r"left out: .* of a text move by up to 0\.\d+ \(allowed 1e-05\)", capsys.readouterr().out
    )


def scale_over_the_batch(
    fused: ModelProto, config: BertConfig, make: Callable[..., ModelProto] = quantisation.int8
) -> ModelProto:
    """The int8 graph with one scale for all tokens of a batch."""
    model = make(fused, config)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "axes":
                del node.attribute[:]
    return model


def test_failed_export_leaves_the_old_bundle(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle already there is the same, byte for byte, after an export that failed."""
    output = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    before = contents(output)
    limits = replace(parity.LIMITS["cpu"], difference=0)
    monkeypatch.setitem(parity.LIMITS, "cpu", limits)
    assert main([str(tiny_checkpoint), "--output", str(output), "--variants", "cpu"]) == 1
    assert contents(output) == before
    assert list(tmp_path.iterdir()) == [output]


def test_finished_export_replaces_the_old_bundle(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """A new export takes the old one's place, with nothing of it left, and carries the name it was given."""
    output = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    arguments = [str(tiny_checkpoint), "--output", str(output), "--variants", "cpu", "--name", "reviews"]
    assert main(arguments) == 0
    assert "model.cuda.onnx" not in contents(output)
    assert bundle.read(output).manifest.name == "reviews"
    assert list(tmp_path.iterdir()) == [output]


def test_directory_that_is_no_bundle_is_not_replaced(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An output directory with other files in it is refused and left as it is."""
    (tmp_path / "notes.txt").write_text("mine")
    assert main([str(tiny_checkpoint), "--output", str(tmp_path)]) == 1
    assert contents(tmp_path) == {"notes.txt": b"mine"}
    assert "exists and is no bundle" in capsys.readouterr().err


def test_missing_checkpoint_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint that is not there ends with exit code 1, one line, and nothing written."""
    assert main([str(tmp_path / "none"), "--output", str(tmp_path / "bundle")]) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(r"export: \S+none is no checkpoint, it lacks config\.json: .*\n", said)
    assert list(tmp_path.iterdir()) == []


def test_data_replaces_the_test_split(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --data a checkpoint without a test split is compared on the file's comments."""
    checkpoint = shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")
    (checkpoint / "test.parquet").unlink()
    data = tmp_path / "own.tsv"
    data.write_text("\n".join(["review_body", *(f"late parcel number {n} again" for n in range(200))]))
    arguments = [str(checkpoint), "--output", str(tmp_path / "b"), "--variants", "cpu", "--data", str(data)]
    assert main(arguments) == 0
    agreement = bundle.read(tmp_path / "b").manifest.variants["cpu"].agreement
    assert isinstance(agreement, Agreement)
    assert agreement.texts == 500
    assert "500 texts to compare (248 whole comments, 252 pieces of comments)" in capsys.readouterr().out


def test_model_files_are_self_contained(tiny_bundle: Path) -> None:
    """The models pass ONNX's own reading, with every weight inside."""
    for name in ("model.cpu.onnx", "model.cpu-int8.onnx", "model.cuda.onnx"):
        model = onnx.load(tiny_bundle / name, load_external_data=False)
        assert all(not tensor.external_data for tensor in model.graph.initializer)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_interruption_leaves_nothing(
    sent: signal.Signals, code: int, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """SIGTERM and Ctrl-C in mid-export end it with their codes, and no file is left."""
    with blocked("export.parity.measure", tiny_checkpoint, tmp_path / "bundle") as process:
        assert list(tmp_path.iterdir()) != []
        process.send_signal(sent)
        assert process.wait(timeout=60) == code
    assert list(tmp_path.iterdir()) == []


def test_kill_leaves_nothing_that_looks_whole(
    tiny_checkpoint: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """kill -9 with every file but the last written leaves the old bundle, and the rest is refused."""
    output = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    with blocked("consumer.bundle.seal", tiny_checkpoint, output) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    assert contents(output) == contents(tiny_bundle)
    (left,) = set(tmp_path.iterdir()) - {output}
    assert {"model.cpu.onnx", "tokenizer.json", "golden.json"} == set(contents(left))
    with pytest.raises(BundleError):
        bundle.read(left)
