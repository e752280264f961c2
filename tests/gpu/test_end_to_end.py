"""Through a real Kafka, on the CPU."""

from pathlib import Path

import numpy as np
import pytest

from consumer import bundle
from tests.bench.streams import Arrivals
from tests.conftest import comments
from tests.gpu import end_to_end


def test_worker_is_measured(tiny_bundle: Path, tmp_path: Path) -> None:
    """A consumer on the device asked for labels a topic, and its rate is seen."""
    said: list[str] = []
    result = end_to_end.run(
        bundle.read(tiny_bundle),
        "cpu",
        comments(50),
        tmp_path,
        seconds=3.0,
        warm_up=0.5,
        workers=(1,),
        most_a_second=5_000,
        # So small that many come in the time, however busy the machine is.
        flags=["--max-batch-messages", "50"],
        say=said.append,
    )

    [row] = result.rows
    assert row["workers"] == 1
    assert float(row["comments/s"]) > 0
    assert "--device cpu asks for it" in (tmp_path / "gpu.1-workers.log").read_text()
    assert said == ["putting 17,500 comments into a topic", "labelling them, --workers 1"]


def test_topic_that_runs_dry_measures_nothing() -> None:
    """If all comments came, the rate would be that of waiting."""
    seen = Arrivals(np.arange(10.0), np.arange(10))

    with pytest.raises(RuntimeError, match="all 10 comments were labelled before the time was over"):
        end_to_end.rate(seen, count=10, warm_up=0.0)
    assert end_to_end.rate(seen, count=11, warm_up=0.0) == pytest.approx(1.0)
