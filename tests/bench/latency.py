"""How long a comment waits, at a steady load and alone, until a read_committed reader sees its result.

The load is an open loop: comments come at moments drawn beforehand, whether the one before was answered or
not, and a delay counts from the moment drawn, so that a stall shows in every comment that it held up. It is a
share of what is labelled while more comes than can be, one by one: that takes time of the machine as well.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import orjson
from kafka import KafkaConsumer, KafkaProducer
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from consumer import bundle
from consumer.classifier import Classifier
from deploy.local import latency as deployed
from deploy.local.broker import free_port
from tests.bench import goals, streams
from tests.bench.models import Model

GOAL_LOAD = 0.80
LOADS = (0.10, 0.50, GOAL_LOAD, 0.95)
# Of the rate over a backlog, to have more come than can be labelled.
OVERLOAD = 1.5
LONE_COMMENTS = 30
LONE_SECONDS = 30.0
WARM_UP_SECONDS = 3.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """Delays at a load, in seconds: 50, 99 and 99.9 of 100 comments waited no longer.

    batch: how long the device took for a batch, on average
    """

    load: str
    comments: int
    p50: float
    p99: float
    p999: float
    batch: float

    @classmethod
    def of(cls, load: str, delays: NDArray[np.float64], batch: float) -> "Measured":
        """Of each comment's delay."""
        p50, p99, p999 = np.quantile(delays, [0.5, 0.99, 0.999])
        return cls(load, len(delays), p50, p99, p999, batch)


@dataclass(frozen=True)
class Lone:
    """A comment on an idle consumer, and the model alone at the same texts, seconds (medians)."""

    delay: float
    model: float


def run(
    servers: str,
    model: Model,
    texts: Sequence[str],
    directory: Path,
    *,
    backlog_rate: float,
    seconds: float,
    say: Say,
) -> tuple[list[Measured], Lone]:
    """Measure a consumer at shares of its capacity, and with one comment at a time.

    `backlog_rate` is what it labels of a backlog, in comments a second.
    """
    topic, prefix = "latency.comments", "latency."
    streams.create(servers, topic, partitions=6)
    streams.create(servers, *streams.output_topics(prefix))
    log = directory / "latency.log"
    port = free_port()
    command = streams.consumer_command(servers, model.bundle, topic, prefix, metrics_port=port)
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(streams.reading(servers, streams.output_topics(prefix)))
        stack.enter_context(streams.running(command, log))
        producer = KafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=0)
        stack.callback(producer.close)
        lone = _lone(reader, producer, topic, texts)
        say("latency: capacity")
        moments, arrivals = _open_loop(
            reader, producer, topic, texts, rate=OVERLOAD * backlog_rate, seconds=seconds
        )
        capacity = _rate(arrivals[arrivals < moments[-1]])
        measured = []
        for load in LOADS:
            say(f"latency: {load:.0%} of {capacity:.1f} comments/s")
            seconds_before, batches_before = _on_the_device(port)
            moments, arrivals = _open_loop(
                reader, producer, topic, texts, rate=load * capacity, seconds=seconds
            )
            delays = (arrivals - moments)[moments >= WARM_UP_SECONDS]
            seconds_after, batches_after = _on_the_device(port)
            batch = (seconds_after - seconds_before) / (batches_after - batches_before)
            name = f"{load:.0%} of {capacity:.0f} a second"
            measured.append(Measured.of(name, delays, batch))
    return measured, Lone(median(lone), _model_alone(model, texts[:LONE_COMMENTS]))


def _lone(reader: KafkaConsumer, producer: KafkaProducer, topic: str, texts: Sequence[str]) -> list[float]:
    delays = []
    for number, text in enumerate(texts[: LONE_COMMENTS + 1]):
        sent = time.monotonic()
        producer.send(topic, orjson.dumps({"n": number, "text": text}))
        deadline = sent + LONE_SECONDS + (streams.START_SECONDS if not number else 0)
        while not (polled := reader.poll(streams.POLL_MS)):
            if time.monotonic() > deadline:
                raise RuntimeError("a lone comment did not come out")
        came = time.monotonic()
        assert sum(map(len, polled.values())) == 1
        delays.append(came - sent)
        time.sleep(0.5)
    return delays[1:]  # the first waited for the consumer's start


def _open_loop(
    reader: KafkaConsumer,
    producer: KafkaProducer,
    topic: str,
    texts: Sequence[str],
    *,
    rate: float,
    seconds: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When each comment was to come, and when its result did, in seconds from the same start."""
    draw = random.Random(0)
    moments, at = [], 0.0
    while at < seconds + WARM_UP_SECONDS:
        at += draw.expovariate(rate)
        moments.append(at)
    start = time.monotonic()

    def send() -> None:
        for number, moment in enumerate(moments):
            time.sleep(max(0.0, start + moment - time.monotonic()))
            producer.send(topic, orjson.dumps({"n": number, "text": texts[number % len(texts)]}))

    sending = threading.Thread(target=send)
    sending.start()
    arrivals = np.full(len(moments), np.nan)
    deadline = start + moments[-1] + LONE_SECONDS
    while (missing := int(np.isnan(arrivals).sum())) > 0:
        polled = reader.poll(streams.POLL_MS)
        now = time.monotonic()
        if now > deadline:
            raise RuntimeError(f"{missing} of {len(moments)} comments did not come out")
        for record in (record for records in polled.values() for record in records):
            arrivals[orjson.loads(record.value)["n"]] = now - start
    sending.join()
    return np.array(moments), arrivals


def _rate(arrivals: NDArray[np.float64]) -> float:
    times = np.sort(arrivals)
    return streams.Arrivals(times, np.arange(len(times))).after(WARM_UP_SECONDS).rate


def _on_the_device(port: int) -> tuple[float, float]:
    """The seconds that batches spent on the device so far, and how many they were."""
    families = text_string_to_metric_families(deployed.get(port, "/metrics")[1])
    samples = {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if sample.labels == {"stage": "classify"}
    }
    return samples["urgency_router_stage_seconds_sum"], samples["urgency_router_stage_seconds_count"]


def _model_alone(model: Model, texts: Sequence[str]) -> float:
    classifier = Classifier(bundle.read(model.bundle), device="cpu")
    durations = []
    for text in texts:
        start = time.perf_counter()
        classifier.classify([text])
        durations.append(time.perf_counter() - start)
    return median(durations)


def report(measured: Sequence[Measured], lone: Lone) -> list[str]:
    """Markdown."""
    lines = streams.table(
        [
            {
                "delay of a comment": one.load,
                "comments": f"{one.comments:,}",
                "p50 (ms)": f"{one.p50 * 1000:.0f}",
                "p99 (ms)": f"{one.p99 * 1000:.0f}",
                "p99.9 (ms)": f"{one.p999 * 1000:.0f}",
                "a batch (ms)": f"{one.batch * 1000:.0f}",
                "p99 in batches": f"{one.p99 / one.batch:.1f}",
            }
            for one in measured
        ]
    )
    return [
        *lines,
        "",
        goals.at_most(
            f"a lone comment's {lone.delay * 1000:.0f} ms (p50), of which the model takes"
            f" {lone.model * 1000:.0f}, in times of (the model + 30 ms)",
            lone.delay / (lone.model + 0.030),
            1.5,
        ),
        *(
            goals.at_most(f"p99 at {GOAL_LOAD:.0%} load, in times of a batch", one.p99 / one.batch, 4)
            for one in measured
            if one.load.startswith(f"{GOAL_LOAD:.0%}")
        ),
    ]
