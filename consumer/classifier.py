"""Texts -> probabilities: tokenise, cut into micro-batches, run the ONNX session."""

import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from consumer import batching
from consumer.bundle import Bundle, Device, DeviceChoice, PrecisionChoice
from consumer.cores import cores
from consumer.errors import GoldenMismatch, SessionFailed, one_line
from consumer.session import leaves_gpu_unused, open_session
from consumer.tokenising import TextTokenizer

log = logging.getLogger(__name__)

# Padded tokens in a micro-batch that are tried at the start. On a CPU it is best when the activations stay in
# a core's caches; a GPU wants enough work to fill it.
TOKEN_BUDGETS: dict[Device, tuple[int, ...]] = {
    "cpu": (128, 256, 512, 1024, 2048, 4096),
    "cuda": (4096, 8192, 16384, 32768, 65536),
}
# A text of the usual length, whose attention takes little: what is left grows with the tokens.
TRIED_TEXT_TOKENS = 64
# The best of them counts, since other work on the machine can only make a run slower.
TRIED_RUNS = 3
# No further budget is tried after that, so that a large model on few cores starts in time.
TRIED_SECONDS = 0.6


class Work(NamedTuple):
    """What texts are to the model: the micro-batches they are cut into, and their tokens, without padding."""

    micro_batches: int = 0
    tokens: int = 0


class Classifier:
    """A model on a device.

    The text alone decides its answer: attention masks the padding, and no scale is taken over the batch.

    Attributes:
        device: the device it runs on.
        device_reason: why that device, in words.
        gpu_unused: whether that is the CPU of a machine that shows a GPU, and nobody asked for it.
        rate: comments per second over the golden comments, once `prove` has run.
        work: what the texts classified last were.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: DeviceChoice = "auto",
        precision: PrecisionChoice = "default",
        token_budget: int = 0,
        threads: int = 0,
        gpu_memory: int = 0,
    ) -> None:
        """Load the bundle's variant for the device and warm it up with the largest shape it will see.

        Args:
            bundle: a verified bundle.
            device: `auto` takes CUDA where it is usable.
            precision: `default` is fp32 on a CPU and fp16 on CUDA; `int8` is for a CPU alone.
            token_budget: padded tokens in a micro-batch; 0 measures which of TOKEN_BUDGETS is fastest.
            threads: micro-batches that a CPU computes at once, each on a thread; 0 takes one per core.
            gpu_memory: the most that is taken of a GPU's memory for what it computes, bytes; 0 is no bound.

        Raises:
            SettingsError: int8 is asked for on CUDA, or the bundle has no such variant.
            DeviceError: the device is unusable or the bundle has no variant for it.
            BundleError: the model or the tokenizer cannot be loaded.
            SessionFailed: the model computes nothing on the device.
        """
        self.rate = 0.0
        self.work = Work()
        self._bundle = bundle
        self._tokenizer = TextTokenizer(bundle)
        self.device, self.device_reason, self._variant, self._session = open_session(
            bundle, device, precision, gpu_memory
        )
        self.gpu_unused = leaves_gpu_unused(self.device, device, precision)
        self._threads = (threads or cores()) if self.device == "cpu" else 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="session")
        self._options = onnxruntime.RunOptions()
        # ONNX Runtime prints what its exceptions say as well.
        self._options.log_severity_level = 4
        budgets = (token_budget,) if token_budget else TOKEN_BUDGETS[self.device]
        self._token_budget, self._run_cost = self._measured(budgets)
        longest = bundle.manifest.max_length
        largest = np.ones((max(1, self._token_budget // longest), longest), dtype=np.int32)
        self._answer(largest, np.ones_like(largest))

    @property
    def token_budget(self) -> int:
        """Padded tokens in a micro-batch."""
        return self._token_budget

    @property
    def precision(self) -> str:
        """The number format of the variant in use."""
        return self._variant.precision

    @property
    def trained_on(self) -> tuple[int, ...] | None:
        """How many comments of each label the model was trained on; None where the bundle does not say."""
        return self._bundle.manifest.trained_on

    @property
    def characters(self) -> int:
        """How many characters of a text are read at most."""
        return self._tokenizer.characters

    def classify(self, texts: Sequence[str], *, spread: bool = True) -> NDArray[np.float32]:
        """Give each text its probabilities, in the order of the texts.

        Of a text with more than `characters` the middle is not read. It gets the answer that the whole of it
        would get whenever the words in what is read fill the model's window.

        Args:
            texts: what to classify.
            spread: cut a small batch into more micro-batches than it needs, one for each thread.

        Returns:
            [texts, labels], each row summing to 1; a row of NaN where the model fails at the text alone.

        Raises:
            SessionFailed: it fails at a golden comment as well.
        """
        tokens = self._tokenizer.tokens(texts)
        token_counts = np.fromiter(map(len, tokens), dtype=np.intp, count=len(tokens))
        probabilities = np.full((len(texts), len(self._bundle.manifest.labels)), np.nan, dtype=np.float32)
        tokenised = np.flatnonzero(token_counts)
        budget = self._token_budget
        if spread:
            budget = min(budget, max(1, math.ceil(token_counts.sum() / self._threads)))
        groups = [
            tokenised[group]
            for group in batching.micro_batches(token_counts[tokenised], budget, self._run_cost)
        ]

        def answers(group: NDArray[np.intp]) -> NDArray[np.float32]:
            return self._answer(*_padded([tokens[index] for index in group]))

        for group, of_group in zip(groups, self._pool.map(answers, groups), strict=True):
            probabilities[group] = of_group
        self.work = Work(len(groups), int(token_counts.sum()))
        return probabilities

    def require_working(self) -> None:
        """Run the shortest golden comment: does the model fail at a text, or at everything?

        Raises:
            SessionFailed: it fails, or gives another answer than the bundle states.
        """
        golden = min(self._bundle.golden, key=lambda comment: len(comment.text))
        try:
            got = self._run(*_padded(self._tokenizer.tokens([golden.text])))[0]
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
        together = self.classify(texts, spread=False)
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
        return self._variant.tolerance

    def _measured(self, budgets: Sequence[int]) -> tuple[int, float]:
        """The fastest token budget, and what a run takes beside its tokens, in tokens at that speed.

        Every thread is at work on as much, as in a large batch.
        """
        width = min(TRIED_TEXT_TOKENS, self._bundle.manifest.max_length)
        until = time.monotonic() + TRIED_SECONDS
        rates: dict[int, float] = {}

        def rate(budget: int) -> float:
            if rates and time.monotonic() > until:
                raise TimeoutError
            rows = max(1, budget // width)
            rates[budget] = rows * width / self._seconds(rows, width)
            return rates[budget]

        budget = batching.fastest_budget(budgets, rate)
        try:
            return budget, rates[budget] * self._seconds(1, 1)
        except Exception:  # the model fails at so little, and who uses it will be told
            return budget, math.inf

    def _seconds(self, rows: int, width: int) -> float:
        on_each_thread = [np.ones((rows, width), dtype=np.int32)] * self._threads
        durations = []
        # The first run of a shape also makes room for it.
        for _ in range(1 + TRIED_RUNS):
            started = time.perf_counter()
            list(self._pool.map(self._run, on_each_thread, on_each_thread))
            durations.append(time.perf_counter() - started)
        return min(durations[1:])

    def _answer(self, input_ids: NDArray[np.int32], attention_mask: NDArray[np.int32]) -> NDArray[np.float32]:
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
        self, input_ids: NDArray[np.int32], attention_mask: NDArray[np.int32], texts: int
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

    def _run(self, input_ids: NDArray[np.int32], attention_mask: NDArray[np.int32]) -> NDArray[np.float32]:
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        probabilities: NDArray[np.float32] = self._session.run(["probabilities"], feed, self._options)[0]
        return probabilities


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def _padded(tokens: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    lengths = np.fromiter(map(len, tokens), dtype=np.intp, count=len(tokens))
    is_token = np.arange(lengths.max()) < lengths[:, np.newaxis]
    input_ids = np.zeros(is_token.shape, dtype=np.int32)
    input_ids[is_token] = np.concatenate(tokens)
    return input_ids, is_token.astype(np.int32)
