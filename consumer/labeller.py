"""Records read -> records to publish: decode, classify, choose the urgency, encode."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from consumer import messages
from consumer.classifier import Classifier
from consumer.errors import BadMessage
from consumer.messages import Model, Outgoing, now
from consumer.routing import Routing
from consumer.settings import Settings


class Labeller:
    """Records -> what to publish for each, in the same order."""

    def __init__(self, settings: Settings, classifier: Classifier, routing: Routing, model: Model) -> None:
        self._settings = settings
        self._classifier = classifier
        self._routing = routing
        self._model = model

    def label(self, records: list[Any]) -> list[Outgoing]:
        """Label each comment, and make a dead letter of each record that holds none."""
        read_at = now()
        texts: dict[int, str] = {}
        outgoing: dict[int, Outgoing] = {}
        for index, record in enumerate(records):
            try:
                texts[index] = messages.text_of(
                    record.value, self._settings.input_format, self._settings.text_field
                )
            except BadMessage as bad:
                outgoing[index] = self._dead_letter(record, bad, read_at)
        if texts:
            probabilities = self._classifier.classify(list(texts.values()))
            urgencies = self._routing.urgency(probabilities)
            for index, urgency, row in zip(texts, urgencies, probabilities, strict=True):
                outgoing[index] = self._labelled(records[index], urgency, row, read_at)
        return [outgoing[index] for index in range(len(records))]

    def _labelled(
        self, record: Any, urgency: str, probabilities: NDArray[np.float32], read_at: int
    ) -> Outgoing:
        try:
            labelled = messages.labelled(
                record,
                topic=self._settings.topic(urgency),
                urgency=urgency,
                probabilities=probabilities,
                model=self._model,
                input_format=self._settings.input_format,
                now=read_at,
                max_timestamp_age=self._max_timestamp_age,
            )
            if labelled.size > self._settings.max_message_bytes:
                raise BadMessage("too-large", f"labelled it would have {labelled.size} bytes")
        except BadMessage as bad:
            return self._dead_letter(record, bad, read_at)
        return labelled

    def _dead_letter(self, record: Any, bad: BadMessage, read_at: int) -> Outgoing:
        return messages.dead_letter(
            record,
            topic=self._settings.dead_letter_topic,
            reason=bad.reason,
            message=str(bad),
            now=read_at,
            max_timestamp_age=self._max_timestamp_age,
        )

    @property
    def _max_timestamp_age(self) -> int:
        return int(self._settings.max_timestamp_age * 1000)
