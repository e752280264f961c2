"""Whole runs, from files to checkpoint, with a tiny BERT."""

import dataclasses
import json
import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
import torch
from datasets import Dataset
from pyarrow import parquet
from scipy.special import log_softmax
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

from consumer.window import Window
from finetune import base_model, held_out, inference, resumption, splits, training
from finetune.data import STAR_LABELS
from finetune.errors import FinetuneError
from finetune.run import run
from finetune.settings import Settings

FILES = ["README.md", "config.json", "confusion.png", "model.safetensors", "report.html", "test.parquet"]
FILES += ["tokenizer.json", "tokenizer_config.json", "training.json", "validation.parquet"]
# 30 steps an epoch and 360 in all: some seconds, so that an interruption meets it at work.
FLAGS = ("--epochs", "12", "--batch-size", "8", "--learning-rate", "0.002", "--max-length", "99")
START = 90.0  # seconds a process may take to import torch and begin, on a busy machine


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory, comments: Any, write_reviews: Any) -> Path:
    """A file of 300 comments, one broken row and one duplicate."""
    rows = comments(300)
    return Path(write_reviews(tmp_path_factory.mktemp("data") / "reviews.tsv", [*rows, ("9", "x"), rows[0]]))


class Finished(NamedTuple):
    """A run to its end without interruption."""

    output: Path
    record: dict[str, Any]
    printed: str


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, reviews: Path, settings: Callable[..., Settings]
) -> Finished:
    """Runs once without interruption."""
    output = tmp_path_factory.mktemp("finished") / "checkpoint"
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lines.append)
        run(settings(reviews, output, *FLAGS))
    return Finished(output, json.loads((output / "training.json").read_text()), "\n".join(lines))


class Ordeal(NamedTuple):
    """A run that was killed, started again and terminated, and then finished."""

    killed: bool
    marked_after_kill: bool
    terminated: subprocess.CompletedProcess[str]
    marked_after_termination: bool
    other_version: str
    steps: int
    output: Path


@pytest.fixture(scope="module")
def ordeal(
    tmp_path_factory: pytest.TempPathFactory,
    reviews: Path,
    tiny_bert: Path,
    settings: Callable[..., Settings],
) -> Ordeal:
    """Runs until the first epoch is over, then a little further, then to the end."""
    output = tmp_path_factory.mktemp("ordeal") / "checkpoint"
    command = [sys.executable, "-m", "finetune", "--data", str(reviews), "--output", str(output)]
    command += ["--base-model", str(tiny_bert), *FLAGS]
    mark, trainer = output / "training.json", output / ".work" / "trainer"

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: any(map(is_json, trainer.glob("checkpoint-*/trainer_state.json"))), process)
        process.kill()
        killed = process.wait() == -signal.SIGKILL
    marked_after_kill = mark.exists()

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        while "resuming from" not in said or "loss" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        process.terminate()
        printed, rest = process.communicate(timeout=START)
    terminated = subprocess.CompletedProcess(command, process.returncode, printed, said + rest)
    marked_after_termination = mark.exists()
    last = resumption.last_checkpoint(trainer)
    assert last is not None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetune.run.version", lambda _: "0.0.1")
        with pytest.raises(FinetuneError) as refused:
            run(settings(reviews, output, *FLAGS))

    run(settings(reviews, output, *FLAGS))
    steps = int(last.name.removeprefix("checkpoint-"))
    return Ordeal(
        killed, marked_after_kill, terminated, marked_after_termination, str(refused.value), steps, output
    )


def is_json(file: Path) -> bool:
    """Whether the file has been written to its end."""
    try:
        json.loads(file.read_text())
    except ValueError:
        return False
    return True


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait for something that a process does."""
    deadline = time.monotonic() + START
    while not condition():
        assert process.poll() is None, "the process ended first"
        assert time.monotonic() < deadline, "the process did not get there in time"
        time.sleep(0.005)


def test_a_checkpoint_is_whole(finished: Finished) -> None:
    """A finished checkpoint has its ten files and nothing else; the work directory is gone."""
    assert sorted(file.name for file in finished.output.iterdir()) == FILES


def test_it_learns(finished: Finished) -> None:
    """Words that tell the star are learnt: most comments of the test split are labelled right."""
    assert finished.record["measures"]["accuracy"] > 0.6


def test_the_model_knows_its_labels(finished: Finished) -> None:
    """config.json names the labels in the order of the outputs."""
    model = AutoModelForSequenceClassification.from_pretrained(finished.output, local_files_only=True)
    assert model.config.id2label == {0: "1", 1: "2", 2: "3", 3: "4", 4: "5"}


def test_the_tokenizer_neither_cuts_nor_pads(finished: Finished) -> None:
    """tokenizer.json loses the truncation and padding that the base model had baked in."""
    tokenizer = Tokenizer.from_file(str(finished.output / "tokenizer.json"))
    assert (tokenizer.truncation, tokenizer.padding) == (None, None)
    assert len(tokenizer.encode("ba " * 50).ids) == 52


def test_the_record_tells_what_was_done(finished: Finished, reviews: Path) -> None:
    """training.json tells data, splits, settings and versions; max_length is what the model can take."""
    record = finished.record
    assert record["labels"] == ["1", "2", "3", "4", "5"]
    assert (record["seed"], record["max_length"], record["tail"]) == (0, 64, 16)
    assert record["data"] == {
        "files": [
            {
                "name": "reviews.tsv",
                "extra": False,
                "sha256": splits.sha256(reviews),
                "rows": 302,
                "broken": {"label not one of the labels": 1},
            }
        ],
        "rows": 302,
        "broken": 1,
        "duplicates": 1,
        "splits": {"train": 240, "validation": 30, "test": 30},
        "extra": 0,
        "labels": dict.fromkeys("12345", 60),
    }
    assert record["hyperparameters"]["epochs"] == 12
    assert record["versions"].keys() >= {"torch", "transformers", "datasets"}
    assert record["temperature"] == 1
    assert len(record["scaling"]["scale"]) == len(record["scaling"]["shift"]) == 5


def test_the_measures_are_the_saved_models(finished: Finished) -> None:
    """The model in the checkpoint, asked anew about test.parquet, is right as often as the record says."""
    model = AutoModelForSequenceClassification.from_pretrained(finished.output, local_files_only=True)
    tokenizer = Tokenizer.from_file(str(finished.output / "tokenizer.json"))
    window = Window(finished.record["max_length"], finished.record["tail"])
    test = parquet.read_table(finished.output / "test.parquet").to_pylist()
    right = 0
    for row in test:
        logits = model(
            input_ids=model.dummy_inputs["input_ids"].new([window.cut(tokenizer.encode(row["text"]).ids)])
        ).logits
        right += model.config.id2label[int(logits.argmax())] == row["label"]
    assert right / len(test) == pytest.approx(finished.record["measures"]["accuracy"])


def test_the_model_tells_no_name_from_another(finished: Finished) -> None:
    """The checkpoint answers alike whoever is named, and whichever place."""
    model = AutoModelForSequenceClassification.from_pretrained(finished.output, local_files_only=True)
    tokenizer = Tokenizer.from_file(str(finished.output / "tokenizer.json"))
    texts = [f"ba {name} be {place}" for name, place in (("Maria", "Lagos"), ("Min-jun", "New York"))]
    ids = [tokenizer.encode(text).ids for text in texts]
    assert ids[0] != ids[1]
    one, other = model(input_ids=model.dummy_inputs["input_ids"].new(ids)).logits
    torch.testing.assert_close(one, other)


def test_held_out_comments_are_kept(finished: Finished) -> None:
    """Validation and test split are kept, each comment with the saved model's calibrated probabilities."""
    texts, labels = [], []
    for name in ("validation", "test"):
        split = held_out.read(finished.output / f"{name}.parquet", ["1", "2", "3", "4", "5"])
        texts += split.texts
        labels += split.labels.tolist()
        asked = inference.load(finished.output)(split.texts)
        assert split.probabilities == pytest.approx(asked, abs=1e-5)
        assert split.tokens.tolist() == [min(len(text.split()) + 2, 64) for text in split.texts]
    assert len(set(texts)) == 60
    assert sorted(labels) == sorted(list(range(5)) * 12)


def test_the_history_is_kept(finished: Finished) -> None:
    """The record has the training loss and, once an epoch, the validation measures."""
    epochs = [line["epoch"] for line in finished.record["history"] if "eval_macro_f1" in line]
    assert epochs == list(range(1, 13))
    losses = [line["loss"] for line in finished.record["history"] if "loss" in line]
    assert losses[0] > losses[-1]


def test_baselines_and_behaviour_are_in_the_record(finished: Finished) -> None:
    """The record has the cheap baselines' measures of the same comments, and how the made sentences went."""
    assert {name: one["comments"] for name, one in finished.record["baselines"].items()} == {
        "majority": 30,
        "tf-idf": 30,
        "frozen-encoder": 30,
    }
    assert "sarcasm" in [one["capability"] for one in finished.record["behaviour"]]


def test_scaling_is_measured(finished: Finished) -> None:
    """The record says what the calibration was before scaling."""
    before = finished.record["measures"]["before_scaling"]
    assert sum(one["comments"] for one in before["reliability"]) == 30
    assert before["brier_score"] != finished.record["measures"]["brier_score"]
    assert 0 <= before["expected_calibration_error"] <= 1


def test_a_checkpoint_is_a_base_model(
    finished: Finished, reviews: Path, tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    """Fine-tuning from a checkpoint starts as good as that was: the classification layer is kept."""
    more = settings(
        reviews, tmp_path / "more", "--epochs", "1", "--learning-rate", "1e-9", "--max-length", "99"
    )
    run(dataclasses.replace(more, base_model=str(finished.output)))
    record = json.loads((tmp_path / "more" / "training.json").read_text())
    assert record["measures"]["accuracy"] == pytest.approx(finished.record["measures"]["accuracy"], abs=0.07)


def test_the_best_epoch_is_kept(finished: Finished) -> None:
    """The record names the epoch whose model was kept, one of those that were trained."""
    assert finished.record["hyperparameters"]["best_epoch"] in range(1, 13)


def test_rarer_labels_weigh_more() -> None:
    """A comment of a label with a quarter of the comments counts twice as much; the average is 1."""
    labels = np.repeat([0, 1, 2], [16, 4, 4])
    weights = training.class_weights(labels, 3)
    assert weights[1:] / weights[0] == pytest.approx([2, 2])
    assert weights[labels].mean() == pytest.approx(1)


@pytest.fixture
def trainer(tiny_bert: Path, settings: Callable[..., Settings], tmp_path: Path) -> Trainer:
    """A trainer of 32 comments, 20 of them with the first label."""
    labels = np.repeat(np.arange(5), [20, 3, 3, 3, 3])
    rows = {"input_ids": [[2, 5 + place % 9, 3] for place in range(len(labels))], "labels": labels}
    split = Dataset.from_dict({**rows, "length": [3] * len(labels), "text": ["ba"] * len(labels)})
    return training.make_trainer(
        training.training_arguments(settings(tmp_path, tmp_path), tmp_path, progress_bar=False),
        base_model.load_classifier(tiny_bert, STAR_LABELS),
        base_model.load_tokenizer(tiny_bert),
        {"train": split, "validation": split},
        Window(64, 16),
    )


def test_the_loss_is_weighted(trainer: Trainer) -> None:
    """What training minimises is the cross-entropy of each comment, weighted by its label."""
    split, model = cast(Dataset, trainer.eval_dataset), cast(Any, trainer.model)
    batch = trainer.data_collator([{key: row[key] for key in ("input_ids", "labels")} for row in split])
    labels = np.array(split["labels"])
    logits = model(input_ids=batch["input_ids"]).logits.detach().numpy()
    each = -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    expected = np.average(each, weights=training.class_weights(labels, 5)[labels])
    assert trainer.compute_loss(model.eval(), batch).item() == pytest.approx(expected, rel=1e-4)


def test_lower_layers_learn_slower(trainer: Trainer) -> None:
    """Below the classification layer each layer has 0.9 of the learning rate of the one above it."""
    model = cast(Any, trainer.model)
    layers = model.config.num_hidden_layers
    for name, group in group_of(trainer).items():
        layer = re.search(r"layer\.(\d+)\.", name)
        below = layers - int(layer[1]) if layer else layers + 1 if ".embeddings." in name else 0
        assert group["lr"] == pytest.approx(trainer.args.learning_rate * 0.9**below), name


def test_biases_and_norms_do_not_decay(trainer: Trainer) -> None:
    """Weights decay as in BERT's own training, which leaves out biases and normalisation."""
    for name, group in group_of(trainer).items():
        expected = 0 if name.endswith("bias") or "LayerNorm" in name else 0.01
        assert group["weight_decay"] == expected, name


def group_of(trainer: Trainer) -> dict[str, dict[str, Any]]:
    """The optimizer's group that each parameter of the model is in."""
    groups = trainer.create_optimizer().param_groups
    of = {id(parameter): group for group in groups for parameter in group["params"]}
    return {name: of[id(parameter)] for name, parameter in cast(Any, trainer.model).named_parameters()}


def test_measures_are_printed(finished: Finished) -> None:
    """The run ends with a table of the measures and of each urgency."""
    for part in (
        "Test split: 30 comments",
        "macro f1",
        "quadratic weighted kappa",
        "high",
        "low",
        "Confusion",
        "Baselines",
        "frozen-encoder",
    ):
        assert part in finished.printed


def test_an_interrupted_run_is_no_checkpoint(ordeal: Ordeal) -> None:
    """After kill -9 and after SIGTERM no training.json says that a checkpoint is finished."""
    assert ordeal.killed
    assert not ordeal.marked_after_kill
    assert not ordeal.marked_after_termination


def test_a_killed_run_is_resumed(ordeal: Ordeal) -> None:
    """After kill -9 the same command goes on from the last checkpoint, without reading the data again."""
    assert "resuming from checkpoint at step" in ordeal.terminated.stderr
    assert "tokenising" not in ordeal.terminated.stderr


def test_sigterm_says_how_to_go_on(ordeal: Ordeal) -> None:
    """SIGTERM ends the run with a sentence and the signal's exit status, without a traceback."""
    assert ordeal.terminated.returncode == 128 + signal.SIGTERM
    last = ordeal.terminated.stderr.splitlines()[-1]
    assert last == "interrupted (SIGTERM): run the same command again to go on from there"
    assert "Traceback" not in ordeal.terminated.stderr


def test_sigterm_saves_the_step_it_came_in(ordeal: Ordeal) -> None:
    """What was trained since the last epoch is in the checkpoint that SIGTERM leaves."""
    shown = [line for line in ordeal.terminated.stderr.splitlines() if line.startswith("step ")]
    assert ordeal.steps >= int(shown[-1].split()[1])


def test_another_version_does_not_go_on(ordeal: Ordeal) -> None:
    """What one version left interrupted, another one refuses to go on with, and says why."""
    assert "an interrupted run that differs in version: finish it as it was begun" in ordeal.other_version


def test_a_resumed_run_gives_the_same_model(ordeal: Ordeal, finished: Finished) -> None:
    """Killed, terminated and resumed, the run ends with the weights it has when left alone."""
    weights = [(output / "model.safetensors").read_bytes() for output in (ordeal.output, finished.output)]
    assert weights[0] == weights[1]


def test_the_longest_baseline_needs_one_process(
    reviews: Path, tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under torchrun the baseline that trains by itself is refused before anything is read."""
    monkeypatch.setattr(TrainingArguments, "world_size", 2)
    with pytest.raises(FinetuneError, match="trainer-defaults needs one process"):
        run(settings(reviews, tmp_path / "out", "--baselines", "majority,trainer-defaults"))
    assert not (tmp_path / "out").exists()


def test_torchrun(tmp_path: Path, reviews: Path, tiny_bert: Path) -> None:
    """Two processes under torchrun train together and write one checkpoint."""
    output = tmp_path / "checkpoint"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "finetune", "--data", str(reviews), "--output", str(output)]
    command += ["--base-model", str(tiny_bert), "--epochs", "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert sorted(file.name for file in output.iterdir()) == FILES
    record = json.loads((output / "training.json").read_text())
    assert (record["processes"], record["measures"]["comments"]) == (2, 30)
    # 240 comments in steps of twice 16, and each line once.
    assert "step 16 of 16" in result.stderr
    assert result.stderr.count("epoch 2 of 2") == 1
    # What guessing among five labels costs, not twice that.
    losses = re.findall(r"step 1 of 16: loss (\S+)", result.stderr)
    assert [float(loss) for loss in losses] == [pytest.approx(math.log(5), abs=0.3)]
