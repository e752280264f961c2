"""Faults of the model: injected into a real session, and one that needs no injection."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from consumer import bundle
from consumer.classifier import Classifier

OUT_OF_MEMORY = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Attention node."
    "\nFailed to allocate memory for requested buffer of size 4294967296"
)
# A word that the model of `with_a_word_it_fails_at` fails at.
FATAL = "abracadabra"


class FaultySession:
    """A real session that fails with ONNX Runtime's exception, or gives no numbers, where it is told to."""

    def __init__(
        self,
        classifier: Classifier,
        *,
        fails: Callable[[NDArray[np.int32]], bool] = lambda _: False,
        no_numbers: Callable[[NDArray[np.int32]], bool] = lambda _: False,
    ) -> None:
        """Take the place of the classifier's session.

        Args:
            classifier: whose session it is.
            fails: whether a call with these ids, [texts, tokens], raises.
            no_numbers: whether a text with these ids, [tokens], gets NaN in one place.
        """
        self._session = classifier._session
        self._fails = fails
        self._no_numbers = no_numbers
        self.failures = self.runs = 0
        classifier._session = self

    def run(self, outputs: list[str], feed: dict[str, NDArray[np.int32]], options: Any) -> list[Any]:
        """Fail, or compute."""
        input_ids = feed["input_ids"]
        self.runs += 1
        if self._fails(input_ids):
            self.failures += 1
            raise RuntimeException(OUT_OF_MEMORY)
        [probabilities] = self._session.run(outputs, feed, options)
        probabilities[[self._no_numbers(ids) for ids in input_ids], 1] = np.nan
        return [probabilities]


def with_a_word_it_fails_at(source: Path, destination: Path) -> Path:
    """Copy a bundle, with a word in its vocabulary that its model has no embedding for."""
    shutil.copytree(source, destination)
    tokenizer = json.loads((destination / bundle.TOKENIZER).read_bytes())
    tokenizer["model"]["vocab"][FATAL] = 999_999
    (destination / bundle.TOKENIZER).write_text(json.dumps(tokenizer))
    manifest = bundle.read_manifest(destination)
    bundle.seal(
        destination,
        name=manifest.name,
        labels=manifest.labels,
        window=manifest.window,
        variants=manifest.variants,
        training=manifest.training,
    )
    return destination
