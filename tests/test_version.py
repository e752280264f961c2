"""Every program says which version it is."""

from collections.abc import Callable
from importlib.metadata import version

import pytest

from consumer.__main__ import main as consumer
from export.__main__ import main as export
from finetune.__main__ import main as finetune


@pytest.mark.parametrize("main", [consumer, finetune, export])
def test_version_is_printed_alone(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """--version prints the package's version, nothing else, and ends with 0."""
    try:
        code: object = main(["--version"])
    except SystemExit as ended:
        code = ended.code

    assert code == 0
    assert capsys.readouterr() == (f"{version('urgency-router')}\n", "")
