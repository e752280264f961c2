"""What a run was and how good its model is: `training.json`, a picture, and a table to read."""

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

from consumer.window import Window
from finetune.evaluation import Scaling
from finetune.settings import Settings, command_line
from finetune.training import LAYER_DECAY, WARMUP_SHARE, WEIGHT_DECAY

_LIBRARIES = ("accelerate", "datasets", "numpy", "tokenizers", "torch", "transformers")


def training_record(
    settings: Settings,
    *,
    window: Window,
    scaling: Scaling,
    best_epoch: float,
    history: list[dict[str, float]],
    data: dict[str, Any],
    measures: dict[str, Any],
    baselines: dict[str, dict[str, Any]],
    behaviour: list[dict[str, Any]],
    world_size: int,
) -> dict[str, Any]:
    """Return the content of `training.json`, which export copies into the bundle in part."""
    return {
        "command": command_line(settings),
        "base_model": settings.base_model,
        "labels": settings.labels,
        "routes": settings.routes,
        **window._asdict(),  # max_length and tail: tokens, of the first special ones included
        "temperature": 1.0,  # to divide the logits by; the scaling is in the classification layer
        "scaling": {"scale": scaling.scale.tolist(), "shift": scaling.shift.tolist()},
        "seed": settings.seed,
        "data": data,
        "slice_column": settings.slice_column,
        "measures": measures,
        "baselines": baselines,
        "behaviour": behaviour,
        "history": history,  # losses and validation measures by epoch
        "hyperparameters": {
            "epochs": settings.epochs,
            "best_epoch": best_epoch,
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "layer_decay": LAYER_DECAY,
            "warmup_share": WARMUP_SHARE,
            "weight_decay": WEIGHT_DECAY,
        },
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine(),
        "processes": world_size,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
    }


def draw_confusion(confusion: list[list[int]], labels: tuple[str, ...], path: Path) -> None:
    """Draw the confusion matrix of comments, [true labels, predicted labels], as a picture."""
    figure = Figure(figsize=(1.5 + len(labels), 1 + len(labels)), layout="constrained")
    ConfusionMatrixDisplay(np.array(confusion), display_labels=labels).plot(
        ax=figure.subplots(), cmap="Blues", values_format=",", colorbar=False
    )
    figure.savefig(path)


def table(record: dict[str, Any]) -> str:
    """Return the measures of a `training.json` as text for people."""
    measures, labels = record["measures"], record["labels"]
    lines = [
        f"Test split: {measures['comments']:,} comments, none trained or tuned on",
        *(
            f"  {name.replace('_', ' '):<26} {measures[name]:7.3f}"
            for name in _SCALARS
            if measures.get(name) is not None
        ),
        "",
        "Urgency     recall  precision  comments",
        *(
            f"  {urgency:<10}{scores['recall']:6.3f}{scores['precision']:11.3f}{scores['comments']:10,}"
            for urgency, scores in measures["urgency"].items()
        ),
        "",
        "Confusion (rows: true label, columns: predicted)",
        " " * 12 + "".join(f"{label:>8.7}" for label in labels),
        *(
            f"  {label:<10.10}" + "".join(f"{count:8,}" for count in row)
            for label, row in zip(labels, measures["confusion"], strict=True)
        ),
    ]
    if record["baselines"]:
        lines += ["", *_against_baselines(record)]
    return "\n".join(lines)


def _against_baselines(record: dict[str, Any]) -> list[str]:
    urgency = next(iter(record["routes"]))
    lines = [f"{'Baselines':<18}accuracy  macro F1  Brier  recall of {urgency}"]
    for name, one in {"this model": record["measures"], **record["baselines"]}.items():
        recall = f"{one['urgency'][urgency]['recall']:.3f}".rjust(11 + len(urgency))
        lines.append(
            f"  {name:<16}{one['accuracy']:8.3f}{one['macro_f1']:10.3f}{one['brier_score']:7.3f}{recall}"
        )
    return lines


_SCALARS = (
    "accuracy",
    "macro_f1",
    "mean_absolute_error",
    "quadratic_weighted_kappa",
    "expected_calibration_error",
    "brier_score",
)
