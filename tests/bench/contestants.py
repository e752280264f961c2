"""What people use today, and loops that do less than the consumer: ``python -m tests.bench.contestants``.

Each reads the input topic in a group of its own until it is killed, and publishes `{"n", "text", "label"}`.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

POLL_MS = 200
Label = Callable[[Sequence[str]], Sequence[str]]


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.contestants", description=__doc__)
    parser.add_argument("name", choices=["pipeline", "one-at-a-time", "bare"])
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--input-topic", required=True)
    parser.add_argument("--output-topic", required=True)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--max-poll-records", type=int, default=64)
    parser.add_argument("--at-least-once", action="store_true")
    options = parser.parse_args()
    if options.name == "bare":
        bare(options)
    elif options.name == "pipeline":
        at_least_once(options, pipeline(options.checkpoint, options.batch, options.max_length))
    else:
        at_least_once(options, one_at_a_time(options.bundle, options.max_length))


def pipeline(checkpoint: Path, batch: int, max_length: int) -> Label:
    """The `transformers` pipeline, as its documentation shows it."""
    import transformers

    classify: Any = transformers.pipeline("text-classification", model=str(checkpoint))

    def label(texts: Sequence[str]) -> list[str]:
        answers = classify(list(texts), batch_size=batch, truncation=True, max_length=max_length)
        return [answer["label"] for answer in answers]

    return label


def one_at_a_time(bundle: Path, max_length: int) -> Label:
    """ONNX Runtime on the bundle's own model, a session with its defaults, one text a run."""
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokenizer.enable_truncation(max_length)
    tokenizer.no_padding()
    session = onnxruntime.InferenceSession(str(bundle / "model.cpu.onnx"), providers=["CPUExecutionProvider"])
    labels = orjson.loads((bundle / "bundle.json").read_bytes())["labels"]

    def label(texts: Sequence[str]) -> list[str]:
        found = []
        for text in texts:
            ids = np.array([tokenizer.encode(text).ids], dtype=np.int32)
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            found.append(labels[int(session.run(["probabilities"], feed)[0].argmax())])
        return found

    return label


def at_least_once(options: argparse.Namespace, label: Label) -> None:
    """Poll, label, send, flush, commit: the loop of every tutorial."""
    consumer = _consumer(options)
    producer = KafkaProducer(bootstrap_servers=options.bootstrap_servers, acks="all", linger_ms=20)
    while True:
        records = [r for of_partition in consumer.poll(POLL_MS).values() for r in of_partition]
        if not records:
            continue
        messages = [orjson.loads(record.value) for record in records]
        labels = label([message["text"] for message in messages])
        for record, message, given in zip(records, messages, labels, strict=True):
            value = orjson.dumps({**message, "label": given})
            producer.send(options.output_topic, value, key=record.key)
        producer.flush()
        consumer.commit()


def bare(options: argparse.Namespace) -> None:
    """Poll, send the same again, flush, offsets, commit, and nothing else."""
    consumer = _consumer(options)
    transactions = {} if options.at_least_once else {"transactional_id": f"bare-{os.getpid()}"}
    producer = KafkaProducer(
        bootstrap_servers=options.bootstrap_servers,
        acks="all",
        linger_ms=20,
        batch_size=262_144,
        **transactions,
    )
    if transactions:
        producer.init_transactions()
    while True:
        polled = consumer.poll(POLL_MS)
        if not polled:
            continue
        if transactions:
            producer.begin_transaction()
        for records in polled.values():
            for record in records:
                producer.send(options.output_topic, record.value, key=record.key)
        producer.flush()
        if transactions:
            producer.send_offsets_to_transaction(_next_offsets(polled), consumer.group_metadata())
            producer.commit_transaction()
        else:
            consumer.commit()


def _next_offsets(polled: dict[TopicPartition, list[Any]]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        partition: OffsetAndMetadata(records[-1].offset + 1, "", -1) for partition, records in polled.items()
    }


def _consumer(options: argparse.Namespace) -> KafkaConsumer:
    return KafkaConsumer(
        options.input_topic,
        bootstrap_servers=options.bootstrap_servers,
        group_id=f"{options.output_topic}-group",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=options.max_poll_records,
    )


if __name__ == "__main__":
    main()
