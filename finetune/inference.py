"""A checkpoint that answers: texts in, calibrated probabilities out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from consumer.window import Window
from finetune import base_model, checkpoint
from finetune.evaluation import Probabilities, probabilities_of
from finetune.tokenising import token_ids

BATCH = 32


def load(directory: Path) -> Callable[[Sequence[str]], Probabilities]:
    """Return a function from texts to probabilities [texts, labels], on the GPU where there is one.

    Raises:
        CheckpointError: `training.json` is missing or damaged.
        BaseModelError: the model or the tokenizer is.
    """
    record = checkpoint.read_record(directory)
    tokenizer = base_model.load_tokenizer(directory)
    model: Any = base_model.load_classifier(directory, record["labels"])
    model.to(base_model.device())
    return lambda texts: probabilities_of(
        logits(model, tokenizer, texts, Window(record["max_length"], record["tail"])) / record["temperature"]
    )


def logits(
    model: Any, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], window: Window
) -> NDArray[np.float64]:
    """Return the logits [texts, labels] of a classifier, which is in evaluation mode afterwards."""
    model.eval()
    ids = token_ids(tokenizer, texts, window)
    order = np.argsort([-len(tokens) for tokens in ids], kind="stable")
    pad: Any = DataCollatorWithPadding(tokenizer)
    found = np.empty((len(texts), int(model.config.num_labels)))
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            batch = pad([{"input_ids": ids[place]} for place in places]).to(model.device)
            found[places] = model(**batch).logits.float().cpu().numpy()
    return found
