"""Comments a second through Kafka, exactly once, with one and with more workers on the device."""

from collections.abc import Callable, Sequence
from pathlib import Path

from consumer.bundle import Bundle, Device
from deploy.local.broker import Broker
from tests.bench import streams
from tests.bench.streams import Arrivals
from tests.gpu.record import Figure, Result

WORKERS = (1, 2)
WARM_UP_SECONDS = 5.0
# More than workers publish in a second through kafka-python: the topic must not run dry.
MOST_A_SECOND = 15_000
TOPIC = "gpu.comments"


def run(
    of: Bundle,
    device: Device,
    comments: Sequence[str],
    directory: Path,
    *,
    seconds: float,
    say: Callable[[str], None],
    workers: Sequence[int] = WORKERS,
    most_a_second: int = MOST_A_SECOND,
    warm_up: float = WARM_UP_SECONDS,
    flags: Sequence[str] = (),
) -> Result:
    """Let that many workers label the same topic, one number after the other.

    Raises:
        RuntimeError: a consumer ended by itself, or labelled all there was before the time was over.
    """
    rows: list[dict[str, Figure]] = []
    with Broker() as broker:
        servers = broker.bootstrap_servers
        count = int((seconds + warm_up) * most_a_second)
        say(f"putting {count:,} comments into a topic")
        streams.preload(servers, TOPIC, comments, count)
        for number in workers:
            say(f"labelling them, --workers {number}")
            prefix = f"gpu.{number}-workers."
            asked = ["--device", device, "--workers", str(number), *flags]
            command = streams.consumer_command(servers, of.directory, TOPIC, prefix, *asked)
            topics = streams.output_topics(prefix)
            streams.create(servers, *topics)
            log = directory / f"{prefix}log"
            with streams.reading(servers, topics) as reader, streams.running(command, log) as process:
                seen = streams.watch(reader, process, log, seconds=seconds + warm_up)
            rows.append({"workers": number, "comments/s": rate(seen, count, warm_up)})
    first = float(rows[0]["comments/s"])
    return Result(rows=[{**row, "x": float(row["comments/s"]) / first} for row in rows])


def rate(seen: Arrivals, count: int, warm_up: float) -> float:
    """Comments a second after the warm-up.

    Raises:
        RuntimeError: all that there were came, so that for a part of the time there were none.
    """
    if len(seen.numbers) >= count:
        raise RuntimeError(f"all {count:,} comments were labelled before the time was over: put more in")
    return seen.after(warm_up).rate
