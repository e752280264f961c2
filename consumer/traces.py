"""A message's `traceparent` -> a span that continues its trace, and goes on with what is published for it.

A message has one span, as it comes out once: from when it was polled to when its transaction committed. The
span of a transaction that failed never ends, so it is never exported: the message is read again, with a
span of its own then. A message that brings no trace gets none.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from consumer.errors import SettingsError, one_line
from consumer.messages import REASONS, Header, Outgoing
from consumer.metrics import Metrics
from consumer.settings import Settings

log = logging.getLogger(__name__)

TRACEPARENT = "traceparent"
SERVICE = "urgency-router"
# What is not exported by then is lost: a receiver that is away must not hold up the end.
FLUSH_SECONDS = 5.0
# OpenTelemetry's default, and the least that holds what two transactions end at once.
LEAST_QUEUE = 2048

_PROPAGATOR = TraceContextTextMapPropagator()


class Traces:
    """Makes the spans, and exports those that have ended on a thread of its own, without ever blocking."""

    def __init__(self, exporter: SpanExporter, *, group_id: str, queue: int, metrics: Metrics) -> None:
        """Prepare, as OpenTelemetry's own variables say.

        Args:
            exporter: where spans go.
            group_id: the consumer group's.
            queue: the most spans that may wait to be exported.
            metrics: its `spans` counts.
        """
        self._group_id = group_id
        self._queue = queue
        self._export = _Export(exporter, metrics)
        self._dropped = metrics.spans.labels("dropped")
        self._drops = False
        self._ended = 0
        own = {SERVICE_NAME: SERVICE, SERVICE_VERSION: version(SERVICE)}
        resource = Resource.create({**own, **OTELResourceDetector().detect().attributes})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._export, max_queue_size=queue))
        self._tracer = self._provider.get_tracer(SERVICE)

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics) -> "Traces":
        """Make what the settings and OpenTelemetry's variables ask for.

        Raises:
            SettingsError: a variable asks for what there is not, or cannot be read.
        """
        queue = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or max(LEAST_QUEUE, 2 * settings.max_batch_messages)
        exporter = _exporter()
        try:
            return cls(exporter(), group_id=settings.group_id, queue=int(queue), metrics=metrics)
        except Exception as error:  # OpenTelemetry says in many ways that it cannot read a variable
            raise SettingsError(
                f"--traces: OpenTelemetry refuses its variables (OTEL_…): {one_line(error)}"
            ) from error

    def begin(self, records: Sequence[Any], polled: Sequence[int]) -> "Spans":
        """Begin a span for each record of a batch that brings a trace.

        Args:
            records: the records read.
            polled: when each was, nanoseconds since 1970.
        """
        spans: dict[int, Span] = {}
        for index, (record, at) in enumerate(zip(records, polled, strict=True)):
            if parent := _trace(record.headers):
                attributes = _attributes(record, self._group_id, len(records))
                name = f"process {record.topic}"
                spans[index] = self._tracer.start_span(
                    name, parent, SpanKind.CONSUMER, attributes, start_time=at
                )
        return Spans(spans, self)

    def end(self, span: Span, at: int) -> None:
        """End a span, so that it is exported, or dropped where too many wait.

        Args:
            span: one that records.
            at: when it ended, nanoseconds since 1970.
        """
        if self._ended - self._export.taken >= self._queue:
            self._dropped.inc()
            if not self._drops:
                self._drops = True
                log.warning(
                    "spans are dropped: %d wait already, since the receiver does not keep up; from here on"
                    " urgency_router_spans_total alone counts them",
                    self._queue,
                )
            return
        self._ended += 1
        span.end(at)

    def close(self) -> None:
        """Export what waits, within FLUSH_SECONDS."""
        flush = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)
        if left := self._ended - self._export.settled:
            cause = self._export.cause or "no answer"
            log.warning("%d spans were not exported within %g seconds: %s", left, FLUSH_SECONDS, cause)


class Spans:
    """The spans of a batch, by their message's place in it."""

    def __init__(self, spans: Mapping[int, Span], traces: Traces) -> None:
        self._spans = spans
        self._traces = traces

    def carried(self, outgoing: Sequence[Outgoing]) -> list[Outgoing]:
        """Put each span in the place of the `traceparent` that its message came with.

        Args:
            outgoing: what is to be published for each record of the batch.
        """
        carried = list(outgoing)
        for index, span in self._spans.items():
            carried[index] = outgoing[index]._replace(headers=_continued(outgoing[index].headers, span))
        return carried

    def end(self, outgoing: Sequence[Outgoing]) -> None:
        """End the spans of a batch that has committed.

        Args:
            outgoing: what was published for each record.
        """
        now = time.time_ns()
        for index, span in self._spans.items():
            if span.is_recording():
                _describe(span, outgoing[index])
                self._traces.end(span, now)


def _exporter() -> type[SpanExporter]:
    """The one that OpenTelemetry's variables ask for."""
    kind = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if kind == "console":
        return ConsoleSpanExporter
    if kind != "otlp":
        raise SettingsError(f"--traces: OTEL_TRACES_EXPORTER can be otlp or console, not {kind!r}")
    own = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
    protocol = own or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    if protocol != "http/protobuf":
        raise SettingsError(
            f"--traces: OTEL_EXPORTER_OTLP_PROTOCOL asks for {protocol!r}, and spans can only go out as"
            " http/protobuf; set that, and in OTEL_EXPORTER_OTLP_ENDPOINT the receiver's port for it, mostly"
            " 4318"
        )
    return OTLPSpanExporter


class _Headers(Getter[Sequence[Header]]):
    """Headers of a record, as the propagator reads them."""

    def get(self, carrier: Sequence[Header], key: str) -> list[str] | None:
        # ASCII by their definition; what is not matches nothing.
        values = [(value or b"").decode("ascii", "replace") for name, value in carrier if name == key]
        # Many a client adds one and leaves the old: the last counts, as everywhere in Kafka.
        return values[-1:] if key == TRACEPARENT else values

    def keys(self, carrier: Sequence[Header]) -> list[str]:
        return [name for name, _ in carrier]


_HEADERS = _Headers()


def _trace(headers: Sequence[Header] | None) -> Context | None:
    """The trace that a record brings, None if it brings none or one that cannot be read."""
    if not headers or all(name != TRACEPARENT for name, _ in headers):
        return None
    return _PROPAGATOR.extract(headers, getter=_HEADERS) or None


def _attributes(record: Any, group_id: str, batch: int) -> dict[str, str | int | bool]:
    """What is known of a message before it is classified, by OpenTelemetry's names."""
    attributes: dict[str, str | int | bool] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.consumer.group.name": group_id,
        # Not messaging.batch.message_count, which a span of a single message must not have.
        "urgency_router.batch.message_count": batch,
    }
    if record.value is None:
        attributes["messaging.kafka.message.tombstone"] = True
    return attributes


def _continued(headers: list[Header], span: Span) -> list[Header]:
    places = [place for place, (name, _) in enumerate(headers) if name == TRACEPARENT]
    if not places:  # a shortened dead letter has none of its message's headers
        return headers
    injected: dict[str, str] = {}
    _PROPAGATOR.inject(injected, set_span_in_context(span))
    continued = headers.copy()
    continued[places[-1]] = (TRACEPARENT, injected[TRACEPARENT].encode())
    return continued


def _describe(span: Span, published: Outgoing) -> None:
    """Say what became of the message, without anything that it says itself."""
    span.set_attribute("urgency_router.topic", published.topic)
    if published.reason is not None:
        span.set_attribute("error.type", published.reason)
        span.set_status(Status(StatusCode.ERROR, REASONS[published.reason]))
        return
    span.set_attributes(
        {
            "urgency_router.urgency": published.urgency or "",
            "urgency_router.label": published.label or "",
            "urgency_router.model.version": published.model_version or "",
        }
    )


class _Export(SpanExporter):
    """An exporter that counts, and logs once that spans are lost, and once that they arrive again.

    Attributes:
        taken: spans that no longer wait.
        settled: spans of which it is known whether they arrived.
    """

    def __init__(self, exporter: SpanExporter, metrics: Metrics) -> None:
        self.taken = self.settled = 0
        self._exporter = exporter
        self._exported = metrics.spans.labels("exported")
        self._failed = metrics.spans.labels("failed")
        self._lost = 0
        self._cause = _Cause()
        # It would log every try.
        logger = logging.getLogger(type(exporter).__module__)
        logger.handlers, logger.propagate = [self._cause], False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._exporter.export(spans)
        self.settled += len(spans)
        if result is SpanExportResult.SUCCESS:
            self._exported.inc(len(spans))
            if self._lost:
                log.info("spans are exported again; %d are lost", self._lost)
            self._lost = 0
        else:
            self._failed.inc(len(spans))
            if not self._lost:
                log.warning("spans are lost, and nothing else: %s; the log says when it is over", self.cause)
            self._lost += len(spans)
        self._cause.said = ""
        return result

    @property
    def cause(self) -> str:
        """What the export under way has failed at, empty where nothing is known."""
        return self._cause.said

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Cause(logging.Handler):
    """Keeps the first thing that an exporter logs of a failure."""

    said = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.said = self.said or one_line(record.getMessage())
