"""Spans that continue what messages bring, and their export."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from consumer import settings, traces
from consumer.errors import SettingsError
from consumer.messages import Header, Outgoing
from consumer.metrics import Metrics
from consumer.traces import Traces
from tests.consumer.test_settings import REQUIRED

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01".encode()
POLLED = 1_700_000_000_000_000_000

# None of them is one by W3C's definition.
MALFORMED = {
    "none": None,
    "empty": b"",
    "words": b"late again",
    "one field short": f"00-{TRACE}-{PARENT}".encode(),
    "too long for version 00": SAMPLED + b"-00",
    "forbidden version": b"ff" + SAMPLED[2:],
    "trace of zeros": f"00-{'0' * 32}-{PARENT}-01".encode(),
    "parent of zeros": f"00-{TRACE}-{'0' * 16}-01".encode(),
    "upper case": SAMPLED.upper(),
    "short trace": f"00-{TRACE[1:]}-{PARENT}-01".encode(),
    "no hexadecimal flags": SAMPLED[:-2] + b"0x",
    "digit that is not ASCII": SAMPLED[:-1] + "\uff11".encode(),
    "not UTF-8": SAMPLED[:-1] + b"\xff",
    "zero byte": SAMPLED + b"\0",
    "binary": bytes(range(256)),
    "huge": b"0" * 1_000_000,
    "huge later version": b"01" + SAMPLED[2:] + b"-" + b"a" * 1_000_000,
}


def record(headers: list[Any] | None, offset: int = 7, value: bytes | None = b"{}") -> ConsumerRecord:
    """A record as kafka-python reads it."""
    fields = dict.fromkeys(ConsumerRecord._fields)
    fields |= {"topic": "comments", "partition": 3, "offset": offset, "headers": headers}
    return ConsumerRecord(**{**fields, "key": b"customer-7", "value": value})


def labelled(headers: Sequence[Header]) -> Outgoing:
    """What is published for it."""
    ours = [("urgency", b"high"), ("label", b"1")]
    message = Outgoing("comments.high", b"customer-7", b'{"text": "late"}', [*headers, *ours], None)
    return message._replace(urgency="high", label="1", model_version="3f1c0a9be2d4")


class Tried:
    """Traces that export into memory, and what a message becomes with them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.metrics = Metrics()
        self.traces = Traces(self.exporter, group_id="support", queue=2048, metrics=self.metrics)

    def publish(self, *messages: list[Any]) -> list[list[Header]]:
        """Take messages with these headers through, and give the headers that they come out with."""
        outgoing = [labelled([(name, value or b"") for name, value in headers]) for headers in messages]
        spans = self.traces.begin([record(headers) for headers in messages], [POLLED] * len(messages))
        carried = spans.carried(outgoing)
        spans.end(outgoing)
        return [one.headers for one in carried]

    def spans(self) -> Sequence[ReadableSpan]:
        """Every span exported, once no other comes."""
        self.traces.close()
        return self.exporter.get_finished_spans()


@pytest.fixture
def tried() -> Iterator[Tried]:
    """Traces that export into memory."""
    tried = Tried()
    yield tried
    tried.traces.close()


def test_span_continues_the_trace(tried: Tried) -> None:
    """Its parent is the span that the message names; name, kind and attributes are OpenTelemetry's."""
    before = time.time_ns()

    tried.publish([("traceparent", SAMPLED)])

    [span] = tried.spans()
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert (span.name, span.kind, span.status.status_code) == (
        "process comments",
        SpanKind.CONSUMER,
        StatusCode.UNSET,
    )
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "comments",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 7,
        "messaging.consumer.group.name": "support",
        "urgency_router.batch.message_count": 1,
        "urgency_router.topic": "comments.high",
        "urgency_router.urgency": "high",
        "urgency_router.label": "1",
        "urgency_router.model.version": "3f1c0a9be2d4",
    }
    assert span.start_time == POLLED
    assert before <= (span.end_time or 0) <= time.time_ns()


def test_message_carries_the_new_span(tried: Tried) -> None:
    """The new traceparent stands where the old one stood; every other header stays, in its place."""
    brought = [("a", b"1"), ("traceparent", SAMPLED), ("tracestate", b"vendor=x, other=y"), ("a", b"\xff")]

    [headers] = tried.publish(brought)

    [span] = tried.spans()
    new = f"00-{TRACE}-{span.context.span_id:016x}-01".encode()
    assert new != SAMPLED
    assert headers[:4] == [brought[0], ("traceparent", new), *brought[2:]]
    assert span.context.trace_state == {"vendor": "x", "other": "y"}


def test_last_of_several_counts(tried: Tried) -> None:
    """Clients that add a traceparent leave an older one before it: the last is continued and replaced."""
    older = f"00-{TRACE}-{'1' * 16}-01".encode()

    [headers] = tried.publish([("traceparent", older), ("traceparent", SAMPLED)])

    [span] = tried.spans()
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert headers[0] == ("traceparent", older)
    assert f"{span.context.span_id:016x}".encode() in headers[1][1]


def test_later_version_is_continued(tried: Tried) -> None:
    """Of a version that is not there yet, what is known of it is read, as W3C wants it."""
    [headers] = tried.publish([("traceparent", b"01" + SAMPLED[2:] + b"-more")])

    [span] = tried.spans()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert headers[0][1] == f"00-{TRACE}-{span.context.span_id:016x}-01".encode()


def test_trace_that_is_not_sampled_stays_so(tried: Tried) -> None:
    """Nothing of it is exported, and who reads the message does not sample it either."""
    [headers] = tried.publish([("traceparent", SAMPLED[:-1] + b"0")])

    assert not tried.spans()
    assert headers[0][1].startswith(f"00-{TRACE}-".encode())
    assert headers[0][1].endswith(b"-00")


@pytest.mark.parametrize("brought", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_traceparent_is_passed_on(tried: Tried, brought: bytes | None) -> None:
    """What is no traceparent makes no span and comes out as it went in; the message beside it has its own."""
    headers, beside = tried.publish([("traceparent", brought)], [("traceparent", SAMPLED)])

    [span] = tried.spans()
    assert headers[0] == ("traceparent", brought or b"")
    assert beside[0][1] == f"00-{TRACE}-{span.context.span_id:016x}-01".encode()


@pytest.mark.parametrize("headers", [None, [], [("Traceparent", SAMPLED), ("tracestate", b"a=b")]])
def test_message_without_a_trace_gets_none(tried: Tried, headers: list[Any] | None) -> None:
    """No span begins with us, and no header is added."""
    spans = tried.traces.begin([record(headers)], [POLLED])
    outgoing = [labelled(headers or [])]

    assert spans.carried(outgoing) == outgoing
    spans.end(outgoing)
    assert not tried.spans()


LIKELY = st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True)
NAMES = st.sampled_from(["traceparent", "tracestate", "x"])


@given(st.lists(st.tuples(NAMES, st.none() | st.binary() | LIKELY)))
@trying(deadline=None)
def test_no_headers_fail(headers: list[tuple[str, bytes | None]]) -> None:
    """Whatever bytes these headers hold, the message comes out, with the same names in the same order."""
    [came_out] = SHARED.publish(headers)

    assert [name for name, _ in came_out[: len(headers)]] == [name for name, _ in headers]


@given(
    st.lists(
        st.text("abz09_-*/@=, \t\n", max_size=300) | st.text(max_size=50) | st.binary().map(repr), max_size=40
    )
)
@trying(deadline=None)
def test_no_tracestate_fails(states: list[str]) -> None:
    """Whatever a tracestate holds, the trace beside it is continued and the state passed on as it is."""
    brought = [("tracestate", state.encode("utf-8", "replace")) for state in states]

    [came_out] = SHARED.publish([*brought, ("traceparent", SAMPLED)])

    assert came_out[: len(brought)] == brought
    assert came_out[len(brought)][1] != SAMPLED


SHARED = Tried()


UNREADABLE = """
import sys
from consumer import logs
from tests.consumer.test_traces import SAMPLED, Tried
logs.configure("debug", "text")
tried = Tried()
for state in (b"a customer's words", b"a=1,a=2", b"x=" + b"y" * 9000):
    tried.publish([("traceparent", SAMPLED), ("tracestate", state)])
tried.publish([("traceparent", b"0" * 600)])
print(len(tried.spans()))
"""


def test_what_cannot_be_read_is_not_logged() -> None:
    """OpenTelemetry would quote the headers that it cannot read: a customer's words may be in them."""
    done = subprocess.run(
        [sys.executable, "-c", UNREADABLE], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout, done.stderr) == ("3\n", "")


def test_dead_letter_is_an_error(tried: Tried) -> None:
    """Its span says why, from the closed list, and its dead letter carries the span."""
    letter = Outgoing(
        "comments.dead-letter", None, b"[1]", [("traceparent", SAMPLED)], None, reason="not-json"
    )
    spans = tried.traces.begin([record([("traceparent", SAMPLED)])], [POLLED])

    [carried] = spans.carried([letter])
    spans.end([letter])

    [span] = tried.spans()
    assert f"{span.context.span_id:016x}".encode() in carried.headers[0][1]
    assert (span.status.status_code, (span.attributes or {})["error.type"]) == (StatusCode.ERROR, "not-json")
    assert span.status.description == "the value is not valid JSON, or nested too deeply"
    assert (span.attributes or {})["urgency_router.topic"] == "comments.dead-letter"


def test_shortened_dead_letter_carries_nothing(tried: Tried) -> None:
    """It has none of its message's headers, and gets no new one; its span ends all the same."""
    letter = Outgoing(
        "comments.dead-letter", None, b"", [("error.reason", b"too-large")], None, shortened=True
    )
    letter = letter._replace(reason="refused-by-kafka")
    spans = tried.traces.begin([record([("traceparent", SAMPLED)])], [POLLED])

    assert spans.carried([letter]) == [letter]
    spans.end([letter])

    assert len(tried.spans()) == 1


def test_tombstone_is_marked(tried: Tried) -> None:
    """The span of a record without a value says so, as OpenTelemetry asks."""
    letter = Outgoing("comments.dead-letter", None, b"", [], None, reason="null-value")
    tried.traces.begin([record([("traceparent", SAMPLED)], value=None)], [POLLED]).end([letter])

    [span] = tried.spans()
    assert (span.attributes or {})["messaging.kafka.message.tombstone"] is True


def test_span_holds_nothing_of_the_message(tried: Tried) -> None:
    """Neither key, value nor other headers are in it."""
    tried.publish([("traceparent", SAMPLED), ("cookie", b"secret")])

    [span] = tried.spans()
    assert not [word for word in ("customer-7", "late", "cookie", "secret") if word in span.to_json()]


def test_what_is_not_ended_is_not_exported(tried: Tried) -> None:
    """A batch whose transaction failed leaves no span behind."""
    spans = tried.traces.begin([record([("traceparent", SAMPLED)])], [POLLED])
    spans.carried([labelled([("traceparent", SAMPLED)])])

    assert not tried.spans()


def test_resource_is_named_by_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is urgency-router, a process its instance, unless OpenTelemetry's variables say else."""
    default = Tried()
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=router-eu,deployment.environment.name=test")
    named = Tried()
    default.publish([("traceparent", SAMPLED)])
    named.publish([("traceparent", SAMPLED)])

    [first], [second] = default.spans(), named.spans()
    assert first.resource.attributes["service.name"] == "urgency-router"
    assert first.resource.attributes["service.instance.id"]
    assert second.resource.attributes["service.name"] == "router-eu"
    assert second.resource.attributes["deployment.environment.name"] == "test"


def test_sampler_of_the_variables_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_TRACES_SAMPLER decides otherwise than the message if it is told to."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    tried = Tried()

    [headers] = tried.publish([("traceparent", SAMPLED)])

    assert not tried.spans()
    assert headers[0][1].endswith(b"-00")


def test_disabled_sdk_makes_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OTEL_SDK_DISABLED the trace is passed on as it came, and no span waits for an export."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tried = Tried()

    [headers] = tried.publish([("traceparent", SAMPLED)])

    assert headers[0][1] == SAMPLED
    assert tried.traces._ended == 0
    assert not tried.spans()


class Faulty(SpanExporter):
    """Fails, or blocks, while it is told to, and logs as OpenTelemetry's own does."""

    def __init__(self) -> None:
        self.fails = False
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Do as told."""
        self.entered.set()
        self.open.wait()
        if not self.fails:
            return SpanExportResult.SUCCESS
        logging.getLogger(__name__).error("Failed to export: connection refused")
        logging.getLogger(__name__).error("Failed to export: too often")
        return SpanExportResult.FAILURE


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    """An exporter to break."""
    logger = logging.getLogger(__name__)
    before = (logger.handlers, logger.propagate)
    faulty = Faulty()
    yield faulty
    faulty.open.set()
    logger.handlers, logger.propagate = before


def counted(metrics: Metrics, outcome: str) -> float:
    """How many spans had this outcome."""
    return metrics.registry.get_sample_value("urgency_router_spans_total", {"outcome": outcome}) or 0.0


def wait(condition: Callable[[], bool]) -> None:
    """Return once it holds; fail after 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def publish(traces: Traces, count: int) -> None:
    """Take a batch of so many messages through."""
    records = [record([("traceparent", SAMPLED)])] * count
    traces.begin(records, [POLLED] * count).end([labelled([("traceparent", SAMPLED)])] * count)


def test_lost_spans_are_logged_once_with_their_cause(
    faulty: Faulty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver that is away is one line in the log, its return another; the metrics count both."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    caplog.set_level(logging.INFO)
    metrics = Metrics()
    traces = Traces(faulty, group_id="g", queue=2048, metrics=metrics)
    faulty.fails = True
    for number in range(1, 4):
        publish(traces, 1)
        wait(lambda number=number: counted(metrics, "failed") == number)
    faulty.fails = False
    publish(traces, 2)
    wait(lambda: counted(metrics, "exported") == 2)
    traces.close()

    lost, again = caplog.messages
    assert lost == (
        "spans are lost, and nothing else: Failed to export: connection refused; the log says when it is over"
    )
    assert again == "spans are exported again; 3 are lost"


def test_receiver_that_never_answers_does_not_block(faulty: Faulty, caplog: pytest.LogCaptureFixture) -> None:
    """What it cannot take waits up to the bound, and is dropped and counted beyond it, logged once."""
    metrics = Metrics()
    traces = Traces(faulty, group_id="g", queue=600, metrics=metrics)
    faulty.open.clear()
    publish(traces, 600)
    assert faulty.entered.wait(20)
    taken = traces._export.taken

    started = time.monotonic()
    publish(traces, 1000)

    assert time.monotonic() - started < 5
    assert counted(metrics, "dropped") == 1000 - taken
    assert [message for message in caplog.messages if message.startswith("spans are dropped: 600 wait")]
    assert len(caplog.messages) == 1
    faulty.open.set()
    traces.close()
    assert counted(metrics, "exported") == 600 + taken


def test_end_is_bounded(
    faulty: Faulty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A receiver that never answers cannot hold up the end for longer than FLUSH_SECONDS."""
    monkeypatch.setattr(traces, "FLUSH_SECONDS", 0.2)
    spans = Traces(faulty, group_id="g", queue=2048, metrics=Metrics())
    faulty.open.clear()
    publish(spans, 5)

    started = time.monotonic()
    spans.close()

    assert time.monotonic() - started < 5
    assert caplog.messages == ["5 spans were not exported within 0.2 seconds: no answer"]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "can be otlp or console, not 'zipkin'"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "asks for 'grpc', .* mostly 4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "asks for 'grpc', .* mostly 4318"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "refuses its variables .*'many'"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "refuses its variables .*must be a positive integer"),
    ],
)
def test_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """What OpenTelemetry's variables ask for and cannot get ends the start with what is wrong."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=message):
        Traces.of(settings.parse([*REQUIRED, "--traces"]), Metrics())


BLOCKED = """
import sys
sys.modules["opentelemetry"] = None
from consumer.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_extra_that_is_not_installed_is_one_sentence() -> None:
    """Asked for without OpenTelemetry, it ends with code 2 and says what to install."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *REQUIRED, "--traces"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr == (
        "consumer: --traces needs OpenTelemetry, not installed here: pip install '.[traces]'\n"
    )
