"""Flags -> lines on standard output, one for each routed message."""

import argparse
import logging
import select
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from consumer import access, clients, connection, handshake, terminal
from consumer.errors import TopicsMissing, UrgencyRouterError
from consumer.routing import parse_routes
from consumer.tail.reading import REQUEST_TIMEOUT_MS, RoutedTopics
from consumer.tail.routed import Routed, line, routed, wanted
from consumer.tail.settings import TailSettings, parse


def main(arguments: list[str]) -> int:
    """Show the routed messages; 0, the code to end with once all that was asked for is shown.

    Raises:
        UrgencyRouterError: it cannot start or go on; the message says what to do.
        BrokenPipeError: nobody reads the output any more.
        KeyboardInterrupt: Ctrl-C.
    """
    settings = parse(arguments)
    # What the clients would log, the errors below say in one sentence.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        handshake.check(settings)
        with (
            closing(clients.onlooker(settings)) as consumer,
            closing(_admin(settings)) as admin,
        ):
            _show(settings, RoutedTopics(consumer, admin, settings.output_prefix, settings.urgencies))
    except TopicAuthorizationFailedError as error:
        raise access.lacking(settings, [f"READ topic {name}" for name in access.topics_of(error)]) from error
    except KafkaError as error:
        raise UrgencyRouterError(
            f"Kafka at {settings.bootstrap_servers} refuses or does not answer ({error}); is it running, and"
            " is --bootstrap-servers right?"
        ) from error
    return 0


def parser() -> argparse.ArgumentParser:
    """The flags, for shells to complete."""
    return connection.parser(TailSettings)


def _admin(settings: TailSettings) -> KafkaAdminClient:
    return KafkaAdminClient(request_timeout_ms=REQUEST_TIMEOUT_MS, **clients.connection(settings))


def _show(settings: TailSettings, topics: RoutedTopics) -> None:
    topics.look()
    _check_topics(settings, topics)
    keep, show = _keeping(settings), _printing(settings)
    ends = topics.ends()
    if settings.last:
        for message in topics.newest(ends, settings.last, keep):
            show(message)
    if not settings.from_beginning:
        topics.start(ends)
    for records in topics.forever(_say) if settings.follow else topics.until(ends):
        for message in filter(None, map(keep, records)):
            show(message)
        sys.stdout.flush()
        _check_reader()


def _check_topics(settings: TailSettings, topics: RoutedTopics) -> None:
    names = [f"{settings.output_prefix}{urgency}" for urgency in settings.urgencies]
    if not topics.topics and topics.unreadable:
        raise access.lacking(settings, [f"READ topic {name}" for name in sorted(topics.unreadable)])
    if not topics.topics:
        raise TopicsMissing(
            f"no topic {', '.join(names)} that {access.principal(settings)} may see; correct --output-prefix"
            " or --routes, or start the service"
        )
    for name in sorted(topics.unreadable):
        _say(f"{access.principal(settings)} has no right to READ topic {name}: it is left out")
    for name in names:
        if name not in {*topics.topics, *topics.unreadable}:
            _say(f"no topic {name} yet, or none that may be seen")
    if settings.follow and sys.stderr.isatty():
        _say(f"following {', '.join(topics.topics)}; Ctrl-C ends")


def _keeping(settings: TailSettings) -> Callable[[Any], Routed | None]:
    """What makes a message of a record, if it is one and is wanted."""
    strange: set[str] = set()

    def keep(record: Any) -> Routed | None:
        message = routed(record, settings.text_field)
        if message is None and record.topic not in strange:
            strange.add(record.topic)
            where = f"offset {record.offset} of {record.topic}-{record.partition}"
            _say(f"{where} is no labelled message: it is left out, and so are others like it")
        return message if message and wanted(message, settings) else None

    return keep


def _printing(settings: TailSettings) -> Callable[[Routed], None]:
    """What prints a message, as a line or as JSON."""
    routes = parse_routes(settings.routes)
    colours = terminal.colours(sys.stdout)

    def show(message: Routed) -> None:
        if settings.as_json:
            shown = terminal.harmless_json(message.value)
        else:
            # The terminal may have another size by now.
            text = line(message, routes, terminal.columns(sys.stdout), colours=colours)
            shown = text.encode(sys.stdout.encoding, "replace")
        sys.stdout.buffer.write(shown + b"\n")

    return show


def _say(what: str) -> None:
    print(f"consumer tail: {terminal.harmless(what)}", file=sys.stderr)


def _check_reader() -> None:
    """Notice that a pipe's reader is gone, even if there is nothing to write to it.

    Raises:
        BrokenPipeError: it is.
    """
    output = select.poll()
    output.register(sys.stdout, 0)
    if any(event & select.POLLERR for _, event in output.poll(0)):
        raise BrokenPipeError
