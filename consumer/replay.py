"""`python -m consumer replay`: a stretch of history is labelled again, into other topics, while others go on.

It has a group of its own, and so what holds of a consumer holds of it: exactly once, shared by several that
are started alike, and gone on with where it was interrupted.
"""

import argparse
import hashlib
import inspect
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from kafka.structs import OffsetAndMetadata, TopicPartition
from pydantic import AwareDatetime, Field, create_model
from pydantic_settings import SettingsConfigDict
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from consumer import connection, logs, service, settings
from consumer.connection import flag, setting, variable
from consumer.errors import SettingsError
from consumer.health import Health
from consumer.metrics import Metrics
from consumer.server import address, serving
from consumer.settings import Settings

log = logging.getLogger("consumer")

# What a variable says of these is meant for the consumer that goes on, in whose container this may run.
OWN = (
    *("group_id", "output_prefix", "transactional_id"),
    *("workers", "metrics_port", "bundle_check_seconds", "exit_at_end", "traces"),
)
# Where nobody watches a bar, a line in the log says how far it is.
LINE_EVERY_SECONDS = 10.0


class _Replay(Settings):
    """Label again what came in between two times, and publish it to other topics, exactly once.

    It ends when it is through; the same command goes on where it was interrupted, and started several times
    shares the work. Each flag is also a variable, --input-topic is CONSUMER_INPUT_TOPIC, but for those that
    would make it the running consumer: group, prefix, transactional id, workers, metrics port, traces.
    """

    model_config = SettingsConfigDict(cli_prog_name="python -m consumer replay")

    output_prefix: str = Field(
        description="before the urgency in the name of each topic written; not the one in use", min_length=1
    )
    group_id: str = setting("", "consumer group; empty makes one of the topic, the times and the prefix")
    bundle_check_seconds: float = setting(
        0.0, "0, since a replay has one model from its beginning to its end", unit="seconds", ge=0, le=0
    )
    workers: int = setting(1, "1: start the command several times", unit="processes", ge=1, le=1)
    metrics_port: int = setting(
        0, "port of /metrics, /livez and /readyz; 0 takes a free one, which the log names", ge=0, le=65535
    )


_Replay.__doc__ = inspect.cleandoc(_Replay.__doc__ or "")

# `from` cannot be written as an attribute.
_TIMES: dict[str, Any] = {
    "from": (AwareDatetime, Field(description="the first time, as 2026-11-01T00:00Z")),
    "to": (AwareDatetime, Field(description="the time to end before; not in the future")),
}
ReplaySettings = create_model("ReplaySettings", __base__=_Replay, __doc__=_Replay.__doc__, **_TIMES)


def main(arguments: list[str]) -> int:
    """Replay, and give the process's exit code.

    Raises:
        SettingsError: a setting is missing or wrong.
    """
    parsed, since, until = _parse(arguments)
    logs.configure(parsed.log_level, parsed.log_format, texts=parsed.log_texts)
    stop = service.stop_on_signals(signal.SIGTERM, signal.SIGINT)

    def work() -> int:
        metrics = Metrics()
        health = Health(metrics, parsed.stall_seconds)
        with (
            serving(parsed.metrics_host, parsed.metrics_port, metrics.registry, health) as port,
            _progress() as progress,
        ):
            log.info("/metrics, /livez and /readyz on %s", address(parsed.metrics_host, port))
            log.info("the group of this replay is %s", parsed.group_id)
            stretch = service.Stretch(since, until, progress.begin, progress.committed)
            return service.run(parsed, stop, metrics, health, advise=False, stretch=stretch)

    code = service.exit_code(parsed, work)
    if code == 0 and stop.is_set():
        log.info("interrupted: the same command goes on from here")
        return 128 + signal.SIGINT
    return code


def parser() -> argparse.ArgumentParser:
    """The flags, for shells to complete."""
    return connection.parser(ReplaySettings)


def _parse(arguments: list[str]) -> tuple[Settings, int, int]:
    """The settings, and the two times in milliseconds since 1970."""
    running = {name: _of_running(name) for name in ("group_id", "output_prefix")}
    for name in OWN:
        os.environ.pop(variable(name), None)
    parsed = settings.parse(arguments, ReplaySettings)
    for name, value in running.items():
        if getattr(parsed, name) == value:
            raise SettingsError(f"{flag(name)}: {value!r} is the running consumer's; choose another")
    since, until = (_milliseconds(getattr(parsed, name)) for name in ("from", "to"))
    if until > _milliseconds(datetime.now(UTC)):
        raise SettingsError("--to: that time is not over yet; the consumer that is running labels what comes")
    if since >= until:
        raise SettingsError("--from must be before --to")
    if not parsed.group_id:
        replayed = f"{parsed.input_topic}|{since}|{until}|{parsed.output_prefix}"
        name = f"urgency-router-replay-{hashlib.sha256(replayed.encode()).hexdigest()[:12]}"
        parsed = parsed.model_copy(update={"group_id": name})
    return parsed, since, until


def _of_running(name: str) -> Any:
    return os.environ.get(variable(name), Settings.model_fields[name].default)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


class _Progress:
    """How far a replay is, in offsets: as a bar on a terminal, else as lines in the log."""

    def __init__(self, bar: "tqdm[None]") -> None:
        self._bar = bar
        self._next: dict[TopicPartition, int] = {}
        self._line_at = time.monotonic() + LINE_EVERY_SECONDS

    def begin(self, ranges: Mapping[TopicPartition, range], committed: Mapping[TopicPartition, int]) -> None:
        """Take what there is to do, and what was done before."""
        self._next = {partition: committed.get(partition, r.start) for partition, r in ranges.items()}
        done = sum(min(self._next[partition], r.stop) - r.start for partition, r in ranges.items())
        self._bar.reset(sum(map(len, ranges.values())))
        self._bar.update(done)
        log.info("%s messages to label again, %s of them done before", f"{self._bar.total:,}", f"{done:,}")

    def committed(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Take what a transaction has committed."""
        for partition, at in offsets.items():
            self._bar.update(at.offset - self._next[partition])
            self._next[partition] = at.offset
        if self._bar.disable and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_EVERY_SECONDS
            log.info("%s of %s messages", f"{self._bar.n:,}", f"{self._bar.total:,}")


@contextmanager
def _progress() -> Iterator[_Progress]:
    with (
        logging_redirect_tqdm(),
        tqdm(unit=" messages", unit_scale=True, disable=None, dynamic_ncols=True) as bar,
    ):
        yield _Progress(bar)
