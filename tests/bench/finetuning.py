"""Steps and tokens a second of fine-tuning, batches grouped by length against batches as they come."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import RandomSampler
from transformers import TrainerCallback

from consumer.window import Window
from finetune import alike, base_model, splits, training
from finetune.settings import parse_settings
from tests.bench import streams

WARM_UP_STEPS = 3

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """A run: steps a second, and tokens a second, padding left out."""

    name: str
    steps: float
    tokens: float


def run(file: Path, directory: Path, *, steps: int, say: Say) -> list[Measured]:
    """Fine-tune the default base model on the file for some steps, both ways."""
    settings = parse_settings(["--data", str(file), "--output", str(directory / "checkpoint")])
    base = base_model.find(settings.base_model)
    tokenizer = base_model.load_tokenizer(base)
    alike.add(tokenizer)
    folder = directory / "data"
    folder.mkdir()
    window = Window(settings.max_length)
    splits.prepare(settings, [splits.sha256(file)], tokenizer, window, folder)
    data = splits.load(folder)
    measured = []
    for name, grouped in (("grouped by length", True), ("as they come", False)):
        say(f"fine-tuning: {name}")
        arguments = training.training_arguments(settings, directory / "trainer", progress_bar=False)
        arguments.max_steps, arguments.eval_strategy, arguments.save_strategy = steps, "no", "no"
        arguments.load_best_model_at_end = False
        torch.manual_seed(settings.seed)
        model = base_model.load_classifier(base, settings.labels)
        alike.merge(model, tokenizer)
        trainer = training.make_trainer(arguments, model, tokenizer, data, window)
        if not grouped:
            trainer._get_train_sampler = lambda *_: RandomSampler(data["train"])
        clock = _Clock(trainer.data_collator)
        trainer.data_collator = clock.collate
        trainer.add_callback(clock)
        trainer.train()
        measured.append(clock.measured(name))
    return measured


class _Clock(TrainerCallback):
    """When each step ended, and how many tokens it had."""

    def __init__(self, collate: Callable[[Any], Any]) -> None:
        self._collate = collate
        self._tokens: list[int] = []
        self._ends: list[float] = []

    def collate(self, rows: Any) -> Any:
        batch = self._collate(rows)
        self._tokens.append(int(batch["attention_mask"].sum()))
        return batch

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._ends.append(time.perf_counter())

    def measured(self, name: str) -> Measured:
        seconds = self._ends[-1] - self._ends[WARM_UP_STEPS - 1]
        steps = len(self._ends) - WARM_UP_STEPS
        tokens = sum(self._tokens[WARM_UP_STEPS : len(self._ends)])
        return Measured(name, steps / seconds, tokens / seconds)


def report(measured: Sequence[Measured]) -> list[str]:
    """Markdown."""
    grouped, other = measured
    lines = streams.table(
        [
            {
                "fine-tuning, batches": one.name,
                "steps/s": f"{one.steps:.2f}",
                "tokens/s": f"{one.tokens:,.0f}",
            }
            for one in measured
        ]
    )
    return [
        *lines,
        "",
        f"- grouping by length trains {grouped.tokens / other.tokens:.2f} x the tokens a second",
    ]
