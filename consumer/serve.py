"""The service: flags and environment -> one consumer, or several, until told to stop."""

import logging
import signal
import threading

from consumer import logs, service, settings, workers
from consumer.health import Health
from consumer.metrics import Metrics
from consumer.server import address, serving
from consumer.settings import Settings

log = logging.getLogger("consumer")


def main(arguments: list[str]) -> int:
    """Run the consumer and give the process's exit code.

    Raises:
        SettingsError: a setting is missing or wrong.
    """
    parsed = settings.parse(arguments)
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
