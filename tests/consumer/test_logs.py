"""Log lines."""

import json
import subprocess
import sys

SCRIPT = """
import logging
from consumer import logs
logs.configure("info", "auto")
logging.getLogger("consumer").info("joined %s", "the group")
try:
    raise ValueError("wrong")
except ValueError:
    logging.getLogger("consumer").exception("failed")
logging.getLogger("kafka.producer").info("a message's own text")
"""


def test_one_json_object_a_line_off_a_terminal() -> None:
    """Off a terminal each line is one JSON object, a traceback too; the client's chatter is left out."""
    printed = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    ).stderr.splitlines()

    first, second = map(json.loads, printed)
    assert (first["level"], first["message"]) == ("info", "joined the group")
    assert "ValueError: wrong" in second["exception"]
