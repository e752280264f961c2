"""Flags -> all checks, one after the other -> lines and an exit code."""

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial

from kafka.errors import KafkaError

from consumer import connection, handshake, terminal
from consumer.doctor import brokers, certificate, clock, cluster, gpu, limits, model, port, rights, topics
from consumer.doctor.brokers import Address
from consumer.doctor.finding import Finding, Verdict, fail, skip
from consumer.doctor.kafka import Kafka, connected
from consumer.doctor.settings import DoctorSettings
from consumer.settings import checked

# What needs a broker that lets us in, by the name that it has where none does.
OF_KAFKA: dict[str, Callable[[Kafka], Iterator[Finding]]] = {
    "cluster": cluster.check,
    "limits of the brokers": limits.check,
    "topics": topics.check,
    "group": rights.check_group,
    "transactional id": rights.check_transactional_id,
    "clock": clock.check,
}
# What needs none.
OF_THIS_MACHINE: dict[str, Callable[[DoctorSettings], Iterator[Finding]]] = {
    "GPU": gpu.check,
    "bundle": model.check,
    "metrics port": port.check,
}
COLOURS: dict[Verdict, str] = {"OK": terminal.GREEN, "WARN": terminal.YELLOW, "FAIL": terminal.RED}
CHECK_COLUMNS = 28


def main(arguments: list[str]) -> int:
    """Check everything; 0 if nothing fails, else 1.

    Raises:
        SettingsError: a setting is missing or wrong, so that nothing can be checked.
        BrokenPipeError: nobody reads the output any more.
        KeyboardInterrupt: Ctrl-C.
    """
    settings = checked(connection.read(DoctorSettings, arguments))
    # What the clients would log, the findings say.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    colours = terminal.colours(sys.stdout)
    verdicts: Counter[Verdict] = Counter()
    for finding in findings(settings):
        verdicts[finding.verdict] += 1
        print(_json(finding) if settings.as_json else _line(finding, colours=colours), flush=True)
    if not settings.as_json:
        counts = (f"{verdicts[verdict]} {verdict}" for verdict in ("FAIL", "WARN", "OK", "SKIP"))
        print(", ".join(counts))
    return int(verdicts["FAIL"] > 0)


def parser() -> argparse.ArgumentParser:
    """The flags, for shells to complete."""
    return connection.parser(DoctorSettings)


def findings(settings: DoctorSettings) -> Iterator[Finding]:
    """Check one thing after the other; what fails, or cannot be checked, keeps nothing else from it."""
    yield from _guarded("our certificate", partial(certificate.check, settings))
    servers = [(f"broker {host}:{port}", (host, port)) for host, port in handshake.servers(settings)]
    visits = brokers.visit(servers, settings)
    yield from (visit.finding for visit in visits)
    if let_in := [visit.address for visit in visits if visit.let_in]:
        yield from _guarded("Kafka", partial(_of_kafka, settings, let_in))
    else:
        yield from (skip(name, "no broker lets us in") for name in OF_KAFKA)
    for name, check in OF_THIS_MACHINE.items():
        yield from _guarded(name, partial(check, settings))


def _of_kafka(settings: DoctorSettings, let_in: list[Address]) -> Iterator[Finding]:
    with connected(settings, let_in) as kafka:
        for name, check in OF_KAFKA.items():
            yield from _guarded(name, partial(check, kafka))


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except KafkaError as error:
        yield fail(
            name,
            f"Kafka refuses or does not answer: {error}",
            "run doctor again, and look at the brokers' logs",
        )
    except Exception as error:
        yield fail(name, f"a fault of doctor itself: {type(error).__name__}: {error}", "please report it")


def _line(finding: Finding, *, colours: bool) -> str:
    verdict = f"{finding.verdict:<4}"
    if colours and finding.verdict in COLOURS:
        verdict = terminal.painted(verdict, COLOURS[finding.verdict])
    said = f"{finding.found}; {finding.advice}" if finding.advice else finding.found
    return f"{verdict}  {terminal.harmless(finding.check):<{CHECK_COLUMNS}}  {terminal.harmless(said)}"


def _json(finding: Finding) -> str:
    # In ASCII, which holds nothing that a terminal may obey, and even what is no Unicode.
    return json.dumps(asdict(finding))
