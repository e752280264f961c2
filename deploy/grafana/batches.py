"""The second row: batches and stages."""

from typing import Any

from deploy.grafana.panels import GREEN, RED, Heat, Lines, query, to_do
from deploy.grafana.promql import metric, quantile, rate


def panels() -> list[Any]:
    """The shape of batches, and where their time goes."""
    return [
        Heat(
            "Messages in a batch",
            "A batch is what arrived while the device computed the one before: small under little load.",
            "short",
            query(rate("batch_messages_bucket", "le")),
        ),
        Lines(
            "Batch and its bound",
            "The mean batch, and the most that the next may hold: what the device classifies in"
            " --max-batch-seconds. Batches at the bound are a backlog.",
            "short",
            query(f"{rate('batch_messages_sum')} / {rate('batch_messages_count')}", "mean"),
            query(f"max({metric('batch_bound_messages')})", "bound"),
        ).logarithmic(),
        Heat(
            "Delay",
            "From a message's timestamp to the commit that makes its result visible.",
            "s",
            query(rate("delay_seconds_bucket", "le")),
        ),
        Lines(
            "Time of a batch",
            "classify is the model and its tokenizer, publish and commit are the Kafka transaction. They run"
            " side by side.",
            "s",
            query(quantile(0.5, "stage_seconds", "stage"), "{{stage}}, median"),
            query(quantile(0.99, "stage_seconds", "stage"), "{{stage}}, 99 of 100"),
        ).logarithmic(),
        Lines(
            "Busy",
            "Share of the time that a consumer spends in a stage, several --workers together. At 100 % it can"
            " do no more: classify then wants another replica or a faster device, publish and commit,"
            " added up, larger batches or a faster Kafka.",
            "percentunit",
            query(rate("stage_seconds_sum", "instance", "stage"), "{{instance}} {{stage}}"),
        ),
        Lines(
            "Transactions",
            "Each batch is one. A failed one is read again.",
            "ops",
            query(rate("transactions_total", "outcome"), "{{outcome}}"),
        )
        .coloured({"committed": GREEN, "failed": RED})
        .links(to_do("UrgencyRouterNoProgress")),
    ]
