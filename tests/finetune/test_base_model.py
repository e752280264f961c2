"""Finding and loading the pretrained model."""

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants

from finetune import base_model
from finetune.errors import BaseModelError
from finetune.evaluation import Scaling
from finetune.settings import parse_settings

DEFAULT = parse_settings(["--data", "x", "--output", "y"]).base_model


def test_default_is_in_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default model is found in its package, which is not imported."""
    if importlib.util.find_spec(DEFAULT) is None:
        pytest.skip(f"the package {DEFAULT} is not installed")
    monkeypatch.delitem(sys.modules, DEFAULT, raising=False)
    config = base_model.load_config(base_model.find(DEFAULT))
    assert (config.num_hidden_layers, config.hidden_size) == (6, 384)
    assert DEFAULT not in sys.modules


@pytest.mark.parametrize("name", ["no/such-model", "no_such_package", "./no/such/folder", "json"])
def test_missing_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is no folder, in no package and not to be had from the hub is a BaseModelError."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BaseModelError, match=rf"base model '{name}' was not found: .* Give --base-model"):
        base_model.find(name)


def test_missing_model_is_one_sentence(tmp_path: Path) -> None:
    """The program ends with one line that names the model and says what to do, and leaves nothing behind."""
    output = tmp_path / "checkpoint"
    command = [sys.executable, "-m", "finetune", "--data", "x.tsv", "--output", str(output)]
    # A port that nothing listens on is as good as a hub that cannot be reached.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        result = subprocess.run(
            [*command, "--base-model", "no/such-model"],
            capture_output=True,
            text=True,
            env={"HF_ENDPOINT": endpoint, "HOME": str(tmp_path)},
            check=False,
        )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("finetune: base model 'no/such-model' was not found: ")
    assert len(result.stderr.splitlines()) == 1
    assert not output.exists()


def test_a_folder_never_asks_the_hub(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local model is loaded without opening a connection."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    folder = base_model.find(str(tiny_bert))
    base_model.load_tokenizer(folder)
    base_model.load_classifier(folder, ("a", "b"))


def test_labels_go_into_the_config(tiny_bert: Path) -> None:
    """The classifier has an output for each label, named in its config, in float32."""
    model = base_model.load_classifier(tiny_bert, ("angry", "so so", "calm"))
    assert model.config.id2label == {0: "angry", 1: "so so", 2: "calm"}
    assert model.config.label2id == {"angry": 0, "so so": 1, "calm": 2}
    assert model.classifier.weight.shape == (3, 32)
    assert model.dtype == torch.float32


def test_scaling_is_in_the_last_layer(tiny_bert: Path) -> None:
    """A scaled model gives the logits that scaling those of the model before gives."""
    model = base_model.load_classifier(tiny_bert, ("a", "b", "c")).eval()
    torch.nn.init.normal_(model.classifier.bias)
    ids = {"input_ids": torch.tensor([[2, 7, 9, 3]])}
    before = model(**ids).logits.detach().numpy()
    scaling = Scaling(np.array([0.5, 2.0, 1.0]), np.array([0.0, 1.0, -3.0]))
    base_model.scale(model, scaling)
    assert model(**ids).logits.detach().numpy() == pytest.approx(scaling.apply(before), abs=1e-5)


def test_only_bert_is_taken(tiny_bert: Path, tmp_path: Path) -> None:
    """Another architecture is refused before anything is trained."""
    folder = shutil.copytree(tiny_bert, tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "roberta"}))
    with pytest.raises(BaseModelError, match=r"of type 'roberta'.* model_type bert"):
        base_model.load_config(folder)


@pytest.mark.parametrize(
    ("file", "content", "load"),
    [
        ("config.json", b"{", base_model.load_config),
        ("tokenizer.json", b"{", base_model.load_tokenizer),
        ("tokenizer.json", None, base_model.load_tokenizer),
        ("model.safetensors", b"short", lambda folder: base_model.load_classifier(folder, ("a", "b"))),
        ("model.safetensors", None, lambda folder: base_model.load_classifier(folder, ("a", "b"))),
    ],
)
def test_a_damaged_model(
    tiny_bert: Path, tmp_path: Path, file: str, content: bytes | None, load: object
) -> None:
    """A file of the model that is damaged or missing is a BaseModelError that names the folder."""
    folder = shutil.copytree(tiny_bert, tmp_path / "damaged")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    assert callable(load)
    with pytest.raises(BaseModelError, match=str(folder)):
        load(folder)
