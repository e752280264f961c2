"""Texts -> probabilities: tokenise, cut into micro-batches, run the ONNX session."""

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from consumer import batching
from consumer.bundle import TOKENIZER, Bundle, Device, DeviceChoice
from consumer.errors import BundleError, DeviceError, GoldenMismatch

# Padded tokens in a micro-batch. A CPU is a third faster while the activations stay in its caches; a GPU
# wants enough work to fill it.
TOKEN_BUDGETS: dict[Device, int] = {"cpu": 1024, "cuda": 16384}


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
        """
        self.rate = 0.0
        self._bundle = bundle
        self._tokenizer = _load_tokenizer(bundle)
        self.device, self.device_reason, self._session = _open_session(bundle, device, threads)
        self._token_budget = token_budget or TOKEN_BUDGETS[self.device]
        longest = bundle.manifest.max_length
        largest = np.ones((max(1, self._token_budget // longest), longest), dtype=np.int64)
        self._run(largest, np.ones_like(largest))

    @property
    def precision(self) -> str:
        """The number format of the variant in use."""
        return self._bundle.manifest.variants[self.device].precision

    def classify(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give each text its probabilities, in the order of the texts.

        Returns:
            [texts, labels], each row summing to 1.
        """
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        token_counts = np.fromiter(map(len, encodings), dtype=np.intp, count=len(encodings))
        probabilities = np.empty((len(texts), len(self._bundle.manifest.labels)), dtype=np.float32)
        for group in batching.micro_batches(token_counts, self._token_budget):
            probabilities[group] = self._run(*_padded([encodings[index] for index in group]))
        return probabilities

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
        tolerance = self._bundle.manifest.variants[self.device].tolerance
        # Written so that NaN, which compares false with everything, fails too.
        failed = ~(np.abs(got - expected).max(axis=1) <= tolerance)
        if failed.any():
            first = int(failed.argmax())
            raise GoldenMismatch(
                f"{failed.sum()} of {len(expected)} golden comments, run {how} on {self.device}, differ from"
                f" the bundle by more than {tolerance}: number {first},"
                f" {self._bundle.golden[first].text[:60]!r}, should give {expected[first].round(4).tolist()}"
                f" and gave {got[first].round(4).tolist()}; this device or this build of ONNX Runtime"
                " computes wrongly: try --device cpu, or another version"
            )

    def _run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Any:
        feed = {"input_ids": input_ids, "attention_mask": attention_mask}
        return self._session.run(["probabilities"], feed)[0]


def _padded(encodings: Sequence[Encoding]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    width = max(map(len, encodings))
    input_ids = np.zeros((len(encodings), width), dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for row, encoding in enumerate(encodings):
        input_ids[row, : len(encoding)] = encoding.ids
        attention_mask[row, : len(encoding)] = 1
    return input_ids, attention_mask


def _load_tokenizer(bundle: Bundle) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(bundle.path(TOKENIZER)))
    except Exception as error:  # tokenizers raises plain Exception
        raise BundleError(f"cannot load {bundle.path(TOKENIZER)}: {error}; export the bundle again") from None
    tokenizer.enable_truncation(bundle.manifest.max_length)
    tokenizer.no_padding()
    return tokenizer


def _open_session(
    bundle: Bundle, choice: DeviceChoice, threads: int
) -> tuple[Device, str, onnxruntime.InferenceSession]:
    if choice == "cpu":
        return "cpu", "--device cpu asks for it", _cpu_session(bundle, threads)
    try:
        session = _cuda_session(bundle)
    except DeviceError as error:
        if choice == "cuda":
            raise
        return "cpu", f"--device auto found no usable GPU: {error}", _cpu_session(bundle, threads)
    reason = "--device auto found a usable GPU" if choice == "auto" else "--device cuda asks for it"
    return "cuda", reason, session


def _cpu_session(bundle: Bundle, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Spinning threads burn the core that the Kafka loop needs: a lone comment costs four times the CPU.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return _load_model(_model_path(bundle, "cpu"), options, ["CPUExecutionProvider"])


def _cuda_session(bundle: Bundle) -> onnxruntime.InferenceSession:
    path = _model_path(bundle, "cuda")
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise DeviceError(
            "this machine has no NVIDIA driver (libcuda.so.1); install it, or use --device cpu"
        ) from None
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        raise DeviceError("the NVIDIA driver finds no GPU; make one visible, or use --device cpu")
    onnxruntime.preload_dlls()
    # Shapes vary, so the arena grows only by what a shape needs instead of doubling.
    cuda = ("CUDAExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
    session = _load_model(path, onnxruntime.SessionOptions(), [cuda, "CPUExecutionProvider"])
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise DeviceError(
            "ONNX Runtime could not load its CUDA provider; install the cuda extra"
            " (pip install 'urgency-router[cuda]'), or use --device cpu"
        )
    return session


def _model_path(bundle: Bundle, device: Device) -> Path:
    variants = bundle.manifest.variants
    if device not in variants:
        raise DeviceError(
            f"the bundle {bundle.directory} has no variant for {device}, only for"
            f" {', '.join(sorted(variants))}; export it with --variants {device}"
        )
    return bundle.path(variants[device].file)


def _load_model(
    path: Path, options: onnxruntime.SessionOptions, providers: list[Any]
) -> onnxruntime.InferenceSession:
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise BundleError(f"ONNX Runtime cannot load {path}: {error}; export the bundle again") from None
