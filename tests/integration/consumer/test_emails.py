"""E-mails through a real broker and a real consumer: each comes out once, labelled or for its reason."""

import base64
import json
from collections.abc import Callable

from consumer.messages import now
from tests import asyncapi, emails
from tests.bad_input import Dead
from tests.emails import EMAILS
from tests.integration.conftest import Kafka, Message
from tests.integration.consumer.conftest import URGENCIES, Consumer

Start = Callable[..., Consumer]
# What Kafka takes, of which the headers below are a part.
LARGEST = 999_900


def test_mailbox_comes_out_as_it_went_in(kafka: Kafka, prefix: str, start: Start) -> None:
    """Each e-mail of the corpus has its text, or its reason and its bytes; key, headers, timestamp stay."""
    kafka.create_topics(f"{prefix}comments", partitions=2)
    sent = {
        name: Message(case.value, name.encode(), [("list-id", b"support"), ("urgency", b"theirs")], now())
        for name, case in EMAILS.items()
        if case.value is None or len(case.value) < LARGEST
    }
    kafka.produce(f"{prefix}comments", sent.values())

    consumer = start("--exit-at-end", "--input-format", "email")
    assert consumer.wait() == 0, consumer.log_lines()

    records = kafka.read(*consumer.outputs, count=len(sent))
    assert len(records) == len(sent)
    came = {record.key.decode(): record for record in records}
    assert came.keys() == sent.keys()
    for name, record in came.items():
        case = EMAILS[name]
        assert list(record.headers)[:2] == sent[name].headers
        assert record.timestamp == sent[name].timestamp_ms
        if isinstance(case, Dead):
            assert dict(record.headers)["error.reason"] == case.reason.encode()
            assert record.value == (case.value or b"")
            assert asyncapi.problems("dead-letter-headers", asyncapi.headers_of(record.headers)) == []
        else:
            value = json.loads(record.value)
            assert value["text"] == case.text
            assert asyncapi.problems("labelled-email", value) == []
            assert value["classification"]["urgency"] == record.topic.removeprefix(prefix)


def test_original_bytes(kafka: Kafka, prefix: str, start: Start) -> None:
    """With --include-original a subscriber has the e-mail's very bytes."""
    original = emails.mail(bytes(range(256)) + b" \r\n")
    kafka.create_topics(f"{prefix}comments")
    kafka.produce(f"{prefix}comments", [Message(original)])

    consumer = start("--exit-at-end", "--input-format", "email", "--include-original")
    assert consumer.wait() == 0, consumer.log_lines()

    [record] = kafka.read(*[f"{prefix}{urgency}" for urgency in URGENCIES], count=1)
    value = json.loads(record.value)
    assert base64.b64decode(value["original"]) == original
    assert asyncapi.problems("labelled-email", value) == []
