"""What class weights and decay by layer are worth, with all comments of the files.

    python -m finetune.ablation train default|without SEED FILE ... >> runs.log
    python -m finetune.ablation compare DIRECTORY > finetune/ablation.jsonl

`train` writes the checkpoint ARM-SEED into the working directory, in bfloat16 also on a CPU, as on a GPU;
`compare` reads those below DIRECTORY and prints a line of JSON for each, and the paired differences.
"""

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from sklearn.metrics import average_precision_score
from transformers import TrainingArguments

from consumer.window import Window
from finetune import base_model, evaluation, held_out, inference, training
from finetune.__main__ import main

KEYS = ("accuracy", "macro_f1", "expected_calibration_error", "brier_score")


def train(arm: str, seed: str, *files: str) -> int:
    """Train one arm with one seed, in bfloat16."""
    patches: dict[str, Any] = {
        "TrainingArguments": lambda **options: TrainingArguments(**options | {"bf16": True})
    }
    if arm == "without":
        patches |= {"class_weights": lambda labels, count: np.ones(count), "LAYER_DECAY": 1.0}
    with mock.patch.multiple(training, **patches):
        return main(["--data", *files, "--seed", seed, "--baselines", "", "--output", f"{arm}-{seed}"])


def measures(
    logits: evaluation.Logits, labels: evaluation.Numbers, record: dict[str, Any]
) -> dict[str, float]:
    """Return what the table has, of calibrated logits."""
    probabilities = evaluation.probabilities_of(logits)
    all_ = evaluation.measure(probabilities, labels, record["labels"], record["routes"])
    high = [record["labels"].index(label) for label in record["routes"]["high"]]
    return {
        **{key: all_[key] for key in KEYS},
        "log_loss": float(-np.log(probabilities[np.arange(len(labels)), labels]).mean()),
        "recall": all_["urgency"]["high"]["recall"],
        "precision": all_["urgency"]["high"]["precision"],
        "average_precision": float(
            average_precision_score(np.isin(labels, high), probabilities[:, high].sum(axis=1))
        ),
    }


def judged(checkpoint: Path) -> dict[str, dict[str, float]]:
    """Return measures on validation, the scaling fitted on its other half, and on test."""
    record = json.loads((checkpoint / "training.json").read_text())
    tokenizer = base_model.load_tokenizer(checkpoint)
    model = base_model.load_classifier(checkpoint, record["labels"])
    logits, labels = {}, {}
    for name in ("validation", "test"):
        split = held_out.read(checkpoint / f"{name}.parquet", record["labels"])
        scaled = inference.logits(model, tokenizer, split.texts, Window(record["max_length"], record["tail"]))
        scaling = record["scaling"]
        logits[name] = (scaled - np.array(scaling["shift"])) / np.array(scaling["scale"])
        labels[name] = np.array(split.labels)
    half = np.random.default_rng(0).permutation(len(labels["validation"])) % 2
    crossed = np.empty_like(logits["validation"])
    for one in (0, 1):
        other = half != one
        scaling = evaluation.fit_scaling(logits["validation"][other], labels["validation"][other])
        crossed[~other] = scaling.apply(logits["validation"][~other])
    scaling = evaluation.fit_scaling(logits["validation"], labels["validation"])
    return {
        "validation": measures(crossed, labels["validation"], record),
        "test": measures(scaling.apply(logits["test"]), labels["test"], record),
    }


def compare(directory: str) -> int:
    """Print each run and, on stderr, the means, the spreads and those of the paired differences."""
    runs = {}
    for checkpoint in sorted(Path(directory).glob("*-[0-9]")):
        arm, seed = checkpoint.name.rsplit("-", 1)
        runs[arm, seed] = judged(checkpoint)
        print(json.dumps({"arm": arm, "seed": int(seed), **runs[arm, seed]}), flush=True)
    seeds = sorted({seed for _, seed in runs})
    for split in ("validation", "test"):
        rows = {
            arm: np.array([list(runs[arm, seed][split].values()) for seed in seeds])
            for arm in ("default", "without")
        }
        rows["difference"] = rows["without"] - rows["default"]
        for arm, values in rows.items():
            cells = zip(values.mean(axis=0), values.std(axis=0, ddof=1), strict=True)
            print(split, arm, *(f"| {mean:.3f} ± {spread:.3f}" for mean, spread in cells), file=sys.stderr)
    return 0


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    sys.exit(train(*arguments) if command == "train" else compare(*arguments))
