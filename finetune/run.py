"""One run from files to checkpoint: the order of the steps."""

import json
import logging
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, Trainer, set_seed

from finetune import base_model, evaluation, report, resumption, splits, training
from finetune.settings import Settings

logger = logging.getLogger(__name__)


def run(settings: Settings, *, progress_bar: bool = False) -> None:
    """Fine-tune and write the checkpoint to `settings.output`, going on from an interrupted run.

    Under torchrun every process calls it, and the first reads the files and writes.
    Raises FinetuneError, with a sentence for the user, and Interrupted.
    """
    base = base_model.find(settings.base_model)
    max_length = min(settings.max_length, base_model.load_config(base).max_position_embeddings)
    tokenizer = base_model.load_tokenizer(base)
    work = (settings.output / ".work").resolve()
    arguments = training.training_arguments(settings, work / "trainer", progress_bar)
    first = arguments.process_index == 0

    if first:
        digests = [splits.sha256(path) for path in settings.data]
        identity = {**asdict(settings), "base": base, "sha256": digests, "processes": arguments.world_size}
        resumption.claim(work, json.loads(json.dumps(identity, default=str)))
        resumption.once(
            work / "data", lambda folder: splits.prepare(settings, digests, tokenizer, max_length, folder)
        )
    arguments.distributed_state.wait_for_everyone()

    set_seed(settings.seed)
    data = splits.load(work / "data")
    model = base_model.load_classifier(base, settings.labels)
    trainer = training.make_trainer(arguments, model, tokenizer, data)
    training.train(trainer, work / "trainer")

    logits, labels = training.predict(trainer, data["validation"])
    temperature = evaluation.fit_temperature(logits, labels)
    logits, labels = training.predict(trainer, data["test"])
    if first:
        steps_per_epoch = trainer.state.max_steps / settings.epochs
        measures = evaluation.measure(logits, labels, settings.labels, temperature, settings.routes)
        record = report.training_record(
            settings,
            max_length=max_length,
            temperature=temperature,
            best_epoch=(trainer.state.best_global_step or 0) / steps_per_epoch,
            data=json.loads((work / "data" / "record.json").read_text()),
            measures=measures,
            world_size=arguments.world_size,
        )
        _write(trainer, tokenizer, record, work)
        resumption.publish(work / "checkpoint", settings.output)
        shutil.rmtree(work)
        print(report.table(record))
        logger.info("checkpoint written to %s", settings.output)
    arguments.distributed_state.destroy_process_group()


def _write(trainer: Trainer, tokenizer: PreTrainedTokenizerBase, record: dict[str, Any], work: Path) -> None:
    """Write the finished checkpoint inside the work directory."""
    checkpoint = work / "checkpoint"
    shutil.rmtree(checkpoint, ignore_errors=True)
    checkpoint.mkdir()
    trainer.save_model(str(checkpoint))
    (checkpoint / "training_args.bin").unlink()
    # Whoever loads the tokenizer decides on cutting and padding.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(checkpoint)
    shutil.copy(work / "data" / "test.parquet", checkpoint)
    report.draw_confusion(record["measures"]["confusion"], record["labels"], checkpoint / "confusion.png")
    resumption.write_json(checkpoint / "training.json", record)
