"""Every metric, once."""

import warnings
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from kafka.structs import TopicPartition
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from consumer.messages import REASONS, Outgoing

# From one comment on an idle GPU to a backlog of hours.
DELAY_BUCKETS = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200),
)
STAGE_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)

# What several workers' values are together, by prometheus_client's names.
OfWorkers = Literal["livemin", "livemax", "livesum"]


class Metrics:
    """What /metrics shows. Messages count once their transaction has committed."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.labelled = self._counter(
            "messages_labelled", "Comments published with a label.", ("urgency", "label")
        )
        self.expected = self._counter(
            "expected_comments",
            "Comments of each urgency that the probabilities of those labelled add up to: the mix that the"
            " model sees, however it is routed.",
            ("urgency",),
        )
        self.dead_letters = self._counter("dead_letters", "Messages sent to the dead letters.", ("reason",))
        self.discarded = self._counter(
            "messages_discarded",
            "Messages thrown away in flight and read again, since nothing had committed.",
        )
        self.skipped = self._counter(
            "messages_skipped",
            "Messages never read: deleted by Kafka before, or left out by --auto-offset-reset then.",
        )
        self.transactions = self._counter(
            "transactions", "Kafka transactions by how they ended.", ("outcome",)
        )
        self.spans = self._counter(
            "spans",
            "Spans that ended, with --traces, by whether the receiver took them; dropped: too many waited.",
            ("outcome",),
        )
        self.rebalances = self._counter("rebalances", "Rebalances of the consumer group seen.")
        self.delay = self._histogram(
            "delay_seconds",
            "From a message's timestamp to the commit that makes its result visible.",
            DELAY_BUCKETS,
        )
        self.stage = self._histogram(
            "stage_seconds", "Time a committed batch took in each stage.", STAGE_BUCKETS, ("stage",)
        )
        self.batch = self._histogram("batch_messages", "Messages in a batch.", BATCH_BUCKETS)
        self.batch_bound = self._gauge(
            "batch_bound_messages", "The most messages the next batch may hold.", of_workers="livemax"
        )
        self.lag = self._gauge(
            "lag_messages",
            "Messages in an assigned partition not read yet.",
            ("topic", "partition"),
            of_workers="livesum",
        )
        self.partitions = self._gauge(
            "assigned_partitions", "Input partitions assigned to this consumer.", of_workers="livesum"
        )
        self.ready = self._gauge(
            "ready",
            "1 while the model has proved itself and the group is joined, else 0.",
            of_workers="livemin",
        )
        self.model = self._gauge(
            "model_info",
            "Always 1; the labels say what is running.",
            ("name", "version", "device", "precision"),
            of_workers="livemax",
        )
        self.bundle_swaps = self._counter(
            "bundle_swaps",
            "New bundles at the bundle's path, by whether they took over or were refused.",
            ("outcome",),
        )
        self.shadow = self._gauge(
            "shadow_info",
            "Always 1; the labels say which shadow model compares.",
            ("name", "version"),
            of_workers="livemax",
        )
        self.shadow_comments = self._counter(
            "shadow_comments",
            "Comments that the shadow model classified too, by the label in use and the shadow's.",
            ("label", "shadow_label"),
        )
        self.shadow_agreements = self._counter(
            "shadow_agreements", "Those of them to which both models give the same urgency."
        )
        self.shadow_skipped = self._counter(
            "shadow_skipped", "Comments of the shadow's share that it was too busy for, or failed at."
        )
        self.training_share = self._gauge(
            "training_share",
            "Share that each urgency had of what the model was trained on, where its bundle says so.",
            ("urgency",),
            of_workers="livemax",
        )
        self.gpu_unused = self._gauge(
            "gpu_unused",
            "1 while the machine shows an NVIDIA GPU and --device auto runs the model on the CPU, else 0.",
            of_workers="livemax",
        )
        self._serving: tuple[str, ...] | None = None
        self._urgencies: tuple[str, ...] = ()
        self._trained_on: set[str] = set()
        self._lagging: set[TopicPartition] = set()
        for reason in REASONS:
            self.dead_letters.labels(reason)
        for outcome in ("committed", "failed"):
            self.transactions.labels(outcome)
        for outcome in ("taken", "refused"):
            self.bundle_swaps.labels(outcome)
        for outcome in ("exported", "failed", "dropped"):
            self.spans.labels(outcome)

    def serving(self, name: str, version: str, device: str, precision: str) -> None:
        """Show which model labels from now on."""
        if self._serving:
            self._drop(self.model, self._serving)
        self._serving = (name, version, device, precision)
        self.model.labels(*self._serving).set(1)

    def committed(
        self,
        timestamps: Sequence[int],
        outgoing: Sequence[Outgoing],
        now: int,
        stages: Mapping[str, float],
    ) -> None:
        """Count what a transaction has published.

        Args:
            timestamps: of the messages read, milliseconds since 1970, negative where there is none.
            outgoing: the records published.
            now: the time of the commit, milliseconds since 1970.
            stages: how long each took, seconds.
        """
        self.transactions.labels("committed").inc()
        # While it is polled a batch also waits for the one before, which is no work.
        for stage in ("classify", "publish", "commit"):
            self.stage.labels(stage).observe(stages[stage])
        self.batch.observe(len(outgoing))
        for (urgency, label), count in Tally(
            (record.urgency, record.label) for record in outgoing if record.reason is None
        ).items():
            self.labelled.labels(urgency, label).inc(count)
        for reason, count in Tally(record.reason for record in outgoing if record.reason is not None).items():
            self.dead_letters.labels(reason).inc(count)
        mixes = [record.expected for record in outgoing if record.reason is None]
        if self._urgencies and mixes:
            for urgency, comments in zip(self._urgencies, np.sum(mixes, axis=0).tolist(), strict=True):
                self.expected.labels(urgency).inc(comments)
        of_messages = np.array(timestamps, dtype=np.float64)
        _observe(self.delay, np.maximum(0, now - of_messages[of_messages >= 0]) / 1000)

    def routes(self, urgencies: Sequence[str], trained_on: Mapping[str, float]) -> None:
        """Show what the model in service tells apart; call it before the first commit of that model.

        Args:
            urgencies: in the order of each record's `expected`.
            trained_on: share of the training comments of each; empty where the bundle does not say.
        """
        self._urgencies = tuple(urgencies)
        for urgency in urgencies:
            self.expected.labels(urgency)
        for urgency in self._trained_on - trained_on.keys():
            self._drop(self.training_share, [urgency])
        for urgency, share in trained_on.items():
            self.training_share.labels(urgency).set(share)
        self._trained_on = set(trained_on)

    def assigned(self, partitions: int, lag: Mapping[TopicPartition, int]) -> None:
        """Show the assignment as it is now.

        Args:
            partitions: how many are assigned.
            lag: messages not read yet, of each assigned partition where that is known.
        """
        self.partitions.set(partitions)
        for lost in self._lagging - lag.keys():
            self._drop(self.lag, lost)
        for partition, messages in lag.items():
            self.lag.labels(*partition).set(messages)
        self._lagging = set(lag)

    def _drop(self, gauge: Gauge, labels: Sequence[object]) -> None:
        # What workers count together keeps its labels: then it is 0 that remains.
        gauge.labels(*labels).set(0)
        with warnings.catch_warnings(action="ignore"):
            gauge.remove(*labels)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, text, labels, namespace="urgency_router", registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = (), *, of_workers: OfWorkers) -> Gauge:
        return Gauge(
            name,
            text,
            labels,
            namespace="urgency_router",
            registry=self.registry,
            multiprocess_mode=of_workers,
        )

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(
            name, text, labels, namespace="urgency_router", registry=self.registry, buckets=buckets
        )


def _observe(histogram: Histogram, values: NDArray[np.float64]) -> None:
    """Observe many values at once, for which prometheus_client has no call."""
    in_buckets = np.bincount(np.searchsorted(histogram._upper_bounds, values))
    for bucket in np.flatnonzero(in_buckets):
        histogram._buckets[bucket].inc(int(in_buckets[bucket]))
    histogram._sum.inc(float(values.sum()))


def markdown_table() -> str:
    """The README's table of metrics."""
    rows = ["| metric | type | labels | what |", "| --- | --- | --- | --- |"]
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            (described,) = metric.describe()
            name = described.name + ("_total" if described.type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append(f"| `{name}` | {described.type} | {labels} | {described.documentation} |")
    return "\n".join(rows)
