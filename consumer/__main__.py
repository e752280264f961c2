"""Flags and environment -> run."""

import importlib
import logging
import signal
import sys
import threading

from consumer import logs, service, settings, workers
from consumer.errors import SettingsError
from consumer.health import Health
from consumer.metrics import Metrics
from consumer.server import address, serving
from consumer.settings import Settings

log = logging.getLogger("consumer")

# What can be asked for instead of the service, and the module that does it.
COMMANDS = {"replay": "replay"}


def main(arguments: list[str]) -> int:
    """Run the consumer, or a command, and give the process's exit code."""
    if arguments and (command := COMMANDS.get(arguments[0])):
        return int(importlib.import_module(f"consumer.{command}").main(arguments[1:]))
    try:
        parsed = settings.parse(arguments)
    except SettingsError as error:
        print(f"consumer: {error}", file=sys.stderr)
        return error.exit_code
    logs.configure(parsed.log_level, parsed.log_format, texts=parsed.log_texts)
    stop = service.stop_on_signals(signal.SIGTERM, signal.SIGINT)
    work = workers.supervise if parsed.workers > 1 else run
    code = service.exit_code(parsed, lambda: work(parsed, stop))
    if not code:
        log.info("stopped")
    return code


def run(settings: Settings, stop: threading.Event) -> int:
    """Run one consumer in this process until `stop` is set.

    Raises:
        UrgencyRouterError: it cannot start; the message says what to do.
        KafkaError: Kafka refuses for good, such as for want of a right.
    """
    metrics = Metrics()
    health = Health(metrics, settings.stall_seconds)
    with serving(settings.metrics_host, settings.metrics_port, metrics.registry, health) as port:
        log.info("/metrics, /livez and /readyz on %s", address(settings.metrics_host, port))
        service.run(settings, stop, metrics, health)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
