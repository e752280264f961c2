"""The models whose speed is measured. Training would not change it, so their weights may be random."""

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from consumer import bundle
from consumer.bundle import Bundle, Device, Manifest, Variant
from consumer.classifier import Classifier
from consumer.tokenising import TextTokenizer
from consumer.window import Window
from export import graph, normalisation, precision
from export.checkpoint import Checkpoint
from export.parity import LIMITS
from finetune import base_model
from tests.bench.limit import Shape
from tests.bench.models import BASE_MODEL
from tests.conftest import LABELS

# The longest texts that are measured, and the most that these models read.
MAX_LENGTH = 512


@dataclass(frozen=True)
class Model:
    """A model, and a directory with its graphs that the consumer's own code opens."""

    name: str
    checkpoint: Checkpoint
    bundle: Bundle

    @property
    def shape(self) -> Shape:
        """How much arithmetic it is."""
        return Shape.of(self.checkpoint.model.config)

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """The token ids that the model reads of each text."""
        return TextTokenizer(self.bundle).tokens(texts)

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """How many those are."""
        return list(map(len, self.tokens(texts)))

    def token_budget(self, device: Device) -> int:
        """Padded tokens in a micro-batch: what the consumer finds fastest as it starts."""
        return Classifier(self.bundle, device=device).token_budget

    def with_graph(self, device: Device, built: ModelProto, name: str) -> Bundle:
        """The bundle with another graph in place of the device's own."""
        file = f"{name}.onnx"
        graph.save(built, self.bundle.path(file))
        manifest = self.bundle.manifest
        variant = manifest.variants[device].model_copy(update={"file": file})
        changed = manifest.model_copy(update={"variants": {device: variant}})
        return dataclasses.replace(self.bundle, manifest=changed)


def minilm(directory: Path, device: Device) -> Model:
    """The default base model, six layers 384 wide, under an untrained classification layer."""
    return made(
        "MiniLM-L6", base_model.load_classifier(base_model.find(BASE_MODEL), LABELS), directory, device
    )


def bert_base(directory: Path, device: Device) -> Model:
    """The shape of BERT-base, twelve layers 768 wide, with random weights."""
    torch.manual_seed(0)
    vocabulary = base_model.load_config(base_model.find(BASE_MODEL)).vocab_size
    config = BertConfig(vocab_size=vocabulary, id2label=dict(enumerate(LABELS)))
    return made("BERT-base shape", BertForSequenceClassification(config), directory, device)


def made(name: str, model: PreTrainedModel, directory: Path, device: Device) -> Model:
    """Write the device's graph of a model with the default tokenizer; nothing is compared."""
    tokenizer = base_model.load_tokenizer(base_model.find(BASE_MODEL)).backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    checkpoint = Checkpoint(
        directory=directory,
        model=with_attention(model, "eager"),
        tokenizer=tokenizer,
        labels=LABELS,
        window=Window(MAX_LENGTH),
        temperature=1.0,
        measures={},
    )
    return of_checkpoint(name, checkpoint, directory, device)


def of_checkpoint(name: str, checkpoint: Checkpoint, directory: Path, device: Device) -> Model:
    """Write the device's graph of a checkpoint; nothing is compared."""
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint.tokenizer.save(str(directory / bundle.TOKENIZER))
    variant = Variant(
        file=f"model.{device}.onnx",
        precision="fp16" if device == "cuda" else "fp32",
        tolerance=LIMITS[device].tolerance,
        agreement=None,
    )
    graph.save(fastest(checkpoint, device), directory / variant.file)
    manifest = Manifest(
        format=bundle.FORMAT,
        name=name,
        version="0" * 12,
        labels=checkpoint.labels,
        **checkpoint.window._asdict(),
        variants={device: variant},
        files={},
        training={},
    )
    return Model(name, checkpoint, Bundle(directory, manifest, golden=()))


def fastest(checkpoint: Checkpoint, device: Device) -> ModelProto:
    """The graph that export writes for the device."""
    fused = graph.fused(checkpoint)
    config = checkpoint.model.config
    if device == "cpu":
        return normalisation.apart(fused, config)
    return precision.packed(precision.half(fused, config), config)


def with_attention(model: PreTrainedModel, implementation: str) -> BertForSequenceClassification:
    """A copy in evaluation mode whose attention is computed another way, or traced."""
    copied = cast(BertForSequenceClassification, copy.deepcopy(model))
    copied.set_attn_implementation(implementation)
    copied.train(False)
    return copied
