"""Random messages, sound and broken, as fast as they go: as many out as in."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import orjson
from kafka.errors import KafkaError

from deploy.local.broker import Broker
from deploy.local.progress import counting
from tests.conftest import WORDS
from tests.integration.conftest import Kafka
from tests.integration.faults import patience
from tests.integration.faults.comments import PARTITIONS, Comment, number_header
from tests.integration.faults.ledger import Ledger, Verdict
from tests.integration.faults.patience import NotSurvived
from tests.integration.faults.replica import Replica
from tests.integration.faults.topics import FLAGS, INPUT, OUTPUT_PARTITIONS, OUTPUTS, all_committed
from tests.integration.faults.traffic import Producer, Reader

REPLICAS = 2
LOOK_EVERY_SECONDS = 1.0
HUGE_CHARACTERS = 100_000

# Byte strings of any length and content, the empty one among them; few enough to meet again.
KEYS = [random.Random(number).randbytes(number % 12) for number in range(2000)]
HEADER_NAMES = ("source", "trace-id", "été", "urgency", "error.reason", "")
ALPHABETS = (
    "abc äöüß?!.,;'\"\\/<>{}[]",
    "אבגדהוזחט שלום",  # right to left
    "e\u0301a\u0308\u0327o\u0302 ",  # combining marks
    "🔥😡👍🏽👨\u200d👩\u200d👧",
    "\x00\x01\x1b\t\n\r\u2028\ufeff",
)
OTHER_DOCUMENTS: Sequence[object] = (1, -0.5, 1e300, "text", [], ["text"], {}, None, True, {"Text": "late"})
NO_TEXTS = (None, 7, "", " \t\n", ["late again"], {"text": "late again"})


def random_comment(seed: int, number: int) -> Comment:
    """Message `number` of the flood that `seed` stands for."""
    draw = random.Random(seed << 40 | number)
    make, bad = draw.choices(KINDS, WEIGHTS)[0]
    value = make(draw)
    # kafka-python sends no record that has neither key nor value.
    key = draw.choice(KEYS) if value is None or draw.random() < 0.8 else None
    headers = [
        (draw.choice(HEADER_NAMES), draw.randbytes(draw.randrange(9))) for _ in range(draw.randrange(3))
    ]
    return Comment(key, value, [*headers, number_header(number)], bad)


def _document(draw: random.Random) -> bytes:
    words = draw.choices(WORDS, k=draw.choice((1, 2, 5, 20)))
    strange = draw.choices(draw.choice(ALPHABETS), k=draw.randrange(8))
    return orjson.dumps({"id": draw.random(), "text": " ".join(words) + "".join(strange), "more": strange})


def _huge(draw: random.Random) -> bytes:
    text = " ".join(draw.choices(WORDS, k=100))
    return orjson.dumps({"text": text * (draw.randrange(HUGE_CHARACTERS) // len(text) + 1)})


def _cut(draw: random.Random) -> bytes:
    document = _document(draw)
    return document[: draw.randrange(len(document))]


def _noise(draw: random.Random) -> bytes:
    return draw.randbytes(draw.randrange(300))


def _other_document(draw: random.Random) -> bytes:
    return orjson.dumps(draw.choice(OTHER_DOCUMENTS))


def _no_text(draw: random.Random) -> bytes:
    return orjson.dumps({"id": draw.random(), "text": draw.choice(NO_TEXTS)})


def _tombstone(_: random.Random) -> None:
    return None


# How a value is made, whether it belongs to the dead letters, and how many of 10,000 are like it.
_KINDS: tuple[tuple[Callable[[random.Random], bytes | None], bool, int], ...] = (
    (_document, False, 5995),
    (_huge, False, 5),
    (_cut, True, 1000),
    (_noise, True, 1000),
    (_other_document, True, 700),
    (_no_text, True, 700),
    (_tombstone, True, 600),
)
KINDS = [(make, bad) for make, bad, _ in _KINDS]
WEIGHTS = [weight for _, _, weight in _KINDS]


def run(directory: Path, bundle: Path, *, messages: int, seed: int) -> tuple[Verdict, list[str]]:
    """Send the messages through two consumers on one broker; give what came out, and every complaint.

    Raises:
        NotSurvived: nothing came out any more, or a consumer ended.
    """
    comment = partial(random_comment, seed)
    ledger = Ledger(comment)
    directory = directory / "flood"
    directory.mkdir()
    with ExitStack() as running:
        broker = running.enter_context(Broker(data_directory=directory / "broker"))
        servers = broker.bootstrap_servers
        kafka = Kafka(servers)
        kafka.create_topics(INPUT, partitions=PARTITIONS)
        kafka.create_topics(*OUTPUTS, partitions=OUTPUT_PARTITIONS)
        replicas: list[Replica] = []
        for number in range(REPLICAS):
            log = directory / f"replica-{number}.log"
            replicas.append(Replica(log.stem, bundle, servers, FLAGS, log, proxied=False))
            running.callback(replicas[-1].kill)
        reader = running.enter_context(Reader(servers, ledger))
        producer = running.enter_context(Producer(servers, comment, 0, ledger))
        producer.finish(messages)

        def watch() -> None:
            broker.raise_if_dead()
            producer.raise_if_failed()
            reader.raise_if_failed()
            for replica in replicas:
                replica.raise_if_ended()

        _wait_for_all(servers, producer, ledger, messages, watch)
        reader.finish()
        patience.wait_until(lambda: not reader.is_alive(), "the reader is at the end", watch)
        codes = [replica.stop() for replica in replicas]
        complaints = [ledger.verdict().complaint()]
        complaints += [error for replica in replicas for error in replica.errors()]
        complaints += [f"a consumer ended with code {code}" for code in codes if code]
    return ledger.verdict(), [complaint for complaint in complaints if complaint]


def _wait_for_all(
    servers: str, producer: Producer, ledger: Ledger, messages: int, watch: Callable[[], None]
) -> None:
    """Return once everything is sent and committed, however long that takes as long as it goes on."""
    shown = 0
    moved = time.monotonic()
    with counting("random messages", "came out", messages) as advance:
        while producer.is_alive() or not _all_committed(servers):
            patience.end_if_told()
            watch()
            time.sleep(LOOK_EVERY_SECONDS)
            if new := ledger.came_out - shown:
                advance(new)
                shown += new
                moved = time.monotonic()
            elif time.monotonic() > moved + patience.SECONDS:
                raise NotSurvived(
                    f"after {shown:,} of {messages:,} random messages nothing came out any more"
                )


def _all_committed(servers: str) -> bool:
    with suppress(KafkaError):
        return all_committed(servers)
    return False
