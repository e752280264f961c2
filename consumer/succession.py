"""Another bundle at the bundle's path: proved beside the one in use, which it then follows.

The path is a directory that is replaced, or a symlink that is set anew. A bundle that does not prove itself
is refused, and the one in use goes on.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from consumer import bundle
from consumer.bundle import Bundle
from consumer.errors import UrgencyRouterError, one_line
from consumer.labeller import Labeller
from consumer.metrics import Metrics

log = logging.getLogger(__name__)

# What changes when a file is written or replaced: its name, inode, size and time of writing.
Look = tuple[str, tuple[tuple[str, int, int, int], ...]]


class Succession(AbstractContextManager["Succession"]):
    """Watches the path on a thread of its own while it is entered."""

    def __init__(
        self,
        directory: Path,
        every: float,
        in_use: str,
        prove: Callable[[Bundle], Labeller],
        metrics: Metrics,
    ) -> None:
        """Watch for another version than the one in use.

        Args:
            directory: the bundle's path.
            every: how often it is looked at, seconds; 0 never.
            in_use: the version of the bundle that labels now.
            prove: makes a labeller of a verified bundle, or raises what is wrong with it.
            metrics: its `bundle_swaps` counts.
        """
        self._directory = directory
        self._every = every
        self._newest = in_use
        self._prove = prove
        self._metrics = metrics
        self._proved: deque[Labeller] = deque(maxlen=1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="succession", daemon=True)

    def __enter__(self) -> "Succession":
        if self._every > 0:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def take(self) -> Labeller | None:
        """Give the labeller that is to follow, once; call it between two batches."""
        if not self._proved:
            return None
        labeller = self._proved.pop()
        labeller.announce(self._metrics)
        self._metrics.bundle_swaps.labels("taken").inc()
        log.info("version %s labels from here on", labeller.model.version)
        return labeller

    def _watch(self) -> None:
        before = judged = None
        while not self._stop.wait(self._every):
            seen = look(self._directory)
            # One that changes between two looks is still being written.
            if seen and seen == before and seen != judged:
                judged = seen if self._judge(seen) else None
            before = seen

    def _judge(self, seen: Look) -> bool:
        """Prove the bundle there if its version is new; False if it was replaced meanwhile."""
        try:
            # Resolved, so that a link set anew does not mix two bundles.
            found = bundle.read(self._directory.resolve())
            if found.manifest.version == self._newest:
                return True
            log.info("version %s is there: proving it", found.manifest.version)
            labeller = self._prove(found)
        except Exception as error:  # whatever is wrong with it must not touch the one in use
            if look(self._directory) != seen:
                return False
            self._metrics.bundle_swaps.labels("refused").inc()
            what = (
                str(error)
                if isinstance(error, UrgencyRouterError)
                else f"{type(error).__name__}: {one_line(error)}"
            )
            log.error("the new bundle is refused, version %s goes on: %s", self._newest, what)
            return True
        if look(self._directory) != seen:
            return False
        self._newest = found.manifest.version
        self._proved.append(labeller)
        return True


def look(directory: Path) -> Look | None:
    """Give what tells the files at a path from others put in their place; None where there are none."""
    try:
        real = directory.resolve(strict=True)
        files = [(path.name, path.stat()) for path in sorted(real.iterdir())]
    except OSError:  # it is being replaced
        return None
    return str(real), tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in files)
