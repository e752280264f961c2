"""Keep what Java makes of Kafka's classes: the brokers of the tests then start in half the time.

    python -m tests.java_cache FILE

Java writes the file as a broker ends (JEP 514), and goes without it where it fits no longer.
"""

import os
import sys
import tempfile
from pathlib import Path

import psutil

from deploy.local.broker import Broker
from deploy.local.errors import LocalError
from tests.integration.conftest import Kafka, Message

WRITING_SECONDS = 120.0  # 9 s on two idle cores


def main(file: Path) -> None:
    """Let one broker run for it; raises LocalError, and SystemExit if Java writes nothing."""
    print("Java keeps what it makes of Kafka's classes: once, some 20 seconds", flush=True)
    file.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        broker = Broker(data_directory=Path(directory))
        with broker:
            Kafka(broker.bootstrap_servers).create_topics("comments")
        # From now on, since formatting its directory takes another Java, which would write one too.
        os.environ["JDK_JAVA_OPTIONS"] = f'"-XX:AOTCacheOutput={file.absolute()}"'
        with broker:
            Kafka(broker.bootstrap_servers).produce("comments", [Message(b"late")])
            Kafka(broker.bootstrap_servers).read("comments", count=1)
            java = psutil.Process(broker.pid)
            java.terminate()
            java.wait(WRITING_SECONDS)
    if not file.exists():
        raise SystemExit(f"Java has written no {file}: the tests do without, and take longer.")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except LocalError as error:
        raise SystemExit(str(error)) from error
