"""Log lines: for people on a terminal, one JSON object a line elsewhere; what messages say is left out.

What a caller gives as `extra={"fields": …}` becomes members of that object.
"""

import logging
import multiprocessing
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

LogFormat = Literal["auto", "text", "json"]


class _Formatter(logging.Formatter):
    """Tracebacks without the errors' own words, since those may quote a message."""

    texts = False

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return super().formatException(ei) if self.texts else _trace(ei[1])


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            # A text may hold half a surrogate pair, which JSON in UTF-8 cannot.
            "message": record.getMessage().encode(errors="backslashreplace").decode(),
        }
        line |= getattr(record, "fields", {})
        if _is_worker():
            line["process"] = record.processName or ""
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def configure(level: str, log_format: LogFormat, *, texts: bool = False) -> None:
    """Send every log line to standard error.

    Args:
        level: least level that is logged.
        log_format: how a line looks.
        texts: let tracebacks show what the errors say, which may quote a message.
    """
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    who = "%(processName)s " if _is_worker() else ""
    formatter = (
        _Formatter(f"%(asctime)s %(levelname)-7s {who}%(message)s", "%H:%M:%S")
        if as_text
        else _JsonFormatter()
    )
    formatter.texts = texts
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kafka-python logs whole messages and its settings, the password among them, at debug level, and every
    # reconnect at info.
    logging.getLogger("kafka").setLevel(logging.WARNING)
    # While Kafka is away it says ten times a second that no node is available; the loop says so itself.
    logging.getLogger("kafka.cluster").setLevel(logging.ERROR)
    # An answer that it cannot decode it logs byte by byte, at error level; what becomes of it, others log.
    logging.getLogger("kafka.protocol.parser").setLevel(logging.CRITICAL)
    # Each request with spans.
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    # OpenTelemetry repeats the headers that it cannot read.
    logging.getLogger("opentelemetry.trace").setLevel(logging.CRITICAL)


def _is_worker() -> bool:
    return multiprocessing.parent_process() is not None


def _trace(error: BaseException | None) -> str:
    """Where an error and those behind it came from, and their kinds."""
    if error is None:
        return ""
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    came_from = "".join(traceback.format_tb(error.__traceback__))
    before = f"{_trace(behind)}\n\nwhich led to\n\n" if behind else ""
    return f"{before}{came_from}{type(error).__name__} (--log-texts shows what it says)"
