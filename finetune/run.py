"""One run from files to checkpoint: the order of the steps."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase, Trainer, set_seed

from consumer.window import Window
from finetune import (
    alike,
    base_model,
    baselines,
    behaviour,
    evaluation,
    held_out,
    inference,
    model_card,
    page,
    report,
    resumption,
    splits,
    training,
)
from finetune.errors import FinetuneError
from finetune.settings import TRAINER_DEFAULTS, Settings

logger = logging.getLogger(__name__)

HELD_OUT = ("validation", "test")
# Of the tokens that are read of a long comment, those from its end, where many say what they think of it all.
TAIL_SHARE = 0.25


def run(settings: Settings, *, progress_bar: bool = False) -> None:
    """Fine-tune and write the checkpoint to `settings.output`, going on from an interrupted run.

    Under torchrun every process calls it, and the first reads the files and writes.
    Raises FinetuneError, with a sentence for the user, and Interrupted.
    """
    base = base_model.find(settings.base_model)
    max_length = min(settings.max_length, base_model.load_config(base).max_position_embeddings)
    window = Window(max_length, round(max_length * TAIL_SHARE))
    tokenizer = base_model.load_tokenizer(base)
    alike.add(tokenizer)
    work = (settings.output / ".work").resolve()
    arguments = training.training_arguments(settings, work / "trainer", progress_bar)
    first = arguments.process_index == 0
    if arguments.world_size > 1 and TRAINER_DEFAULTS in settings.baselines:
        raise FinetuneError(f"the baseline {TRAINER_DEFAULTS} needs one process: leave it out under torchrun")

    if first:
        digests = [splits.sha256(path) for path in settings.files]
        identity = {
            **asdict(settings),
            "base": base,
            "sha256": digests,
            "processes": arguments.world_size,
            "version": version("urgency-router"),
        }
        resumption.claim(work, json.loads(json.dumps(identity, default=str)))
        resumption.once(
            work / "data", lambda folder: splits.prepare(settings, digests, tokenizer, window, folder)
        )
    arguments.distributed_state.wait_for_everyone()

    set_seed(settings.seed)
    data = splits.load(work / "data")
    model = base_model.load_classifier(base, settings.labels)
    alike.merge(model, tokenizer)
    trainer = training.make_trainer(arguments, model, tokenizer, data, window)
    training.train(trainer, work / "trainer")

    logits = {name: training.predict(trainer, data[name]) for name in HELD_OUT}
    if first:
        _write(settings, base, tokenizer, trainer, data, logits, window, work)
    arguments.distributed_state.destroy_process_group()


def _write(
    settings: Settings,
    base: Path,
    tokenizer: PreTrainedTokenizerBase,
    trainer: Trainer,
    data: Mapping[str, Dataset],
    logits: Mapping[str, evaluation.Logits],
    window: Window,
    work: Path,
) -> None:
    """Measure the model, and publish the checkpoint with all that is said of it."""
    scaling = evaluation.fit_scaling(logits["validation"], np.array(data["validation"]["labels"]))
    base_model.scale(trainer.model, scaling)
    probabilities = {name: evaluation.probabilities_of(scaling.apply(logits[name])) for name in HELD_OUT}
    record = report.training_record(
        settings,
        window=window,
        scaling=scaling,
        best_epoch=(trainer.state.best_global_step or 0) * settings.epochs / trainer.state.max_steps,
        history=training.history(trainer),
        data=json.loads((work / "data" / "record.json").read_text()),
        measures=_measures(settings, data["test"], logits["test"], probabilities["test"]),
        baselines=resumption.once(
            work / "baselines", lambda folder: baselines.measure_all(settings, data, base, tokenizer, folder)
        ),
        behaviour=_behaviour(settings, trainer, tokenizer, window),
        world_size=trainer.args.world_size,
    )
    checkpoint = work / "checkpoint"
    _write_model(trainer, tokenizer, checkpoint)
    for name in HELD_OUT:
        held_out.write(checkpoint / f"{name}.parquet", data[name], settings.labels, probabilities[name])
    report.draw_confusion(record["measures"]["confusion"], record["labels"], checkpoint / "confusion.png")
    resumption.write_json(checkpoint / "training.json", record)
    (checkpoint / "report.html").write_text(page.render(checkpoint), encoding="utf-8")
    (checkpoint / "README.md").write_text(model_card.render(record), encoding="utf-8")
    resumption.publish(checkpoint, settings.output)
    shutil.rmtree(work)
    print(report.table(record))
    logger.info("checkpoint written to %s, with report.html", settings.output)


def _measures(
    settings: Settings, split: Dataset, logits: evaluation.Logits, probabilities: evaluation.Probabilities
) -> dict[str, Any]:
    labels = np.array(split["labels"])
    before = evaluation.probabilities_of(logits)
    return {
        **evaluation.measure(probabilities, labels, settings.labels, settings.routes),
        "before_scaling": {
            **evaluation.calibration(before, labels),
            "reliability": evaluation.reliability(before, labels),
        },
    }


def _behaviour(
    settings: Settings,
    trainer: Trainer,
    tokenizer: PreTrainedTokenizerBase,
    window: Window,
) -> list[dict[str, Any]]:
    logger.info("trying it with sentences made for that")

    def classify(texts: Sequence[str]) -> evaluation.Probabilities:
        return evaluation.probabilities_of(inference.logits(trainer.model, tokenizer, texts, window))

    return behaviour.as_json(behaviour.check(classify, settings.labels, settings.routes))


def _write_model(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, checkpoint: Path) -> None:
    shutil.rmtree(checkpoint, ignore_errors=True)
    checkpoint.mkdir()
    trainer.save_model(str(checkpoint))
    (checkpoint / "training_args.bin").unlink()
    # Whoever loads the tokenizer decides on cutting and padding.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(checkpoint)
