"""The consumer with a stopwatch in each stage: ``python -m tests.bench.stages RESULT`` and its own flags.

Writes, when it ends, the microseconds of CPU that a comment took in each stage to RESULT, as JSON.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consumer import batching, classifier, messages
from consumer.classifier import Classifier
from consumer.labeller import Labeller
from consumer.metrics import Metrics
from consumer.offsets import Offsets
from consumer.pipeline import Pipeline
from consumer.serve import main
from consumer.tokenising import TextTokenizer
from consumer.transactions import TransactionalProducer

# Where it happens, under which name. None of them calls another.
STAGES = {
    "poll": [(Pipeline, "_poll")],
    "decode": [(messages, "comment_of")],
    "tokenise": [(TextTokenizer, "tokens")],
    "plan": [(batching, "micro_batches"), (classifier, "_padded")],
    "compute": [(Classifier, "_run")],
    "encode": [(messages, "labelled")],
    "produce": [(TransactionalProducer, "_send")],
    "commit": [(TransactionalProducer, "_await"), (Offsets, "confirm")],
    "count": [(Metrics, "committed")],
}


def run(result: Path, arguments: list[str]) -> int:
    """Run the consumer and write what each stage took."""
    used: Counter[str] = Counter()
    comments = 0
    started = 0.0

    def timed(stage: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            start = time.thread_time()
            try:
                return real(*given, **named)
            finally:
                used[stage] += time.thread_time() - start

        return call

    for stage, places in STAGES.items():
        for owner, name in places:
            setattr(owner, name, timed(stage, getattr(owner, name)))

    label = Labeller.label

    def counted(self: Labeller, records: Any) -> Any:
        nonlocal comments, started
        if not comments:
            used.clear()
            started = time.process_time()
        comments += len(records)
        return label(self, records)

    Labeller.label = counted  # type: ignore[method-assign]
    code = main(arguments)
    used["all else: threads of the Kafka client and of the tokenizer, the loop"] = (
        time.process_time() - started - sum(used.values())
    )
    costs = {stage: seconds / comments * 1e6 for stage, seconds in used.items()}
    result.write_text(json.dumps(costs))
    return code


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
