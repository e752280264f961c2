"""The rights that the consumer needs where Kafka has an authorizer, and what it says without one of them."""

import json
import re
import time
from functools import partial

import pytest

from tests.integration.consumer.conftest import Consumer
from tests.integration.consumer.test_delivery import committed
from tests.integration.security.conftest import TOPICS, Right, SecuredKafka, Start, least_rights
from tests.readme import README

COUNT = 61  # 60 comments and a message that holds none
EACH = range(len(least_rights("")))
SOME = [0, 3, 5, 6]  # the input, an output, the group, the transactional id


def told(right: Right) -> str:
    """The words for a right."""
    kind = right.kind.replace("_", " ").lower()
    return f"{right.operation} {kind}{'s that start with' if right.prefixed else ''} {right.name}"


def last_line(consumer: Consumer) -> str:
    """The last line logged; no earlier one may be a traceback."""
    assert not any("exception" in json.loads(line) for line in consumer.raw_log())
    return consumer.log_lines()[-1]


def test_readme_lists_these_rights() -> None:
    """The README's commands grant what the tests below find to be enough and necessary, and Create apart."""
    listed: list[Right] = []
    for line in re.findall(r"^\$add (.*)$", README.read_text(), re.MULTILINE):
        (operation,) = re.findall(r"--operation (\w+)", line)
        for kind, name in re.findall(r"--(topic|group|transactional-id) (\S+)", line):
            kind_name = kind.replace("-", "_").upper()
            listed.append(Right(operation.upper(), kind_name, name, line.endswith("type prefixed")))

    def as_by_default(right: Right) -> Right:
        name = "comments" if right.name == "p.comments" else right.name.replace("p.group", "urgency-router")
        return Right(right.operation, right.kind, name.replace("p.", "comments."), right.prefixed)

    creating = [Right("CREATE", "TOPIC", f"p.{name}") for name in TOPICS]
    assert listed == [as_by_default(right) for right in [*least_rights("p."), *creating]]


def test_least_rights_are_enough_with_a_password(
    secured: SecuredKafka, start: Start, prefix: str, user: str
) -> None:
    """Over SASL_SSL with SCRAM-SHA-512 and exactly the least rights, all is published and committed."""
    secured.fill(prefix)
    secured.grant(secured.add_user(user), least_rights(prefix))

    consumer = start("--exit-at-end", *secured.with_password(user))

    assert consumer.wait() == 0
    assert len(secured.read(*consumer.outputs, count=COUNT)) == COUNT
    assert committed(secured, prefix) == COUNT


def test_least_rights_are_enough_with_a_certificate(
    secured: SecuredKafka, start: Start, prefix: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over mutual TLS, with an encrypted key and exactly the least rights, all is published and committed."""
    secured.fill(prefix)
    secured.grant(f"User:CN={user}", least_rights(prefix))
    monkeypatch.setenv("CONSUMER_SSL_KEY_PASSWORD", "opens the key")

    certificate = secured.certificate(user, key_password="opens the key")
    consumer = start("--exit-at-end", *secured.with_certificate(certificate))

    assert consumer.wait() == 0
    assert len(secured.read(*consumer.outputs, count=COUNT)) == COUNT
    assert committed(secured, prefix) == COUNT


@pytest.mark.parametrize("number", EACH)
def test_missing_right_is_named(
    secured: SecuredKafka, start: Start, prefix: str, user: str, number: int
) -> None:
    """Without any one of the least rights it ends with code 8, naming that right and whose it is not."""
    secured.fill(prefix)
    rights = least_rights(prefix)
    missing = rights.pop(number)
    secured.grant(secured.add_user(user), rights)

    consumer = start(*secured.with_password(user))

    assert consumer.wait() == 8
    assert f"User:{user} has no right to {told(missing)}; grant it" in last_line(consumer)


@pytest.mark.parametrize("number", SOME)
def test_right_to_describe_is_not_enough(
    secured: SecuredKafka, start: Start, prefix: str, user: str, number: int
) -> None:
    """What may only be described is not taken for what may be used: code 8, and the right is named."""
    secured.fill(prefix)
    rights = least_rights(prefix)
    missing = rights[number]
    rights[number] = Right("DESCRIBE", missing.kind, missing.name, missing.prefixed)
    secured.grant(secured.add_user(user), rights)

    consumer = start(*secured.with_password(user))

    assert consumer.wait() == 8
    assert f"has no right to {told(missing)};" in last_line(consumer)


def test_all_topics_without_rights_are_named_together(
    secured: SecuredKafka, start: Start, prefix: str, user: str
) -> None:
    """Someone without any right reads at once of every topic; with a certificate, its file is named."""
    secured.fill(prefix)

    certificate = secured.certificate(user)
    consumer = start(*secured.with_certificate(certificate))

    assert consumer.wait() == 8
    named = (
        last_line(consumer).removeprefix(f"the owner of {certificate} has no right to ").split("; grant")[0]
    )
    rights = [right for right in least_rights(prefix) if right.kind == "TOPIC"]
    assert set(named.split(", ")) == {told(right) for right in rights}


@pytest.mark.parametrize("number", SOME)
def test_right_withdrawn_while_running(
    secured: SecuredKafka, start: Start, prefix: str, user: str, number: int
) -> None:
    """A right withdrawn in the middle ends it with code 8, and nothing uncommitted is visible."""
    secured.fill(prefix)
    rights = least_rights(prefix)
    principal = secured.add_user(user)
    secured.grant(principal, rights)
    consumer = start(*secured.with_password(user))
    consumer.wait_ready()
    consumer.wait_until(partial(has_published, consumer), "publishing")

    secured.withdraw(principal, rights[number])
    sent = COUNT + feed_until_it_ends(secured, consumer, prefix)

    assert consumer.wait() == 8
    assert f"{principal} has no right to {told(rights[number])};" in last_line(consumer)
    done = committed(secured, prefix)
    assert done < sent
    assert len(secured.read(*consumer.outputs, count=done)) == done
    secured.grant(principal, [rights[number]])
    assert start("--exit-at-end", *secured.with_password(user)).wait() == 0
    assert len(secured.read(*consumer.outputs, count=sent)) == sent


def test_topics_are_made_with_the_right_to(
    secured: SecuredKafka, start: Start, prefix: str, user: str
) -> None:
    """--create-topics needs Create on each topic besides, and names the first that it lacks."""
    principal = secured.add_user(user)
    secured.grant(principal, least_rights(prefix))
    create = [Right("CREATE", "TOPIC", f"{prefix}{name}") for name in TOPICS]
    secured.grant(principal, create[1:])
    arguments = ("--create-topics", "--exit-at-end", *secured.with_password(user))

    refused = start(*arguments)
    assert refused.wait() == 8
    assert f"has no right to CREATE topic {prefix}comments;" in last_line(refused)

    secured.grant(principal, create[:1])
    assert start(*arguments).wait() == 0
    assert {f"{prefix}{name}" for name in TOPICS} <= secured.topics()


def test_missing_topic_that_may_be_used_is_missing(
    secured: SecuredKafka, start: Start, prefix: str, user: str
) -> None:
    """A topic that may be used but does not exist ends it with code 5, as without an authorizer."""
    secured.create_topics(*(f"{prefix}{name}" for name in TOPICS if name != "low"))
    secured.grant(secured.add_user(user), least_rights(prefix))

    consumer = start(*secured.with_password(user))

    assert consumer.wait() == 5
    assert last_line(consumer) == f"no topic {prefix}low; create it, or pass --create-topics"


def has_published(consumer: Consumer) -> bool:
    """Whether all that was there at the start is published."""
    labelled = consumer.metric("urgency_router_messages_labelled_total")
    return labelled + consumer.metric("urgency_router_dead_letters_total") == COUNT


def feed_until_it_ends(secured: SecuredKafka, consumer: Consumer, prefix: str, seconds: float = 60.0) -> int:
    """Send comments that go to every topic until the consumer has ended; how many."""
    sent = 0
    deadline = time.monotonic() + seconds
    while consumer.process.poll() is None:
        assert time.monotonic() < deadline, f"not ended in {seconds} s: {consumer.log_lines()}"
        sent += secured.feed(prefix)
    return sent
