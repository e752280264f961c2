"""The third row: the model."""

from typing import Any

from deploy.grafana.panels import (
    GREEN,
    ORANGE,
    RED,
    URGENCIES,
    Lines,
    Rows,
    States,
    columns,
    matrix,
    now,
    query,
    to_do,
)
from deploy.grafana.promql import increase, limit, metric, rate, recorded


def panels() -> list[Any]:
    """Which model runs, what it says, and whether it still fits."""
    return [
        Rows(
            "In service",
            "The model of each consumer, and where it runs.",
            now(f"{metric('model_info')} == 1"),
            columns(
                *("namespace", "job", "instance", "pod", "name", "version", "device", "precision"),
                without=("Time", "Value", "__name__", "container", "endpoint"),
            ),
        ).span(16),
        States(
            "GPU",
            "Whether a consumer runs on the CPU of a machine that has a GPU.",
            query(f"max by (instance) ({metric('gpu_unused')})", "{{instance}}"),
            {"0": ("as asked", GREEN), "1": ("GPU unused", RED)},
        ).links(to_do("UrgencyRouterGpuUnused")),
        *_fit(),
        *_shadow(),
    ]


def _fit() -> list[Any]:
    """Whether what comes is what the model was trained on."""
    trained = "{{urgency}}, in the training"
    in_training = {trained.replace("{{urgency}}", name): colour for name, colour in URGENCIES.items()}
    return [
        Lines(
            "Mix of urgencies over a day",
            "As the model's probabilities add up, beside the mix of the training, dashed. --weights do not"
            " move it: they only route more to one urgency.",
            "percentunit",
            query(recorded("job_urgency:urgency_router_mix:ratio_1d"), "{{urgency}}"),
            query(recorded("job_urgency:urgency_router_training_share:avg"), trained),
        )
        .coloured(URGENCIES | in_training)
        .dashed(".*, in the training")
        .links(to_do("UrgencyRouterMixDrifting")),
        Lines(
            "Population stability index",
            "How far the day's mix is from that of the training. It is usual to call 0.1 a shift and 0.25"
            " another mix. Of fewer than 500 comments it says little.",
            "none",
            query(recorded("job:urgency_router_mix:psi_1d"), "{{job}}"),
        )
        .limits([(None, GREEN), (limit("UrgencyRouterMixDrifting"), ORANGE), (0.25, RED)])
        .links(to_do("UrgencyRouterMixDrifting")),
        Lines(
            "Comments by label",
            "Labelled messages a second, by the label that the model finds the most probable.",
            "cps",
            query(rate("messages_labelled_total", "label"), "{{label}}"),
        ).stacked(),
    ]


def _shadow() -> list[Any]:
    """What another model would say, and what became of new bundles."""
    return [
        Lines(
            "Agreement with the shadow model",
            "Share of the comments that both classified to which both gave the same urgency.",
            "percentunit",
            query(f"{rate('shadow_agreements_total')} / {rate('shadow_comments_total')}", "same urgency"),
        )
        .limits([(None, RED), (limit("UrgencyRouterModelDisagreement"), GREEN)])
        .links(to_do("UrgencyRouterModelDisagreement"))
        .max(1),
        Rows(
            "Labels in service (rows) and of the shadow model (columns)",
            "Comments of the time range that both classified.",
            now(increase("shadow_comments_total", "label", "shadow_label", over="$__range")),
            matrix("label", "shadow_label"),
        )
        .unit("short")
        .decimals(0),
        Lines(
            "New bundles",
            "Bundles put in the place of the one before, and whether they were taken.",
            "short",
            query(increase("bundle_swaps_total", "outcome"), "{{outcome}}"),
        )
        .bars()
        .coloured({"taken": GREEN, "refused": RED})
        .links(to_do("UrgencyRouterBundleRefused")),
    ]
