"""`python -m finetune collect`: people's corrections from a Kafka topic become training rows.

A correction is a labelled message as the consumer publishes it, key and value, with `"correct_label"` added.
"""

import argparse
import heapq
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from finetune.data import LABEL_COLUMN, STAR_LABELS, TEXT_COLUMN
from finetune.errors import FeedbackError

logger = logging.getLogger(__name__)

CORRECT_LABEL = "correct_label"
CLASSIFICATION = "classification"
FORMAT = ".jsonl"
POLL_MS = 1000
ANSWER_MS = 30_000
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")

NO_OBJECT = "no JSON object"
NO_LABEL = f"no {CORRECT_LABEL}"
UNKNOWN_LABEL = f"{CORRECT_LABEL} not one of the labels"
NO_TEXT = "no text"


class Correction(NamedTuple):
    """What a person said of a message.

    message: what tells the message from others: its key and its value without what was added to it
    text: the comment
    label: the right label; None takes back what was said before
    """

    message: tuple[bytes | None, str]
    text: str
    label: str | None


def main(argv: Sequence[str]) -> int:
    """Collect into a file; returns 0."""
    options = _parser().parse_args(argv)
    # It logs each try; what matters is said once, at the end.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        corrections, ignored = newest(
            parse(record.key, record.value, options.text_field, options.labels)
            for record in _records(
                options.bootstrap_servers, options.topic, vars(options).get("kafka_config", {})
            )
        )
    except KafkaError as error:
        raise FeedbackError(
            f"the topic {options.topic} at {options.bootstrap_servers} cannot be read ({error}): check that "
            "Kafka runs there, and --kafka-config if it wants a login"
        ) from error
    for problem, count in ignored.items():
        logger.warning("%s: left out: %s with %s", options.topic, f"{count:,}", problem)
    write(options.output, corrections, options.text_column, options.label_column)
    logger.info("%s corrections written to %s", f"{len(corrections):,}", options.output)
    return 0


def parse(key: bytes | None, value: bytes | None, text_field: str, labels: Sequence[str]) -> Correction | str:
    """Return the correction in a message, or what is wrong with it."""
    try:
        found = json.loads(value or b"")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return NO_OBJECT
    if CORRECT_LABEL not in found:
        return NO_LABEL
    label = found.pop(CORRECT_LABEL)
    if label is not None and str(label) not in labels:
        return UNKNOWN_LABEL
    text = found.get(text_field)
    if not isinstance(text, str) or not text.strip():
        return NO_TEXT
    found.pop(CLASSIFICATION, None)
    # The same fields in another order are the same message.
    message = key, json.dumps(found, sort_keys=True)
    return Correction(message, text, None if label is None else str(label))


def newest(found: Iterator[Correction | str]) -> tuple[list[Correction], Counter[str]]:
    """Return the last correction of each message, less those taken back, and the counts of problems."""
    last: dict[tuple[bytes | None, str], Correction] = {}
    problems: Counter[str] = Counter()
    for one in found:
        if isinstance(one, str):
            problems[one] += 1
        else:
            last[one.message] = one
    return [one for one in last.values() if one.label is not None], problems


def write(path: Path, corrections: Sequence[Correction], text_column: str, label_column: str) -> None:
    """Write a JSON object a line, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        for one in corrections:
            # Half a character, which JSON can hold and UTF-8 cannot, is read as the consumer reads it.
            text = _HALF_CHARACTER.sub("\ufffd", one.text)
            file.write(json.dumps({label_column: one.label, text_column: text}, ensure_ascii=False) + "\n")
    partial.replace(path)


def _records(servers: str, topic: str, config: Mapping[str, Any]) -> Iterator[Any]:
    """Everything that is in the topic now, the oldest first."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers.split(","),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        bootstrap_timeout_ms=ANSWER_MS,
        allow_auto_create_topics=False,
        **config,
    )
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        if not partitions:
            raise FeedbackError(f"there is no topic {topic} at {servers}: check --topic, or create it")
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        records: dict[TopicPartition, list[Any]] = {partition: [] for partition in partitions}
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for partition, polled in consumer.poll(timeout_ms=POLL_MS).items():
                records[partition] += [record for record in polled if record.offset < ends[partition]]
    finally:
        consumer.close()
    # Within a partition the order is Kafka's; between partitions only time tells.
    return heapq.merge(*records.values(), key=lambda record: record.timestamp)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m finetune collect",
        description="Read people's corrections from a topic and write training rows. A correction is a "
        f'labelled message, key and value, with "{CORRECT_LABEL}" added to the value; the newest of each '
        "message counts, and null takes it back.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--bootstrap-servers",
        required=True,
        default=argparse.SUPPRESS,
        metavar="HOST:PORT",
        help="brokers, several with commas",
    )
    parser.add_argument("--topic", default="comments.feedback", metavar="NAME", help="where corrections are")
    parser.add_argument(
        "--output",
        type=_output,
        required=True,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help=f"the rows; the name ends in {FORMAT}",
    )
    parser.add_argument(
        "--text-field", default="text", metavar="NAME", help="the message's field with the comment"
    )
    parser.add_argument("--text-column", default=TEXT_COLUMN, metavar="NAME", help="the rows' column for it")
    parser.add_argument(
        "--label-column", default=LABEL_COLUMN, metavar="NAME", help="the rows' column for the label"
    )
    parser.add_argument(
        "--labels",
        type=lambda text: tuple(name.strip() for name in text.split(",")),
        default=",".join(STAR_LABELS),
        metavar="L,L",
        help="the labels there are",
    )
    parser.add_argument(
        "--kafka-config",
        type=_config,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="a JSON object with more arguments of kafka-python's KafkaConsumer, for a login or TLS",
    )
    return parser


def _output(name: str) -> Path:
    path = Path(name)
    if path.suffix != FORMAT:
        raise argparse.ArgumentTypeError(f"{name!r} must end in {FORMAT}, which `python -m finetune` reads")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    return path


def _config(name: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{name!r} cannot be read as JSON ({error})") from error
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{name!r} holds no JSON object")
    return found
