"""Records read -> records to publish: decode, classify, choose the urgency, encode."""

import logging
import math
from typing import Any

import numpy as np

from consumer import messages
from consumer.classifier import Classifier, Work
from consumer.errors import BadMessage, DeadLetterRefused
from consumer.messages import Comment, Model, Outgoing, now
from consumer.metrics import Metrics
from consumer.routing import Routing
from consumer.settings import Settings
from consumer.shadow import Shadow

log = logging.getLogger(__name__)

# Of a probability in a labelled message: more of them than two devices agree on would say nothing.
DECIMALS = 6


class Labeller:
    """Records -> what to publish for each, in the same order.

    Attributes:
        model: the one that labels.
        work: what the records labelled last were to it.
    """

    def __init__(
        self,
        settings: Settings,
        classifier: Classifier,
        routing: Routing,
        model: Model,
        shadow: Shadow | None = None,
    ) -> None:
        self.model = model
        self.work = Work()
        self._settings = settings
        self._classifier = classifier
        self._routing = routing
        self._shadow = shadow
        self._topics = {
            (urgency, split): settings.topic(urgency, split)
            for urgency in routing.urgencies
            for split in (None, *settings.splits)
        }

    def announce(self, metrics: Metrics) -> None:
        """Show that it is this model that labels."""
        classifier = self._classifier
        metrics.serving(self.model.name, self.model.version, classifier.device, classifier.precision)
        metrics.routes(self._routing.urgencies, self._routing.shares(classifier.trained_on))
        metrics.gpu_unused.set(classifier.gpu_unused)

    def label(self, records: list[Any]) -> list[Outgoing]:
        """Label each comment, and make a dead letter of each record that has none or that the model fails at.

        Raises:
            SessionFailed: the model fails at everything.
        """
        self.work = Work()
        read_at = now()
        read: dict[int, Comment] = {}
        outgoing: dict[int, Outgoing] = {}
        for index, record in enumerate(records):
            try:
                read[index] = self._comment(record)
            except BadMessage as bad:
                outgoing[index] = self._dead_letter(record, bad, read_at, self._max_timestamp_age)
        if read:
            texts = [comment.text for comment in read.values()]
            probabilities = self._classifier.classify(texts)
            self.work = self._classifier.work
            if np.isnan(probabilities).any():
                self._classifier.require_working()
            urgencies = self._routing.urgency(probabilities)
            labels = [self.model.labels[column] for column in probabilities.argmax(axis=1)]
            if self._shadow:
                self._shadow.compare(texts, labels, urgencies)
            rows = probabilities.astype(np.float64).round(DECIMALS).tolist()
            expected = self._routing.summed(probabilities).tolist()
            for index, urgency, label, row, mix in zip(read, urgencies, labels, rows, expected, strict=True):
                record, comment = records[index], read[index]
                labelled = self._labelled(record, comment, urgency, label, row, read_at)
                outgoing[index] = labelled._replace(expected=mix)
                if self._settings.log_texts:
                    _log_text(record, comment.text, outgoing[index])
        return [outgoing[index] for index in range(len(records))]

    def refused(self, record: Any, sent: Outgoing, error: str) -> Outgoing:
        """Make what to publish instead of a record that Kafka refuses: a dead letter, then a shorter one.

        Args:
            record: the record read.
            sent: what Kafka refused to take for it.
            error: Kafka's word for it.

        Raises:
            DeadLetterRefused: it was the shortened dead letter that Kafka refused.
        """
        if sent.reason is None:
            return self._dead_letter(record, BadMessage("refused-by-kafka", error), now(), None)
        if not sent.shortened:
            return messages.shortened(sent, record, now=now())
        raise DeadLetterRefused(
            f"{sent.topic} refuses ({error}) the shortened dead letter of offset {record.offset} of"
            f" {record.topic}-{record.partition}, {sent.size} bytes; raise that topic's max.message.bytes"
            " and set its cleanup.policy to delete; the message is not lost, it will be read again"
        )

    def _comment(self, record: Any) -> Comment:
        # First of all, so that nobody can make it parse what it will not publish.
        if (size := messages.size(record)) > self._settings.max_message_bytes:
            raise BadMessage("too-large", f"it has {size} bytes")
        asked = self._settings
        return messages.comment_of(
            record.value,
            asked.input_format,
            asked.text_field,
            asked.split_by,
            include_original=asked.include_original,
        )

    def _labelled(
        self,
        record: Any,
        comment: Comment,
        urgency: str,
        label: str,
        probabilities: list[float],
        read_at: int,
    ) -> Outgoing:
        try:
            if math.isnan(probabilities[0]):
                raise BadMessage("unclassifiable", messages.REASONS["unclassifiable"])
            labelled = messages.labelled(
                record,
                document=comment.document,
                topic=self._topics.get((urgency, comment.split), self._topics[urgency, None]),
                urgency=urgency,
                label=label,
                probabilities=probabilities,
                model=self.model,
                now=read_at,
                max_timestamp_age=self._max_timestamp_age,
            )
            if labelled.size > self._settings.max_message_bytes:
                raise BadMessage("too-large", f"labelled it would have {labelled.size} bytes")
        except BadMessage as bad:
            return self._dead_letter(record, bad, read_at, self._max_timestamp_age)
        return labelled

    def _dead_letter(
        self, record: Any, bad: BadMessage, read_at: int, max_timestamp_age: int | None
    ) -> Outgoing:
        return messages.dead_letter(
            record,
            topic=self._settings.dead_letter_topic,
            reason=bad.reason,
            message=str(bad),
            now=read_at,
            max_timestamp_age=max_timestamp_age,
        )

    @property
    def _max_timestamp_age(self) -> int:
        return int(self._settings.max_timestamp_age * 1000)


def _log_text(record: Any, text: str, outgoing: Outgoing) -> None:
    # As a literal, so that a text cannot look like log lines of its own.
    where = (record.topic, record.partition, record.offset)
    log.info("%s-%d, offset %d, label %s: %r", *where, outgoing.label or outgoing.reason, text)
