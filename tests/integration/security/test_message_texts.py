"""What messages say appears in no log line and no metric, unless a flag asks for it."""

import json

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from tests.conftest import comments
from tests.integration.conftest import Message
from tests.integration.consumer.conftest import Consumer
from tests.integration.security.conftest import TOPICS, SecuredKafka, Start, least_rights

MARK = "m4rk-of-a-customer"
MARKED = MARK.encode()
BAD = [
    None,
    MARKED,
    b'{"text": "' + MARKED + b'\xff"}',
    b'{"text": "' + MARKED,
    b'["' + MARKED + b'"]',
    b'{"' + MARKED + b'": "' + MARKED + b'"}',
    b'{"text": ["' + MARKED + b'"]}',
    b'{"text": " ", "other": "' + MARKED + b'"}',
    b'{"text": "' + MARKED + b'", "number": NaN}',
    b'{"text": "' + MARKED + b" late" * 4000 + b'"}',
]
# Labelled they exceed what the routed topics below take; the last bad one exceeds --max-message-bytes.
LARGE = [json.dumps({"text": f"{MARK} {text}", "other": "x" * 3000}).encode() for text in comments(30)]
GOOD = [json.dumps({"text": f"{MARK} {text} \ud800", MARK: {MARK: MARK}}).encode() for text in comments(30)]


def marked(values: list[bytes | None]) -> list[Message]:
    """Messages with these values; keys and headers are marked too."""
    return [Message(value, key=MARKED, headers=[(MARK, MARKED), ("urgency", MARKED)]) for value in values]


def published(consumer: Consumer) -> float:
    """How many messages have come out."""
    labelled = consumer.metric("urgency_router_messages_labelled_total")
    return labelled + consumer.metric("urgency_router_dead_letters_total")


@pytest.mark.parametrize("asked_for", [False, True])
def test_no_log_line_and_no_metric_quotes_a_message(
    secured: SecuredKafka, start: Start, prefix: str, user: str, asked_for: bool
) -> None:
    """Good, bad, too large, refused and thrown away: the log quotes texts with --log-texts and nothing else.

    The log is at debug level; /metrics is the same in either case.
    """
    with KafkaAdminClient(bootstrap_servers=secured.bootstrap_servers) as admin:
        topics = {f"{prefix}{name}": {"num_partitions": 1, "replication_factor": 1} for name in TOPICS}
        for name in ("high", "medium", "low"):
            topics[f"{prefix}{name}"]["configs"] = {"max.message.bytes": "2000"}
        admin.create_topics(topics, wait_for_metadata=True)
    secured.grant(secured.add_user(user), least_rights(prefix))
    own_id = f"{prefix}group-1"
    consumer = start(
        *("--log-level", "debug", "--transactional-id", own_id, "--max-message-bytes", "10000"),
        *(["--log-texts"] if asked_for else []),
        *secured.with_password(user),
    )
    consumer.wait_ready()
    values: list[bytes | None] = [*BAD, *GOOD, *LARGE]
    secured.produce(f"{prefix}comments", marked(values))
    consumer.wait_until(lambda: published(consumer) == len(values), "publishing")
    take_over(secured, own_id)
    secured.produce(f"{prefix}comments", marked(list(GOOD)))
    consumer.wait_until(lambda: published(consumer) == len(values) + len(GOOD), "publishing again")

    refused = consumer.metric("urgency_router_dead_letters_total", reason="refused-by-kafka")
    too_large = consumer.metric("urgency_router_dead_letters_total", reason="too-large")
    page = consumer.metrics_page()
    assert consumer.stop() == 0
    log = "\n".join(consumer.raw_log())
    assert refused == len(LARGE)
    assert too_large == 1
    assert "will be read again" in log
    assert MARK not in page
    assert (MARK in log) == asked_for


def take_over(secured: SecuredKafka, transactional_id: str) -> None:
    """Begin as another producer of the same name, so that the consumer's next transaction fails."""
    producer = KafkaProducer(bootstrap_servers=secured.bootstrap_servers, transactional_id=transactional_id)
    producer.init_transactions()
    producer.close()
