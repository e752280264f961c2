"""Rights that no request tells of: Kafka is asked for something that it refuses for another reason too.

Both requests are looked at for the right first, and then refused whatever it is: neither changes anything.
"""

import uuid
from collections.abc import Iterator
from typing import Any

from kafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TransactionalIdAuthorizationFailedError,
    for_code,
)
from kafka.protocol.consumer import HeartbeatRequest
from kafka.protocol.producer import InitProducerIdRequest

from consumer import handshake
from consumer.access import principal
from consumer.doctor.finding import Finding, counted, fail, ok, together, warn
from consumer.doctor.kafka import Kafka
from consumer.settings import Settings


def check_group(kafka: Kafka) -> Iterator[Finding]:
    """May we be a member of the group? And are there more members than partitions?"""
    group = kafka.settings.group_id
    name = f"group {group}"
    stranger = HeartbeatRequest(
        version=3, group_id=group, generation_id=-1, member_id="doctor", group_instance_id=None
    )
    if _answer(kafka, stranger) is GroupAuthorizationFailedError:
        lacks = f"{principal(kafka.settings)} has no right to READ it"
        yield fail(name, lacks, kafka.grant("Read", f"--group {group}"))
        return
    yield together(name, [ok(name, "READ is granted"), _members(name, kafka)])


def check_transactional_id(kafka: Kafka) -> Iterator[Finding]:
    """May we have transactions under the names that the service takes?"""
    settings = kafka.settings
    fixed = settings.transactional_id
    name = "transactional id"
    # No transaction may last 0 ms, so none is begun, and the replica that has this name keeps it.
    impossible = InitProducerIdRequest(
        version=1, transactional_id=_transactional_id(settings), transaction_timeout_ms=0
    )
    if _answer(kafka, impossible) is TransactionalIdAuthorizationFailedError:
        lacks = f"{principal(settings)} has no right to WRITE {fixed or f'{settings.group_id}-…'}"
        resource = f"--transactional-id {fixed or f'{settings.group_id}-'}"
        prefixed = "" if fixed and settings.workers == 1 else " --resource-pattern-type prefixed"
        yield fail(name, lacks, kafka.grant("Write", resource + prefixed))
    else:
        yield ok(name, f"WRITE is granted on {fixed or f'{settings.group_id}-…'}")


def _transactional_id(settings: Settings) -> str:
    if not settings.transactional_id:
        return f"{settings.group_id}-{uuid.uuid4()}"
    return settings.transactional_id + ("-0" if settings.workers > 1 else "")


def _members(name: str, kafka: Kafka) -> Finding:
    topic, group = kafka.settings.input_topic, kafka.settings.group_id
    try:
        members = len(kafka.admin.describe_groups([group])[group]["members"])
    except KafkaError as error:  # a new cluster has no place to keep groups yet
        return ok(name, f"who is in it is not known yet ({type(error).__name__})")
    partitions = sum(len(described["partitions"]) for described in kafka.admin.describe_topics([topic]))
    if not members:
        return ok(name, "nobody is in it now")
    found = counted(members, "member")
    if partitions and members > partitions:
        advice = f"{members - partitions} of them have nothing to do: add partitions, or stop some"
        return warn(name, f"{found} for {counted(partitions, 'partition')} of {topic}", advice)
    return ok(name, found)


def _answer(kafka: Kafka, request: Any) -> type[KafkaError]:
    host, port = kafka.let_in[0]
    with handshake.conversation(host, port, kafka.settings) as (ask, _):
        error: type[KafkaError] = for_code(ask(request).error_code)
        return error
