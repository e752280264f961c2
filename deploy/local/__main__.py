"""``python -m deploy.local``: a broker, comments into it, a view of what comes out, and the demo."""

import argparse
import contextlib
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import NoReturn

from kafka.errors import KafkaError

from deploy.local.broker import Broker
from deploy.local.demo import demo
from deploy.local.errors import LocalError
from deploy.local.produce import Sender, paced, read_comments
from deploy.local.progress import counting
from deploy.local.watch import watch
from finetune.data import TEXT_COLUMN
from finetune.errors import DataError

INTERRUPTED = 130
BOOTSTRAP_SERVERS = "127.0.0.1:9092"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code: 0, 1 after a failure it has explained, 130 after Ctrl-C or SIGTERM."""
    options = _parser().parse_args(arguments)
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, _interrupt)
    # What the clients would log, the errors below say in one sentence.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        options.run(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (LocalError, DataError) as error:
        print(f"deploy.local: {error}", file=sys.stderr)
        return 1
    except KafkaError as error:
        servers = getattr(options, "bootstrap_servers", "the local broker")
        print(
            f"deploy.local: Kafka at {servers} refuses or does not answer ({type(error).__name__}: {error}): "
            "is it running, and are --bootstrap-servers and the topic right?",
            file=sys.stderr,
        )
        return 1
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _kafka(options: argparse.Namespace) -> None:
    with Broker(options.port, options.data_directory) as broker:
        print(
            f"Apache Kafka listens on {broker.bootstrap_servers}; Ctrl-C stops it. In another terminal, try\n"
            f"  python -m consumer --bundle .demo/bundle --bootstrap-servers {broker.bootstrap_servers}"
            " --create-topics\n"
            f"  python -m deploy.local watch --bootstrap-servers {broker.bootstrap_servers}\n"
            f"  python -m deploy.local produce reviews.tsv.gz --bootstrap-servers {broker.bootstrap_servers}",
            flush=True,
        )
        while True:
            broker.raise_if_dead()
            time.sleep(0.5)


def _produce(options: argparse.Namespace) -> None:
    skipped: Counter[str] = Counter()
    comments = islice(read_comments(options.file, skipped, text_column=options.text_column), options.limit)
    with (
        contextlib.closing(Sender(options.bootstrap_servers, options.topic)) as sender,
        counting("Producing", "comments", options.limit) as advance,
    ):
        sent = 0
        for batch in paced(comments, options.rate):
            sender.send(batch)
            advance(len(batch))
            sent += len(batch)
            if not batch:
                time.sleep(0.01)
        sender.flush()
    left_out = "".join(f"; {count:,} rows left out: {reason}" for reason, count in skipped.items())
    print(f"{sent:,} comments are in the topic {options.topic}{left_out}.")


def _watch(options: argparse.Namespace) -> None:
    watch(
        options.bootstrap_servers,
        input_topic=options.topic,
        prefix=options.output_prefix,
        group_id=options.group_id,
        from_beginning=options.from_beginning,
    )


def _demo(options: argparse.Namespace) -> None:
    demo(options.data, options.limit, options.directory)


def _rate(text: str) -> float:
    if (number := float(text)) <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, what: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=what, description=what, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )

    kafka = command("kafka", "Run a real Apache Kafka broker on 127.0.0.1 until Ctrl-C.")
    kafka.add_argument("--port", type=int, default=9092, help="port to listen on; 0 takes a free one")
    kafka.add_argument("--data-directory", type=Path, help="where the data stay; without it they do not")
    kafka.set_defaults(run=_kafka)

    produce = command("produce", "Send a file of reviews to the input topic, one JSON object a comment.")
    produce.add_argument("file", type=Path, help="TSV, CSV or JSON Lines (each plain or .gz), or Parquet")
    produce.add_argument("--topic", default="comments", help="where to send them")
    produce.add_argument("--text-column", default=TEXT_COLUMN, help="column that holds the comment")
    produce.add_argument("--limit", type=_count, help="most comments to send")
    produce.add_argument("--rate", type=_rate, help="comments a second; without it, as fast as can be")
    produce.set_defaults(run=_produce)

    follow = command("watch", "Follow the routed topics until Ctrl-C.")
    follow.add_argument("--topic", default="comments", help="input topic, for what waits")
    follow.add_argument("--output-prefix", default="comments.", help="start of the routed topics' names")
    follow.add_argument("--group-id", default="urgency-router", help="consumer group, for what waits")
    follow.add_argument("--from-beginning", action="store_true", help="show what is there already, too")
    follow.set_defaults(run=_watch)

    for reader in produce, follow:
        reader.add_argument("--bootstrap-servers", default=BOOTSTRAP_SERVERS, help="brokers, as HOST:PORT")

    show = command(
        "demo", "Broker, fine-tuning, export and consumer on this machine, with comments through it."
    )
    show.add_argument("--data", type=Path, help="a file of your own reviews, in place of the sample")
    show.add_argument("--limit", type=_count, help="most comments to send")
    show.add_argument("--directory", type=Path, default=Path(".demo"), help="where the model and logs stay")
    show.set_defaults(run=_demo)
    return parser


if __name__ == "__main__":
    sys.exit(main())
