"""Every comment exactly once and in order per key, whatever happens to consumers, brokers and connections."""

import logging
import os
import random
from pathlib import Path

import pytest

from tests.integration.faults import chaos, flood
from tests.integration.faults.faults import FAULTS

SEED = int(os.environ.get("FAULTS_SEED", random.SystemRandom().randrange(1_000_000)))


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Connections are lost all the time here, and kafka-python logs each."""
    caplog.set_level(logging.CRITICAL, "kafka")
    print(f"to see this again: FAULTS_SEED={SEED}")


@pytest.mark.timeout(900)
def test_each_fault_once_under_load(tiny_bundle: Path, tmp_path: Path) -> None:
    """20,000 comments come out once each, in order per key, while each fault strikes once."""
    result = chaos.run(tmp_path, tiny_bundle, comments=20_000, rounds=1, seed=SEED, say=print)

    assert result.complaints == []
    assert {one.fault for one in result.survived} == set(FAULTS)
    assert result.verdict.went_in >= 20_000


def test_flood_of_random_messages(tiny_bundle: Path, tmp_path: Path) -> None:
    """As many of 20,000 random messages come out as went in, each where it belongs and with its own bytes."""
    verdict, complaints = flood.run(tmp_path, tiny_bundle, messages=20_000, seed=SEED)

    assert complaints == []
    assert verdict.went_in == 20_000
