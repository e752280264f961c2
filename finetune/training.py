"""Training itself: `transformers.Trainer`, told how to group, stop, resume and report."""

import logging
import os
import re
import signal
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import Sampler
from transformers import (
    DataCollatorWithPadding,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from consumer.window import Window
from finetune.errors import Interrupted
from finetune.evaluation import Numbers, macro_f1
from finetune.resumption import last_checkpoint
from finetune.settings import Settings
from finetune.variations import Varied

logger = logging.getLogger(__name__)

# Steps between checkpoints inside an epoch: what a kill -9 can cost.
CHECKPOINT_STEPS = 500
WARMUP_SHARE = 0.1  # of all steps; a new classification layer over pretrained ones starts with wild gradients
WEIGHT_DECAY = 0.01  # as BERT was trained and is fine-tuned with
# The learning rate of a layer in that of the layer above: what the lower ones know of language is to stay.
# Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?".
LAYER_DECAY = 0.9
# Processes under torchrun wait this long for the first one, which reads and tokenises the files meanwhile.
PREPARATION_LIMIT = timedelta(hours=24)


def training_arguments(settings: Settings, directory: Path, progress_bar: bool) -> TrainingArguments:
    """Translate the settings into Trainer's; under torchrun this joins the process group."""
    cuda = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(directory),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=4 * settings.batch_size,  # no gradients to hold
        learning_rate=settings.learning_rate,
        warmup_steps=WARMUP_SHARE,
        weight_decay=WEIGHT_DECAY,
        use_cpu=not torch.accelerator.is_available(),  # unsaid, processes under torchrun would not meet
        bf16=cuda and torch.cuda.is_bf16_supported(including_emulation=False),
        dataloader_pin_memory=cuda,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,  # the best and the last, which Trainer removes at its end if the limit is 1
        load_best_model_at_end=True,
        metric_for_best_model="macro_f1",
        logging_steps=0.05,  # of all steps: twenty lines however long it takes
        seed=settings.seed,
        report_to="none",
        disable_tqdm=not progress_bar,
        ddp_timeout=int(PREPARATION_LIMIT.total_seconds()),
        ddp_find_unused_parameters=False,
        # Meant for losses summed over tokens; this one is a mean, which would be multiplied by the processes.
        average_tokens_across_devices=False,
    )


def make_trainer(
    arguments: TrainingArguments,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    splits: dict[str, Dataset],
    window: Window,
) -> Trainer:
    """Build a trainer of the split `train` that keeps the epoch with the best macro-F1 on `validation`.

    Each epoch has the comments with other variations. The loss, also on `validation`, is cross-entropy with
    the weights of `class_weights`.
    """
    weights = torch.tensor(
        class_weights(splits["train"].data.column("labels").to_numpy(), cast(int, model.config.num_labels)),
        dtype=torch.float32,
        device=arguments.device,
    )

    def compute_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: object = None) -> torch.Tensor:
        return functional.cross_entropy(outputs.logits.float(), labels, weights)

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        logits, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
        return {"macro_f1": macro_f1(logits.argmax(axis=1), labels, logits.shape[1])}

    varied = Varied(splits["train"], tokenizer, window, arguments.seed)
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=varied,
        eval_dataset=splits["validation"],
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8 if arguments.bf16 else None),
        compute_loss_func=compute_loss,
        compute_metrics=compute_metrics,
    )
    trainer.add_callback(_Vary(varied))
    trainer.remove_callback(PrinterCallback)
    if arguments.disable_tqdm and arguments.process_index == 0:
        trainer.add_callback(Lines())
    return trainer


def class_weights(labels: Numbers, count: int) -> NDArray[np.float64]:
    """Return what a comment of each label counts, on average over comments 1: more, the rarer the label is.

    With the inverse square root of its share, halfway between counting comments and counting labels: most
    reviews have five stars, and counted alike they drown the others. Each label must have a comment.
    """
    comments = np.bincount(labels, minlength=count)
    weights = comments**-0.5
    return np.asarray(weights * len(labels) / (weights * comments).sum())


def layer_groups(
    model: torch.nn.Module, rate: float, decayed: Collection[str], decay: float
) -> list[dict[str, Any]]:
    """Group a BERT's parameters for the optimizer: those of each layer learn slower than those above them.

    Args:
        model: a BERT with a classification layer.
        rate: the learning rate of what lies above the encoder; LAYER_DECAY times it, and so on, below.
        decayed: names of the parameters that weight decay is for.
        decay: the weight decay of those.
    """
    layers = re.compile(r"\.encoder\.layer\.(\d+)\.")
    places = {name: int(found[1]) for name, _ in model.named_parameters() if (found := layers.search(name))}
    top = max(places.values()) + 1
    groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        place = -1 if ".embeddings." in name else places.get(name, top)
        groups.setdefault((place, name in decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": rate * LAYER_DECAY ** (top - place),
            "weight_decay": decay if decays else 0.0,
        }
        for (place, decays), parameters in groups.items()
    ]


def train(trainer: Trainer, directory: Path) -> None:
    """Train from the last checkpoint, or from the start; the trainer's model is then the best epoch's.

    SIGINT and SIGTERM end it at the next step with a checkpoint and raise Interrupted; a second one ends it
    at once. A resumed run sees the batches and the dropout the interrupted one would have seen.
    """
    checkpoint = last_checkpoint(directory)
    if checkpoint:
        logger.info("resuming from %s", checkpoint.name.replace("-", " at step "))
    stop = _StopOnSignal()
    trainer.add_callback(stop)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if stop.number is not None:
        raise Interrupted(stop.number)


def predict(trainer: Trainer, split: Dataset) -> NDArray[np.float64]:
    """Return logits [comments, labels], in the order of the split."""
    sorted_logits = np.asarray(trainer.predict(split).predictions, dtype=np.float64)
    logits = np.empty_like(sorted_logits)
    logits[by_length(split)] = sorted_logits
    return logits


def history(trainer: Trainer) -> list[dict[str, float]]:
    """Return what was logged while it trained: the epoch with the loss, or with the validation measures."""
    wanted = ("epoch", "loss", "eval_loss", "eval_macro_f1")
    logged = ({key: line[key] for key in wanted if key in line} for line in trainer.state.log_history)
    return [line for line in logged if len(line) > 1]


def by_length(split: Dataset) -> NDArray[np.int64]:
    """Return the places of a split's comments, the longest first: if memory runs out, it does so at once."""
    # Not from the column with the lengths: Trainer hands over what the model takes, and no more.
    return np.argsort(-pc.list_value_length(split.data.column("input_ids")).to_numpy(), kind="stable")


class _LengthGroups(LengthGroupedSampler):
    """Batches of similar length, which the seed and the epoch alone decide.

    Left alone the sampler goes on from PyTorch's random state, so an epoch resumed halfway would be cut into
    other batches and see some comments twice and some not at all.
    """

    def __init__(self, lengths: list[int], batch_size: int, epoch_seed: Callable[[], int]) -> None:
        super().__init__(batch_size, lengths=lengths)
        self._epoch_seed = epoch_seed

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self._epoch_seed())
        return cast(Iterator[int], super().__iter__())  # type: ignore[no-untyped-call]


class _Trainer(Trainer):
    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            bert = cast(PreTrainedModel, self.model)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, bert)
            decayed = self.get_decay_parameter_names(bert)
            groups = layer_groups(bert, options.pop("lr"), decayed, self.args.weight_decay)
            self.optimizer = kind(groups, **options)
        return cast(torch.optim.Optimizer, self.optimizer)

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[int]:
        return cast(Sampler[int], by_length(eval_dataset).tolist())

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        lengths = list(cast(Varied, self.train_dataset).lengths)
        return _LengthGroups(
            lengths, self.args.train_batch_size, lambda: self.args.seed + int(self.state.epoch or 0)
        )


class _Vary(TrainerCallback):
    """Tells the comments which epoch it is, also where training goes on in the middle of one."""

    def __init__(self, comments: Varied) -> None:
        self._comments = comments

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._comments.epoch = int(state.epoch or 0)


class _StopOnSignal(TrainerCallback):
    """Saves every few hundred steps, and ends training, saved, when a signal came to any process."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._previous: dict[int, Any] = {}
        self._stopping = False

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._restore()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._stopping = self._signalled_anywhere(args)
        control.should_training_stop |= self._stopping
        # At the end of an epoch Trainer measures first and then saves, which must stay one.
        if not self._epoch_is_over(state):
            control.should_save |= self._stopping or state.global_step % CHECKPOINT_STEPS == 0

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._stopping and not self._epoch_is_over(state):
            # A part of an epoch must not compete for the best one.
            control.should_evaluate = control.should_save = False

    @staticmethod
    def _epoch_is_over(state: TrainerState) -> bool:
        return bool(state.epoch == int(state.epoch))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        # The signal may have come in the middle of writing a line, where logging another would fail.
        name = signal.Signals(number).name
        os.write(2, f"{name}: stopping after this step (again: at once)\n".encode())
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _signalled_anywhere(self, args: TrainingArguments) -> bool:
        """A process that stopped alone would leave the others waiting for its gradients."""
        if args.world_size == 1:
            return self.number is not None
        number = torch.tensor(self.number or 0, device=args.device)
        torch.distributed.all_reduce(number, op=torch.distributed.ReduceOp.MAX)
        self.number = int(number) or None
        return self.number is not None


class Lines(TrainerCallback):
    """Progress as lines, for logs and pipes."""

    def on_log(  # noqa: D102 Trainer's
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        logs = logs or {}
        if "loss" in logs:
            logger.info("step %d of %d: loss %.3f", state.global_step, state.max_steps, logs["loss"])
        elif "eval_macro_f1" in logs:
            logger.info(
                "epoch %.4g of %d: validation macro-F1 %.3f, loss %.3f",
                state.epoch,
                args.num_train_epochs,
                logs["eval_macro_f1"],
                logs["eval_loss"],
            )
