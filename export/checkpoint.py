"""Reads a checkpoint: a Hugging Face directory plus training.json, as `finetune` writes it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers import AutoConfig, BertForSequenceClassification

from consumer.window import Window
from export.errors import CheckpointError

# One protobuf message, and so one self-contained ONNX file, holds at most 2 GiB.
LARGEST_MODEL_BYTES = 2**31 - 2**24


class _Data(BaseModel):
    model_config = ConfigDict(strict=True)

    labels: dict[str, int]


class _Training(BaseModel):
    """What export needs of training.json."""

    model_config = ConfigDict(strict=True)

    labels: list[str] = Field(min_length=2)
    max_length: int = Field(gt=2)
    tail: int = Field(ge=0)
    temperature: float = Field(gt=0, lt=float("inf"))
    measures: dict[str, Any]
    data: _Data | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A fine-tuned BERT.

    Attributes:
        model: in evaluation mode, fp32, on the CPU, with the attention that the exporter can trace.
        tokenizer: without truncation and padding, whatever its file has baked in.
        labels: in the order of the logits.
        window: how much of a text is read.
        temperature: what the logits are divided by before softmax.
        measures: the measures on the test split.
        label_counts: how many comments of each label there were, None where training.json does not say.
    """

    directory: Path
    model: BertForSequenceClassification
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    window: Window
    temperature: float
    measures: dict[str, Any]
    label_counts: dict[str, int] | None = None


def read(directory: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: it is missing, incomplete, contradicts itself, or holds no BERT.
    """
    for name in ("config.json", "model.safetensors", "tokenizer.json", "training.json"):
        if not (directory / name).is_file():
            raise CheckpointError(
                f"{directory} is no checkpoint, it lacks {name}: name a directory that"
                " `python -m finetune` wrote"
            )
    try:
        training = _Training.model_validate_json((directory / "training.json").read_bytes())
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = ".".join(map(str, detail["loc"])) or "it"
        raise CheckpointError(
            f"{directory / 'training.json'}: {where}: {detail['msg']}; fine-tune again"
        ) from None
    model = _read_model(directory)
    _check(directory, model.config, training)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Checkpoint(
        directory=directory,
        model=model,
        tokenizer=tokenizer,
        labels=tuple(training.labels),
        window=Window(training.max_length, training.tail),
        temperature=training.temperature,
        measures=training.measures,
        label_counts=training.data.labels if training.data else None,
    )


def _read_model(directory: Path) -> BertForSequenceClassification:
    try:
        config = AutoConfig.from_pretrained(directory)
        if config.architectures != ["BertForSequenceClassification"]:
            raise CheckpointError(
                f"{directory} holds {', '.join(config.architectures or [config.model_type])}, and only a"
                " BertForSequenceClassification can be exported: fine-tune a BERT with `python -m finetune`"
            )
        # The other attention implementations trace into graphs that the optimizer does not recognise.
        loaded: Any = BertForSequenceClassification.from_pretrained(
            directory, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{directory} cannot be loaded ({error}): fine-tune again") from None
    model, loading = loaded
    # transformers fills a missing weight with random numbers and goes on.
    if missing := sorted(loading["missing_keys"]):
        raise CheckpointError(
            f"{directory / 'model.safetensors'} lacks {len(missing)} weights, first {missing[0]}:"
            " fine-tune again"
        )
    size = sum(4 * parameter.numel() for parameter in model.parameters())
    if size > LARGEST_MODEL_BYTES:
        raise CheckpointError(
            f"{directory} has {size / 2**30:.1f} GiB of weights, and an ONNX file holds 2 GiB:"
            " use a smaller BERT"
        )
    evaluating: BertForSequenceClassification = model.eval()
    return evaluating


def _check(directory: Path, config: Any, training: _Training) -> None:
    in_config = [config.id2label[index] for index in range(config.num_labels)]
    if in_config != training.labels:
        raise CheckpointError(
            f"{directory}: config.json has the labels {', '.join(in_config)} and training.json"
            f" {', '.join(training.labels)}: fine-tune again"
        )
    if training.tail > training.max_length - 2:
        raise CheckpointError(
            f"{directory}: training.json has tail {training.tail}, which does not fit into max_length"
            f" {training.max_length} with [CLS] and [SEP]: fine-tune again"
        )
    if training.max_length > config.max_position_embeddings:
        raise CheckpointError(
            f"{directory}: training.json has max_length {training.max_length}, and the model has only"
            f" {config.max_position_embeddings} positions: fine-tune again with a smaller --max-length"
        )
