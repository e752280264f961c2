"""The first row: how it goes."""

from typing import Any

from deploy.grafana.panels import GREEN, GREY, ORANGE, RED, URGENCIES, Lines, Number, query, to_do
from deploy.grafana.promql import (
    SERVICE,
    increase,
    limit,
    metric,
    objective,
    quantile,
    rate,
    recorded,
)


def panels() -> list[Any]:
    """How it goes, over time."""
    burning = limit("UrgencyRouterDelayBudgetBurningFast")
    return [
        *_numbers(),
        Lines(
            "Comments by urgency",
            "Labelled messages a second, by the urgency that they were routed to.",
            "cps",
            query(rate("messages_labelled_total", "urgency"), "{{urgency}}"),
        )
        .stacked()
        .coloured(URGENCIES)
        .span(12),
        Lines(
            "Delay",
            "From a message's timestamp to the commit that makes its result visible. The dashed line is the"
            " objective.",
            "s",
            query(quantile(0.5, "delay_seconds"), "median"),
            query(quantile(0.99, "delay_seconds"), "99 of 100"),
            query(quantile(0.999, "delay_seconds"), "999 of 1000"),
        )
        .logarithmic()
        .limits([(None, GREEN), (objective("seconds"), RED)])
        .links(to_do("UrgencyRouterDelayBudgetBurningFast"))
        .span(12),
        Lines(
            "Lag",
            "Messages in the input topic that were not read yet, as the consumers count them.",
            "short",
            query(f"sum by (topic) ({metric('lag_messages')})", "{{topic}}"),
        ).links(to_do("UrgencyRouterLagGrowing")),
        Lines(
            "Dead letters by reason",
            "Messages that could not be labelled. The README says what each reason means.",
            "short",
            query(f"{increase('dead_letters_total', 'reason')} > 0", "{{reason}}"),
        )
        .bars()
        .links(to_do("UrgencyRouterDeadLetters")),
        Lines(
            "Budget for late comments",
            "How many times faster than the objective allows it is used. Above 1 it does not last the 30"
            f" days; above {burning:g} for an hour somebody is called.",
            "none",
            query(recorded("job:urgency_router_delay_burn:rate1h"), "{{job}}, 1 hour"),
            query(recorded("job:urgency_router_delay_burn:rate6h"), "{{job}}, 6 hours"),
            query(recorded("job:urgency_router_delay_burn:rate3d"), "{{job}}, 3 days"),
        )
        .limits([(None, GREEN), (1, ORANGE), (burning, RED)])
        .links(to_do("UrgencyRouterDelayBudgetBurningSlowly")),
    ]


def _numbers() -> list[Any]:
    """The overview's first line: how it goes, in six numbers."""
    seconds, kept, dead = objective("seconds"), objective("ratio"), limit("UrgencyRouterDeadLetters")
    in_time = increase("delay_seconds_bucket", also=f'le="{seconds}"', over="$__range")
    firing = f'ALERTS{{{SERVICE}, alertname=~"UrgencyRouter.*", alertstate="firing"}}'
    return [
        Number(
            "Ready",
            "Consumers that label comments. Several --workers are one.",
            "short",
            query(f"sum({metric('ready')})"),
            [(None, RED), (1, GREEN)],
        ).links(to_do("UrgencyRouterNoneReady")),
        Number(
            "Comments",
            "Labelled messages and dead letters a second.",
            "cps",
            query(rate("batch_messages_sum")),
            [(None, GREY)],
        ),
        Number(
            "In time",
            f"Share whose result was there within {seconds:g} s, over the time range. The objective is"
            f" {kept:.0%}.",
            "percentunit",
            query(f"{in_time} / {increase('delay_seconds_count', over='$__range')}").instant(),
            [(None, RED), (kept, GREEN)],
        )
        .max(1)
        .links(to_do("UrgencyRouterDelayBudgetBurningFast")),
        Number(
            "Waiting",
            "Messages in the input topic that were not read yet.",
            "short",
            query(f"sum({metric('lag_messages')})"),
            [(None, GREY)],
        ).links(to_do("UrgencyRouterLagGrowing")),
        Number(
            "Dead letters",
            "Share of what was read, over the time range.",
            "percentunit",
            query(
                f"{increase('dead_letters_total', over='$__range')}"
                f" / {increase('batch_messages_sum', over='$__range')}"
            ).instant(),
            [(None, GREEN), (dead / 5, ORANGE), (dead, RED)],
        ).links(to_do("UrgencyRouterDeadLetters")),
        Number(
            "Alerts",
            "Alerts that fire now.",
            "short",
            query(f"count({firing}) or vector(0)"),
            [(None, GREEN), (1, RED)],
        ),
    ]
