"""A second model that classifies the same comments, to be compared with the one in use before it takes over.

Nothing of it is published, and the stream never waits for it: comments that come while it is busy are left
out.
"""

import logging
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType

import numpy as np

from consumer.classifier import Classifier
from consumer.messages import Model
from consumer.metrics import Metrics
from consumer.routing import Routing

log = logging.getLogger(__name__)


class Shadow(AbstractContextManager["Shadow"]):
    """Compares on a thread of its own; on leaving, it waits for the comparison that is under way."""

    def __init__(
        self, classifier: Classifier, routing: Routing, model: Model, share: float, metrics: Metrics
    ) -> None:
        """Compare a share of the comments.

        Args:
            classifier: the second model.
            routing: for its labels.
            model: what it is called.
            share: of the comments, 0 to 1; the text decides, so that every replica takes the same ones.
            metrics: its `shadow_…` counters count.
        """
        self._classifier = classifier
        self._routing = routing
        self._model = model
        self._share = share
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        self._comparing: Future[None] | None = None
        metrics.shadow.labels(model.name, model.version).set(1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def compare(self, texts: Sequence[str], labels: Sequence[str], urgencies: Sequence[str]) -> None:
        """Have a share of the comments classified and compared; returns at once.

        Args:
            texts: the comments.
            labels: what the model in use says of each.
            urgencies: and where each goes.
        """
        drawn = [place for place, text in enumerate(texts) if drawn_at(text, self._share)]
        if not drawn:
            return
        if self._comparing and not self._comparing.done():
            self._metrics.shadow_skipped.inc(len(drawn))
            return
        chosen = [(texts[place], labels[place], urgencies[place]) for place in drawn]
        self._comparing = self._thread.submit(self._compare, chosen)

    def _compare(self, chosen: Sequence[tuple[str, str, str]]) -> None:
        texts, labels, urgencies = zip(*chosen, strict=True)
        try:
            probabilities = self._classifier.classify(texts)
        except Exception:  # whatever is wrong with it must not touch the stream
            self._metrics.shadow_skipped.inc(len(texts))
            log.exception("the shadow model fails")
            return
        answered = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
        self._metrics.shadow_skipped.inc(len(texts) - len(answered))
        own_labels = [self._model.labels[column] for column in probabilities[answered].argmax(axis=1)]
        own_urgencies = self._routing.urgency(probabilities[answered])
        pairs = Counter((labels[place], own) for place, own in zip(answered, own_labels, strict=True))
        for (label, own), count in pairs.items():
            self._metrics.shadow_comments.labels(label, own).inc(count)
        agreements = [urgencies[place] == own for place, own in zip(answered, own_urgencies, strict=True)]
        self._metrics.shadow_agreements.inc(sum(agreements))


def drawn_at(text: str, share: float) -> bool:
    """Whether a text is among a share of all texts, 0 to 1; the same one always is or never."""
    return zlib.crc32(text.encode("utf-8", "replace")) < share * 2**32
