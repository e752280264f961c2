"""Compares what a variant answers with what PyTorch fp32 answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from consumer import batching
from consumer.bundle import Agreement, GoldenComment, VariantName
from consumer.classifier import Classifier
from export.checkpoint import Checkpoint
from export.errors import ParityError

Advance = Callable[[int], None]

# Padded tokens in a PyTorch batch: enough to keep the cores busy, little enough for any memory.
TOKEN_BUDGET = 2048
# Texts handed to a classifier at once: enough to sort by length, few enough for progress to be seen.
CHUNK = 100
# Texts given other neighbours: each is classified twice on its own.
NEIGHBOURED = 50


_ADVICE = "use the versions in constraints.txt, or leave that variant out with --variants"


@dataclass(frozen=True)
class Limits:
    """How far a variant may be from PyTorch fp32.

    Attributes:
        difference: of any probability of any text, where it is exported.
        agreement: the least share of texts with the same most probable label.
        neighbours: how far a probability may move with the texts that share the batch.
        tolerance: of any probability of a golden comment, where it runs; the bundle states it.
    """

    difference: float
    agreement: float
    neighbours: float
    tolerance: float


LIMITS: dict[VariantName, Limits] = {
    # fp32 differs from fp32 in the order of sums alone: 3e-6 was measured on the packaged 6-layer model with
    # a random head, and the rest is room for deeper ones. Another CPU has other kernels with other orders, so
    # a bundle allows ten times as much where it runs, still too little to change any label but a near tie.
    "cpu": Limits(difference=1e-4, agreement=0.99, neighbours=1e-5, tolerance=1e-3),
    # int8 moved reviews between two labels by up to 0.08, and golden comments by 0.03, on the packaged model
    # fine-tuned on reviews: what counts is how many labels change. Another CPU sums in another order, so that
    # values between two integers are rounded the other way, which moved probabilities by 0.01 (seen with
    # weights changed by a millionth). The same CPU must round the same whatever shares the batch.
    "cpu-int8": Limits(difference=0.3, agreement=0.99, neighbours=1e-5, tolerance=0.1),
    # fp16 keeps 11 bits: 0.003 was measured on the same model with fp16's rounding on the CPU. GPU kernels
    # sum in other orders, by shape too, and deeper models round more often, hence the room.
    "cuda": Limits(difference=0.02, agreement=0.99, neighbours=0.02, tolerance=0.02),
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
    encodings = checkpoint.tokenizer.encode_batch_fast(list(texts))
    tokens = [checkpoint.window.cut(encoding.ids) for encoding in encodings]
    token_counts = np.array([len(ids) for ids in tokens], dtype=np.intp)
    probabilities = np.empty((len(texts), len(checkpoint.labels)), dtype=np.float32)
    for group in batching.micro_batches(token_counts, token_budget):
        input_ids = torch.zeros((len(group), int(token_counts[group].max())), dtype=torch.int64)
        attention_mask = torch.zeros_like(input_ids)
        for row, index in enumerate(group):
            input_ids[row, : token_counts[index]] = torch.tensor(tokens[index])
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
            f" numbers on {classifier.device}",
            "leave that variant out with --variants",
        )
    return Agreement(
        texts=len(texts),
        label_agreement=float((got.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        largest_probability_difference=float(np.abs(got - expected).max()),
    )


def dependence(classifier: Classifier, texts: Sequence[str]) -> float:
    """How far a probability moves with the other texts of the batch.

    Some of the texts are classified alone, then together, then each beside the longest of all, which pads it
    to that length.
    """
    some = texts[:: -(-len(texts) // NEIGHBOURED)]
    longest = max(texts, key=len)
    alone = np.concatenate([classifier.classify([text]) for text in some])
    together = classifier.classify(some, spread=False)
    beside = np.stack([classifier.classify([text, longest], spread=False)[0] for text in some])
    return float(max(np.abs(together - alone).max(), np.abs(beside - alone).max()))


def require(name: VariantName, agreement: Agreement) -> None:
    """Refuse a variant that is too far from PyTorch.

    Raises:
        ParityError: a probability differs too much, or too many labels do.
    """
    limits = LIMITS[name]
    difference, share = agreement.largest_probability_difference, agreement.label_agreement
    if difference > limits.difference or share < limits.agreement:
        raise ParityError(
            f"the {name} variant's probabilities differ from PyTorch fp32 by up to {difference:.2g}"
            f" (allowed {limits.difference:g}) and {share:.2%} of {agreement.texts} texts get the same label"
            f" (needed {limits.agreement:.0%})",
            _ADVICE,
        )


def require_independence(name: VariantName, moved: float) -> None:
    """Refuse a variant that answers a text otherwise beside other texts.

    Raises:
        ParityError: a probability moves too far, or to no number.
    """
    limit = LIMITS[name].neighbours
    # Written so that NaN, which compares false with everything, is refused too.
    if not moved <= limit:
        raise ParityError(
            f"the {name} variant's probabilities of a text move by up to {moved:.2g} (allowed {limit:g}) with"
            " the other texts in its batch",
            _ADVICE,
        )
