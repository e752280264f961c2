"""Compares what a variant answers with what PyTorch fp32 answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from consumer import batching
from consumer.bundle import Agreement, Device, GoldenComment
from consumer.classifier import Classifier
from export.checkpoint import Checkpoint
from export.errors import ParityError

Advance = Callable[[int], None]

# Padded tokens in a PyTorch batch: enough to keep the cores busy, little enough for any memory.
TOKEN_BUDGET = 2048
# Texts handed to a classifier at once: enough to sort by length, few enough for progress to be seen.
CHUNK = 100


@dataclass(frozen=True)
class Limits:
    """How far a variant may be from PyTorch fp32.

    Attributes:
        difference: of any probability of any text, where it is exported.
        agreement: the least share of texts with the same most probable label.
        tolerance: of any probability of a golden comment, where it runs; the bundle states it.
    """

    difference: float
    agreement: float
    tolerance: float


LIMITS: dict[Device, Limits] = {
    # fp32 differs from fp32 in the order of sums alone: 3e-6 was measured on the packaged 6-layer model with
    # a random head, and the rest is room for deeper ones. Another CPU has other kernels with other orders, so
    # a bundle allows ten times as much where it runs, still too little to change any label but a near tie.
    "cpu": Limits(difference=1e-4, agreement=0.99, tolerance=1e-3),
    # fp16 keeps 11 bits: 0.003 was measured on the same model with fp16's rounding on the CPU. GPU kernels
    # sum in other orders and deeper models round more often, hence the room.
    "cuda": Limits(difference=0.02, agreement=0.99, tolerance=0.02),
}


def reference(
    checkpoint: Checkpoint, texts: Sequence[str], *, token_budget: int = TOKEN_BUDGET, advance: Advance
) -> NDArray[np.float32]:
    """Ask PyTorch, in fp32 on the CPU, with texts of similar length in a batch and their padding masked.

    Args:
        checkpoint: the model.
        texts: what to ask.
        token_budget: padded tokens in a batch; 1 asks for each text alone.
        advance: told how many texts are done.

    Returns:
        [texts, labels], with temperature.
    """
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer.to_str())
    tokenizer.enable_truncation(checkpoint.max_length)
    encodings = tokenizer.encode_batch_fast(list(texts))
    token_counts = np.array([len(encoding) for encoding in encodings], dtype=np.intp)
    probabilities = np.empty((len(texts), len(checkpoint.labels)), dtype=np.float32)
    for group in batching.micro_batches(token_counts, token_budget):
        input_ids = torch.zeros((len(group), int(token_counts[group].max())), dtype=torch.int64)
        attention_mask = torch.zeros_like(input_ids)
        for row, index in enumerate(group):
            input_ids[row, : token_counts[index]] = torch.tensor(encodings[index].ids)
            attention_mask[row, : token_counts[index]] = 1
        with torch.inference_mode():
            logits = checkpoint.model(input_ids=input_ids, attention_mask=attention_mask).logits
            probabilities[group] = torch.softmax(logits / checkpoint.temperature, dim=-1).numpy()
        advance(len(group))
    return probabilities


def golden_comments(checkpoint: Checkpoint, texts: Sequence[str], *, advance: Advance) -> list[GoldenComment]:
    """Give each golden comment the probabilities that PyTorch gives it alone, to 7 decimals."""
    probabilities = reference(checkpoint, texts, token_budget=1, advance=advance)
    return [
        GoldenComment(text=text, probabilities=tuple(round(float(p), 7) for p in row))
        for text, row in zip(texts, probabilities, strict=True)
    ]


def measure(
    classifier: Classifier, texts: Sequence[str], expected: NDArray[np.float32], *, advance: Advance
) -> Agreement:
    """Compare a classifier's answers with the expected ones.

    Args:
        classifier: the variant on its device.
        texts: what to ask.
        expected: [texts, labels].
        advance: told how many texts are done.

    Raises:
        ParityError: a probability is not a number.
    """
    got = np.empty_like(expected)
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        got[start : start + len(chunk)] = classifier.classify(chunk)
        advance(len(chunk))
    if not np.isfinite(got).all():
        wrong = int((~np.isfinite(got).all(axis=1)).sum())
        raise ParityError(
            f"the {classifier.precision} model gives {wrong} of {len(texts)} texts probabilities that are no"
            f" numbers on {classifier.device}: no bundle was written; leave that variant out with --variants"
        )
    return Agreement(
        texts=len(texts),
        label_agreement=float((got.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        largest_probability_difference=float(np.abs(got - expected).max()),
    )


def require(device: Device, agreement: Agreement) -> None:
    """Refuse a variant that is too far from PyTorch.

    Raises:
        ParityError: a probability differs too much, or too many labels do.
    """
    limits = LIMITS[device]
    difference, share = agreement.largest_probability_difference, agreement.label_agreement
    if difference > limits.difference or share < limits.agreement:
        raise ParityError(
            f"the {device} variant's probabilities differ from PyTorch fp32 by up to {difference:.2g}"
            f" (allowed {limits.difference:g}) and {share:.2%} of {agreement.texts} texts get the same label"
            f" (needed {limits.agreement:.0%}): no bundle was written; use the versions in constraints.txt,"
            " or leave that variant out with --variants"
        )
