"""Kafka's jars are the locked ones, or there are none."""

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from jgo.env import LockedDependency, LockFile

from deploy.local import jars
from deploy.local.errors import JarsUnavailable

JARS = {"one-1.0.jar": b"first jar", "two-1.0.jar": b"second jar"}


class Repository:
    """A Maven repository on this machine: what it serves, and how often each file was asked for."""

    def __init__(self, address: str) -> None:
        self.address = {"here": address}
        self.files = dict(JARS)
        self.requests: Counter[str] = Counter()


@pytest.fixture
def repository() -> Iterator[Repository]:
    """A repository that serves `JARS` until a test changes that."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            served.requests[name] += 1
            content = served.files.get(name)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing: pytest shows what matters."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Repository(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield served
        server.shutdown()


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    """A lock file that names `JARS`."""
    path = tmp_path / "test.lock.toml"
    locked = [
        LockedDependency(
            "org.example", name.partition("-")[0], "1.0", sha256=hashlib.sha256(content).hexdigest()
        )
        for name, content in JARS.items()
    ]
    LockFile(locked).save(path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    directory = tmp_path / "cache"
    monkeypatch.setenv(jars.CACHE_VARIABLE, str(directory))
    return directory


def home(cache: Path) -> Path:
    """Where a whole set of jars lies."""
    return cache / f"kafka-{jars.KAFKA_VERSION}"


def test_every_jar_is_pinned() -> None:
    """The committed lock names Kafka, its log binding and their dependencies, each with a SHA-256."""
    lock = LockFile.load(jars.LOCK_FILE)

    assert {"kafka_2.13", "log4j-slf4j-impl", "kafka-clients"} <= {
        jar.artifactId for jar in lock.dependencies
    }
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256 or "") for jar in lock.dependencies)
    assert {jars.KAFKA_VERSION} == {
        jar.version for jar in lock.dependencies if jar.groupId == "org.apache.kafka"
    }


def test_lock_names_no_address() -> None:
    """The committed lock says what to fetch, never from where."""
    assert "://" not in jars.LOCK_FILE.read_text(encoding="utf-8")


def test_cache_is_filled_once(repository: Repository, lock_file: Path) -> None:
    """The jars come in the lock's order, and the second call downloads nothing."""
    first = jars.kafka_jars(lock_file, repository.address)
    asked = repository.requests.total()
    second = jars.kafka_jars(lock_file, repository.address)

    assert list(JARS.values()) == [jar.read_bytes() for jar in first]
    assert first == second
    assert asked == repository.requests.total()


def test_two_at_once_download_once(repository: Repository, lock_file: Path) -> None:
    """Of two that find the cache empty at the same time, one downloads and both get the jars."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: jars.kafka_jars(lock_file, repository.address), range(2)))

    assert results[0] == results[1]
    assert dict.fromkeys(JARS, 1) == {name: repository.requests[name] for name in JARS}


def test_tampered_download_is_refused(repository: Repository, lock_file: Path, cache: Path) -> None:
    """A repository that serves other bytes than the locked ones is refused, and leaves no cache."""
    repository.files["two-1.0.jar"] = b"something else"
    with pytest.raises(JarsUnavailable, match=r"two-1\.0\.jar .*checksum mismatch"):
        jars.kafka_jars(lock_file, repository.address)

    assert not home(cache).exists()


def test_tampered_cache_is_refused(repository: Repository, lock_file: Path) -> None:
    """A jar that changed after it was downloaded is refused, and the error says what to delete."""
    tampered = jars.kafka_jars(lock_file, repository.address)[1]
    tampered.write_bytes(b"something else")
    with pytest.raises(JarsUnavailable, match=r"checksum mismatch.*delete that directory"):
        jars.kafka_jars(lock_file, repository.address)


def test_interrupted_download_goes_on(
    repository: Repository, lock_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in mid-download leaves no cache; the next call fetches what is missing or half there."""
    download = jars.Artifact.resolve

    def interrupted(artifact: jars.Artifact) -> Path:
        path = download(artifact)
        if artifact.artifactId == "two":
            path.write_bytes(path.read_bytes()[:3])
            raise KeyboardInterrupt
        return path

    with monkeypatch.context() as patch:
        patch.setattr(jars.Artifact, "resolve", interrupted)
        with pytest.raises(KeyboardInterrupt):
            jars.kafka_jars(lock_file, repository.address)
    assert not home(cache).exists()

    assert list(JARS.values()) == [jar.read_bytes() for jar in jars.kafka_jars(lock_file, repository.address)]
    assert repository.requests["one-1.0.jar"] == 1


def test_no_network_is_one_sentence(lock_file: Path) -> None:
    """Without a connection, the error names the jar, the reason and what to do."""
    with pytest.raises(JarsUnavailable, match=r"one-1\.0\.jar .*no connection; check the network"):
        jars.kafka_jars(lock_file, {"nowhere": "http://127.0.0.1:1"})


def test_unwritable_cache_is_one_sentence(
    lock_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the cache's place is a file, the error says which variable moves the cache."""
    cache.write_text("in the way")
    with pytest.raises(JarsUnavailable, match=jars.CACHE_VARIABLE):
        jars.kafka_jars(lock_file)
