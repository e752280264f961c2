"""Log lines."""

import json
import subprocess
import sys

import pytest

LINES = """
import logging
from consumer import logs
logs.configure("info", "auto")
logging.getLogger("consumer").info("joined %s", "the group")
logging.getLogger("consumer").info("half a pair: %s", chr(0xD800))
logging.getLogger("kafka.producer").info("a message's own text")
"""

# What an error says may quote a message, wherever in the chain it stands; so may kafka-python.
FAILURES = """
import logging, sys
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.parser import KafkaProtocol
from consumer import logs
logs.configure("debug", sys.argv[1], texts=sys.argv[2] == "True")
try:
    try:
        {}["a customer's words"]
    except KeyError as first:
        raise ValueError("a customer's words") from first
except ValueError:
    logging.getLogger("consumer").exception("failed")
logging.getLogger("kafka.producer").debug("a customer's words")
protocol = KafkaProtocol()
protocol.send_request(MetadataRequest(version=7, topics=[]))
try:
    protocol.receive_bytes(b"\\0\\0\\0\\x17\\0\\0\\0\\1" b"\\x7fa customer's words")
except Exception as error:
    print(f"undecodable: {type(error).__name__}", file=sys.stderr)
"""


def lines(script: str, *arguments: str) -> list[str]:
    """What a script prints on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stderr.splitlines()


def test_one_json_object_a_line_off_a_terminal() -> None:
    """Off a terminal each line is one JSON object, whatever is in it; the client's chatter is left out."""
    logged = [json.loads(line) for line in lines(LINES)]

    assert [line["level"] for line in logged] == ["info", "info"]
    assert [line["message"] for line in logged] == ["joined the group", "half a pair: \\ud800"]


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("texts", [True, False])
def test_what_errors_say_is_left_out(log_format: str, texts: bool) -> None:
    """Tracebacks show where and what kind of error, those behind it too; what they say only if asked for."""
    printed = "\n".join(lines(FAILURES, log_format, str(texts)))

    assert "KeyError" in printed
    assert "ValueError" in printed
    assert printed.count('File \\"' if log_format == "json" else 'File "') == 2
    assert "undecodable: KafkaProtocolError" in printed
    assert ("a customer's words" in printed) == texts
    assert ("--log-texts shows what it says" in printed) == (not texts)
