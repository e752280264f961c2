"""Kafka's jars: downloaded once from Maven Central, checked against the lock file, kept in the user's cache.

``python -m deploy.local.jars`` resolves Kafka's dependencies anew and rewrites the lock file, after
`KAFKA` has been given another version.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import requests
from jgo.config import GlobalSettings
from jgo.env import LockedDependency, LockFile
from jgo.maven import Artifact, MavenContext

from deploy.local.errors import JarsUnavailable
from deploy.local.progress import counting

KAFKA_VERSION = "4.3.1"
KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# Kafka names log4j but not the piece that makes slf4j, which it logs through, write to log4j. The `!` keeps
# log4j's own opinion about the version of Kafka's client (it tests with an old one) out of the resolution.
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!"

LOCK_FILE = Path(__file__).with_name("kafka.lock.toml")
CACHE_VARIABLE = "URGENCY_ROUTER_CACHE"
DOWNLOAD_ATTEMPTS = 3
TIMEOUT_SECONDS = 60


def cache_directory() -> Path:
    """Where downloads are kept: ``$URGENCY_ROUTER_CACHE``, or ``urgency-router`` in the user's cache."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "urgency-router"


def kafka_jars(lock_file: Path = LOCK_FILE, repositories: dict[str, str] | None = None) -> list[Path]:
    """Kafka's jars in class path order, downloaded if the cache lacks them; every jar's SHA-256 is checked.

    `repositories` maps names to the addresses of Maven repositories; without it, those of jgo's own settings
    file (for a mirror), then Maven Central. Two processes may call this at once: one downloads, one waits.
    Raises `JarsUnavailable`.
    """
    lock = LockFile.load(lock_file)
    home = cache_directory() / f"kafka-{KAFKA_VERSION}"
    if not home.is_dir():
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with _only_one_process(home.with_suffix(".lock")):
                if not home.is_dir():
                    _fill(home, lock, repositories or GlobalSettings.load().repositories)
        except OSError as error:
            raise JarsUnavailable(
                f"Kafka's jars cannot be written to {home}: {error}; "
                f"free some space, or set {CACHE_VARIABLE} to a directory that can be written."
            ) from error
    if problems := lock.verify_checksums(home):
        raise JarsUnavailable(
            f"Kafka's jars in {home} are not those that {lock_file.name} names ({problems[0]}); "
            "delete that directory and start again to download them anew."
        )
    context = MavenContext(repo_cache=home)
    return [_path(_artifact(context, jar)) for jar in lock.dependencies]


def _artifact(context: MavenContext, jar: LockedDependency) -> Artifact:
    return context.create_dependency(f"{jar.groupId}:{jar.artifactId}:{jar.version}").artifact


def _path(artifact: Artifact) -> Path:
    path = artifact.cached_path
    assert path is not None, "a context with a repo_cache gives every artifact a path"
    return path


def _fill(home: Path, lock: LockFile, repositories: dict[str, str]) -> None:
    """Download every locked jar beside `home`, then give the whole its name: a half cache never has it."""
    partial = home.with_name(home.name + ".partial")
    context = MavenContext(repo_cache=partial, timeout=TIMEOUT_SECONDS)
    context.remote_repos = {**repositories, **context.remote_repos}
    with counting("Downloading Apache Kafka", "jars", len(lock.dependencies)) as advance:
        for jar in lock.dependencies:
            _download(context, jar)
            advance(1)
    partial.rename(home)


def _download(context: MavenContext, jar: LockedDependency) -> None:
    artifact = _artifact(context, jar)
    only_this = LockFile([jar])
    if not only_this.verify_checksums(context.repo_cache):
        return
    failure = ""
    for _ in range(DOWNLOAD_ATTEMPTS):
        # What an interrupted attempt left is not this jar.
        _path(artifact).unlink(missing_ok=True)
        try:
            artifact.resolve()
        except requests.ConnectionError:
            failure = "no connection"
        except requests.Timeout:
            failure = f"no answer in {TIMEOUT_SECONDS} s"
        except (requests.RequestException, RuntimeError):
            failure = "the repository does not serve it"
        else:
            if not (problems := only_this.verify_checksums(context.repo_cache)):
                return
            failure = problems[0]
    _path(artifact).unlink(missing_ok=True)
    repositories = ", ".join(context.remote_repos)
    raise JarsUnavailable(
        f"{artifact.filename} could not be downloaded from Maven ({repositories}): {failure}; "
        "check the network, or name a mirror under [repositories] in ~/.config/jgo.conf, and start again "
        "(what has arrived is kept)."
    )


@contextlib.contextmanager
def _only_one_process(path: Path) -> Iterator[None]:
    """Hold the lock on `path`; the kernel frees it when the process ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_lock(lock_file: Path = LOCK_FILE) -> int:
    """Resolve Kafka's dependencies and write each jar's version and SHA-256 to `lock_file`; their number."""
    with tempfile.TemporaryDirectory() as directory:
        context = MavenContext(repo_cache=Path(directory), timeout=TIMEOUT_SECONDS)
        wanted = [context.create_dependency(coordinate) for coordinate in (KAFKA, LOG_BINDING)]
        direct, transitive = context.resolver.resolve(wanted)
        LockFile.from_resolved_dependencies([*direct, *transitive], environment_name="kafka").save(lock_file)
    return len(direct) + len(transitive)


if __name__ == "__main__":
    print(f"{write_lock()} jars written to {LOCK_FILE}.")
