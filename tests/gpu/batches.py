"""Micro-batches as the consumer makes them, of tokens that are already there."""

from collections.abc import Callable, Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from consumer import batching
from consumer.bundle import Bundle, Device
from consumer.session import open_session

Tokens = NDArray[np.int32]
# input_ids and attention_mask, [texts, tokens] each
Batch = tuple[Tokens, Tokens]
# A batch -> probabilities [texts, labels], on the host: whoever has them has waited for the device.
Answer = Callable[[Batch], NDArray[np.float32]]

# No special token of BERT's is above it, and every vocabulary is.
LEAST_ID = 5


def padded(tokens: Sequence[Tokens]) -> Batch:
    """Texts in one batch, each padded on the right to the longest."""
    lengths = np.array([len(one) for one in tokens])
    mask = np.arange(lengths.max()) < lengths[:, None]
    input_ids = np.zeros(mask.shape, dtype=np.int32)
    input_ids[mask] = np.concatenate(tokens)
    return input_ids, mask.astype(np.int32)


def grouped(tokens: Sequence[Tokens], token_budget: int) -> list[Batch]:
    """All texts in micro-batches of similar length under a budget of padded tokens, longest first."""
    counts = np.array([len(one) for one in tokens], dtype=np.intp)
    groups = batching.micro_batches(counts, token_budget)
    return [padded([tokens[index] for index in group]) for group in groups]


def drawn(lengths: Sequence[int], vocabulary: int, *, seed: int = 0) -> list[Tokens]:
    """Random tokens, a text for each length: what they say changes no speed."""
    draw = np.random.default_rng(seed)
    return [draw.integers(LEAST_ID, vocabulary, length, dtype=np.int32) for length in lengths]


def session(of: Bundle, device: Device) -> onnxruntime.InferenceSession:
    """The session that the consumer makes."""
    return open_session(of, device, "default")[3]


def answered_by(session: onnxruntime.InferenceSession) -> Answer:
    """A session fed with arrays, as the consumer feeds it; its run is synchronous."""

    def answer(batch: Batch) -> NDArray[np.float32]:
        feed = {"input_ids": batch[0], "attention_mask": batch[1]}
        probabilities: NDArray[np.float32] = session.run(["probabilities"], feed)[0]
        return probabilities

    return answer


def answers(answer: Answer, ready: Sequence[Batch]) -> NDArray[np.float32]:
    """All texts' probabilities [texts, labels], micro-batch by micro-batch."""
    return np.concatenate([answer(batch) for batch in ready])


def bound(
    session: onnxruntime.InferenceSession, device: Device, ready: Sequence[Batch]
) -> Callable[[], None]:
    """All batches through IO binding, their inputs already on the device: the most that binding can save."""
    bindings = []
    for input_ids, attention_mask in ready:
        binding = session.io_binding()
        for name, array in (("input_ids", input_ids), ("attention_mask", attention_mask)):
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0))
        binding.bind_output("probabilities", "cpu")
        bindings.append(binding)

    def run() -> None:
        for binding in bindings:
            session.run_with_iobinding(binding)

    return run
