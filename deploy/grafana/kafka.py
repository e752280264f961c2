"""The fourth row: Kafka."""

from typing import Any

from deploy.grafana.panels import GREEN, ORANGE, RED, Lines, States, query, to_do
from deploy.grafana.promql import increase, metric


def panels() -> list[Any]:
    """How the consumers share the topic, and what that costs."""
    return [
        Lines(
            "Lag by partition",
            "One that grows alone has a key that comes too often, or a consumer that is stuck.",
            "short",
            query(f"sum by (topic, partition) ({metric('lag_messages')})", "{{topic}}-{{partition}}"),
        )
        .links(to_do("UrgencyRouterLagGrowing"))
        .span(12),
        States(
            "Consumers",
            "Ready is who has proved the model and has joined the group, while Kafka answers.",
            query(f"min by (instance) ({metric('ready')})", "{{instance}}"),
            {"0": ("not ready", RED), "1": ("ready", GREEN)},
        )
        .links(to_do("UrgencyRouterNotReady"))
        .span(12),
        Lines(
            "Partitions",
            "Those that each consumer reads. One that has none is one too many.",
            "short",
            query(f"sum by (instance) ({metric('assigned_partitions')})", "{{instance}}"),
        ).stacked(),
        Lines(
            "Rebalances",
            "Each consumer counts its own. One when a replica comes or goes is usual, a row of them is not.",
            "short",
            query(increase("rebalances_total", "instance"), "{{instance}}"),
        ).bars(),
        Lines(
            "Read again, and never read",
            "What is thrown away in flight is read again, and nobody notices. What Kafka had deleted unread"
            " is lost.",
            "short",
            query(increase("messages_discarded_total"), "read again"),
            query(increase("messages_skipped_total"), "never read"),
        )
        .bars()
        .coloured({"read again": ORANGE, "never read": RED})
        .links(to_do("UrgencyRouterMessagesSkipped")),
    ]
