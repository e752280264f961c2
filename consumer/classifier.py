"""Texts -> probabilities: tokenise, cut into micro-batches, run the ONNX session."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from consumer import batching
from consumer.bundle import TOKENIZER, Bundle, Device, DeviceChoice
from consumer.errors import BundleError, GoldenMismatch, SessionFailed, one_line
from consumer.session import open_session

log = logging.getLogger(__name__)

# Padded tokens in a micro-batch. A CPU is a third faster while the activations stay in its caches; a GPU
# wants enough work to fill it.
TOKEN_BUDGETS: dict[Device, int] = {"cpu": 1024, "cuda": 16384}
# How much of a text is tokenised, in characters for each token that the model reads. Tokenising 10 MB takes
# 4 GB, to throw nearly all of it away. Of 8,694 reviews that filled 32 tokens none needed more than 5.8
# characters a token, so this leaves room for three times as much white space.
CHARACTERS_PER_TOKEN = 20
# Texts tokenised at once: the tokenizer holds what it truncates until their encodings go.
TOKENISED_TEXTS = 128


class Classifier:
    """A model on a device.

    The text alone decides its answer: attention masks the padding, and no scale is taken over the batch.

    Attributes:
        device: the device it runs on.
        device_reason: why that device, in words.
        rate: comments per second over the golden comments, once `prove` has run.
    """

    def __init__(
        self, bundle: Bundle, *, device: DeviceChoice = "auto", token_budget: int = 0, threads: int = 0
    ) -> None:
        """Load the bundle's variant for the device and warm it up with the largest shape it will see.

        Args:
            bundle: a verified bundle.
            device: `auto` takes CUDA where it is usable.
            token_budget: padded tokens in a micro-batch; 0 takes the device's TOKEN_BUDGETS.
            threads: threads of the CPU session; 0 takes one per core.

        Raises:
            DeviceError: the device is unusable or the bundle has no variant for it.
            BundleError: the model or the tokenizer cannot be loaded.
            SessionFailed: the model computes nothing on the device.
        """
        self.rate = 0.0
        self._bundle = bundle
        self._tokenizer = _load_tokenizer(bundle)
        self.device, self.device_reason, self._session = open_session(bundle, device, threads)
        self._options = onnxruntime.RunOptions()
        # ONNX Runtime prints what its exceptions say as well.
        self._options.log_severity_level = 4
        self._token_budget = token_budget or TOKEN_BUDGETS[self.device]
        longest = bundle.manifest.max_length
        largest = np.ones((max(1, self._token_budget // longest), longest), dtype=np.int64)
        self._answer(largest, np.ones_like(largest))

    @property
    def precision(self) -> str:
        """The number format of the variant in use."""
        return self._bundle.manifest.variants[self.device].precision

    @property
    def characters(self) -> int:
        """How many characters of a text are read, counted from its first that is not white space."""
        return CHARACTERS_PER_TOKEN * self._bundle.manifest.max_length

    def classify(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give each text its probabilities, in the order of the texts.

        Of a text the first `characters` are read. A text gets the answer that the whole of it would get
        whenever the words in them fill max_length tokens.

        Returns:
            [texts, labels], each row summing to 1; a row of NaN where the model fails at the text alone.

        Raises:
            SessionFailed: it fails at a golden comment as well.
        """
        tokens = self._tokenise([text.lstrip()[: self.characters] for text in texts])
        token_counts = np.fromiter(map(len, tokens), dtype=np.intp, count=len(tokens))
        probabilities = np.full((len(texts), len(self._bundle.manifest.labels)), np.nan, dtype=np.float32)
        tokenised = np.flatnonzero(token_counts)
        for group in batching.micro_batches(token_counts[tokenised], self._token_budget):
            indices = tokenised[group]
            probabilities[indices] = self._answer(*_padded([tokens[index] for index in indices]))
        return probabilities

    def require_working(self) -> None:
        """Run the shortest golden comment: does the model fail at a text, or at everything?

        Raises:
            SessionFailed: it fails, or gives another answer than the bundle states.
        """
        golden = min(self._bundle.golden, key=lambda comment: len(comment.text))
        try:
            got = self._run(*_padded(self._tokenise([golden.text])))[0]
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            what = _said(error)
        else:
            expected = np.array(golden.probabilities, dtype=np.float32)
            if np.abs(got - expected).max() <= self._tolerance:
                return
            what = f"it gives {got.round(4).tolist()} instead of {expected.round(4).tolist()}"
        raise SessionFailed(
            f"the model on {self.device} fails at everything, at a golden comment too: {what}; start again,"
            " and if it comes back look at the device, or use --device cpu"
        )

    def prove(self) -> None:
        """Run the golden comments, together and one by one, and compare with what the bundle states.

        Raises:
            GoldenMismatch: a probability differs by more than the variant's tolerance, or is not a number.
        """
        golden = self._bundle.golden
        texts = [comment.text for comment in golden]
        expected = np.array([comment.probabilities for comment in golden], dtype=np.float32)
        started = time.monotonic()
        together = self.classify(texts)
        self.rate = len(texts) / (time.monotonic() - started)
        self._compare(together, expected, "in a batch")
        self._compare(np.concatenate([self.classify([text]) for text in texts]), expected, "alone")

    def _compare(self, got: NDArray[np.float32], expected: NDArray[np.float32], how: str) -> None:
        # Written so that NaN, which compares false with everything, fails too.
        failed = ~(np.abs(got - expected).max(axis=1) <= self._tolerance)
        if failed.any():
            first = int(failed.argmax())
            raise GoldenMismatch(
                f"{failed.sum()} of {len(expected)} golden comments, run {how} on {self.device}, differ from"
                f" the bundle by more than {self._tolerance}: number {first},"
                f" {self._bundle.golden[first].text[:60]!r}, should give {expected[first].round(4).tolist()}"
                f" and gave {got[first].round(4).tolist()}; this device or this build of ONNX Runtime"
                " computes wrongly: try --device cpu, or another version"
            )

    @property
    def _tolerance(self) -> float:
        return self._bundle.manifest.variants[self.device].tolerance

    def _tokenise(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Give each text its token ids, none where the tokenizer fails at it."""
        tokens: list[NDArray[np.int64]] = []
        for start in range(0, len(texts), TOKENISED_TEXTS):
            chunk = texts[start : start + TOKENISED_TEXTS]
            try:
                with _panics_caught():
                    encodings = self._tokenizer.encode_batch_fast(chunk)
            except Exception as error:  # tokenizers raises plain Exception
                if len(texts) == 1:
                    log.warning("the tokenizer fails at a text: %s", type(error).__name__)
                    return [np.array([], dtype=np.int64)]
                tokens += [self._tokenise([text])[0] for text in chunk]
            else:
                tokens += [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]
        return tokens

    def _answer(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run texts together, or in halves where the session fails at that many at once.

        Args:
            input_ids: [texts, tokens].
            attention_mask: [texts, tokens], 0 for padding.

        Returns:
            [texts, labels]; a row of NaN where the session fails at the text alone, or gives it no numbers.

        Raises:
            SessionFailed: it fails at a golden comment as well.
        """
        texts, width = input_ids.shape
        # Micro-batches cut before the budget was lowered are larger than it.
        if texts > (fitting := max(1, self._token_budget // width)):
            return self._answer_in_parts(input_ids, attention_mask, fitting)
        try:
            probabilities = self._run(input_ids, attention_mask)
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            if texts == 1:
                self.require_working()
                log.warning("the model fails at a text of %d tokens: %s", width, _said(error))
                return np.full((1, len(self._bundle.manifest.labels)), np.nan, dtype=np.float32)
            half = (texts + 1) // 2
            probabilities = self._answer_in_parts(input_ids, attention_mask, half)
            # If no text is at fault, it was how many there were, and would be again.
            if np.isfinite(probabilities).all():
                self._lower_budget(texts * width, half * width, error)
        probabilities[~np.isfinite(probabilities).all(axis=1)] = np.nan
        return probabilities

    def _answer_in_parts(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64], texts: int
    ) -> NDArray[np.float32]:
        parts = [slice(start, start + texts) for start in range(0, len(input_ids), texts)]
        return np.concatenate([self._answer(input_ids[part], attention_mask[part]) for part in parts])

    def _lower_budget(self, failed: int, worked: int, error: Exception) -> None:
        if worked < self._token_budget:
            log.warning(
                "the model fails at %d padded tokens at once and works with %d (%s): micro-batches hold no"
                " more from now on; --micro-batch-tokens %d starts with that",
                failed,
                worked,
                _said(error),
                worked,
            )
            self._token_budget = worked

    def _run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        probabilities: NDArray[np.float32] = self._session.run(["probabilities"], feed, self._options)[0]
        return probabilities


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _padded(tokens: Sequence[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    width = max(map(len, tokens))
    input_ids = np.zeros((len(tokens), width), dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, of_text in enumerate(tokens):
        input_ids[row, : len(of_text)] = of_text
        attention_mask[row, : len(of_text)] = 1
    return input_ids, attention_mask


@contextmanager
def _panics_caught() -> Iterator[None]:
    """Let a panic of the tokenizer, a BaseException of no class that can be imported, be an Exception."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RuntimeError(str(error)) from None


def _load_tokenizer(bundle: Bundle) -> Tokenizer:
    path = bundle.path(TOKENIZER)
    try:
        with _panics_caught():
            tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise BundleError(f"cannot load {path}: {one_line(error)}; export the bundle again") from None
    tokenizer.enable_truncation(bundle.manifest.max_length)
    tokenizer.no_padding()
    return tokenizer
