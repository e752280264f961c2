"""The checkpoint's `README.md`: a model card as the Hugging Face hub reads it."""

from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

# What the hub calls them, and what training.json does.
_METRICS = {"accuracy": "accuracy", "f1": "macro_f1"}


def render(record: dict[str, Any]) -> str:
    """Return the card of a `training.json`."""
    name = f"{record['base_model']} on customer comments"
    measures = record["measures"]
    header = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["urgency-router", "star-rating"],
        model_name=name,
        eval_results=[
            EvalResult(
                task_type="text-classification",
                dataset_type="text",
                dataset_name=", ".join(file["name"] for file in record["data"]["files"] if not file["extra"]),
                dataset_split="test",
                metric_type=kind,
                metric_name=measure.replace("_", " "),
                metric_value=round(measures[measure], 4),
            )
            for kind, measure in _METRICS.items()
        ],
    )
    environment = Environment(
        loader=PackageLoader("finetune", ""),
        autoescape=False,  # noqa: S701 the card is Markdown and quotes no comment
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("model_card.md.jinja").render(
        name=name, record=record, measures=measures, most_urgent=next(iter(record["routes"]))
    )
    return str(ModelCard(f"---\n{header.to_yaml()}\n---\n\n{text}"))
