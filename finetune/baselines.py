"""What the model has to beat, on the same splits: no reading at all, counted words, the encoder untrained."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import (
    AutoModel,
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from finetune import alike, base_model, training
from finetune.evaluation import Probabilities, measure, probabilities_of
from finetune.settings import TRAINER_DEFAULTS, Settings

logger = logging.getLogger(__name__)

# What words and frozen encodings can teach is learnt by then, and all of them are held in memory.
LIMIT = 50_000
ROUNDS = 1000  # of the solver, which gives up before it has converged after 100
BATCH = 32


def measure_all(
    settings: Settings,
    splits: Mapping[str, Dataset],
    base: Path,
    tokenizer: PreTrainedTokenizerBase,
    work: Path,
) -> dict[str, dict[str, Any]]:
    """Return for each baseline of the settings its measures on the test split; `work` is a folder to use."""
    train, test = splits["train"], splits["test"]
    some = train.select(np.linspace(0, len(train) - 1, min(LIMIT, len(train))).round().astype(int))
    ways: dict[str, Callable[[], Probabilities]] = {
        "majority": lambda: _majority(train, test, len(settings.labels)),
        "tf-idf": lambda: _words(some, test),
        "frozen-encoder": lambda: _frozen(some, test, base, tokenizer),
        TRAINER_DEFAULTS: lambda: _trainer_defaults(settings, splits, base, tokenizer, work),
    }
    measures = {}
    for name in settings.baselines:
        logger.info("baseline: %s", name)
        measures[name] = measure(ways[name](), np.array(test["labels"]), settings.labels, settings.routes)
    return measures


def _majority(train: Dataset, test: Dataset, labels: int) -> Probabilities:
    """The shares of the labels, whatever a comment says."""
    counts = np.bincount(train.data.column("labels").to_numpy(), minlength=labels)
    return np.tile(counts / counts.sum(), (len(test), 1))


def _words(train: Dataset, test: Dataset) -> Probabilities:
    """Logistic regression on weighted counts of words and pairs of words."""
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = make_pipeline(vectors, LogisticRegression(C=10, max_iter=ROUNDS))
    model.fit(train["text"], train["labels"])
    return np.asarray(model.predict_proba(test["text"]))


def _frozen(train: Dataset, test: Dataset, base: Path, tokenizer: PreTrainedTokenizerBase) -> Probabilities:
    """Logistic regression on what the pretrained model makes of a comment, on average over its tokens."""
    device = base_model.device()
    encoder = AutoModel.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    alike.merge(encoder, tokenizer)
    encoder.to(device).eval()
    pad: Any = DataCollatorWithPadding(tokenizer)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=ROUNDS))
    model.fit(_encode(train, encoder, pad, device), train["labels"])
    return np.asarray(model.predict_proba(_encode(test, encoder, pad, device)))


def _encode(split: Dataset, encoder: Any, pad: Any, device: torch.device) -> NDArray[Any]:
    order = np.argsort(-np.array(split["length"]), kind="stable")
    rows = np.empty((len(split), encoder.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            batch = pad([{"input_ids": ids} for ids in split[places]["input_ids"]]).to(device)
            hidden = encoder(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            rows[places] = ((hidden * mask).sum(1) / mask.sum(1)).cpu().numpy()
    return rows


def _trainer_defaults(
    settings: Settings,
    splits: Mapping[str, Dataset],
    base: Path,
    tokenizer: PreTrainedTokenizerBase,
    work: Path,
) -> Probabilities:
    """The same model under `Trainer` as it comes: its epochs, batch and rate, and no scaling."""
    arguments = TrainingArguments(
        output_dir=str(work),
        use_cpu=not torch.accelerator.is_available(),
        seed=settings.seed,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    model = base_model.load_classifier(base, settings.labels)
    alike.merge(model, tokenizer)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=splits["train"],
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(training.Lines())
    trainer.train()
    return probabilities_of(np.asarray(trainer.predict(splits["test"]).predictions))
