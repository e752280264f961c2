"""Whether int8 is worth it on this machine: a measurement at the start, and a line in the log."""

import logging
import time

from consumer.bundle import Bundle
from consumer.classifier import Classifier
from consumer.errors import UrgencyRouterError

log = logging.getLogger(__name__)

# From how many times the speed on int8 is worth the labels it changes.
WORTH_IT = 1.3
# Golden comments measured on, a hundred tokens or so: a batch large enough to tell, and over in a few
# hundredths of a second.
COMMENTS = 4
# Padded tokens that these stay within, and enough to warm int8 up with.
TOKENS = 256
# The fastest of so many is the one that nothing else on the machine held up.
ROUNDS = 3


def advise(bundle: Bundle, classifier: Classifier, threads: int) -> None:
    """Say in the log that int8 is faster here, where the bundle has it, fp32 is in use, and it is.

    Args:
        bundle: a verified bundle.
        classifier: the model in use; it is asked for a few golden comments, and stays as it is.
        threads: threads of a CPU session; 0 takes one per core.
    """
    int8 = bundle.manifest.variants.get("cpu-int8")
    if int8 is None or classifier.precision != "fp32":
        return
    try:
        times = int8_speed(bundle, classifier, threads)
    except UrgencyRouterError as error:
        # What is not in use must not keep the consumer from starting.
        log.info("whether int8 is faster here is not known: %s", error)
        return
    if times >= WORTH_IT:
        agreement = int8.agreement
        log.info(
            "in int8 this machine labels golden comments %.1f times as fast as in fp32: --precision int8 uses"
            " it%s",
            times,
            f"; {agreement.label_agreement:.1%} of {agreement.texts} texts got PyTorch's label at export"
            if agreement
            else "",
        )


def int8_speed(bundle: Bundle, classifier: Classifier, threads: int) -> float:
    """How many times as fast as a classifier the bundle's int8 variant labels a few golden comments.

    Raises:
        UrgencyRouterError: the variant cannot be loaded, or computes nothing.
    """
    int8 = Classifier(bundle, device="cpu", precision="int8", token_budget=TOKENS, threads=threads)
    texts = [comment.text for comment in bundle.golden[:COMMENTS]]

    def seconds(measured: Classifier) -> float:
        started = time.perf_counter()
        measured.classify(texts)
        return time.perf_counter() - started

    # Taken in turn, so that a busy moment holds up both.
    rounds = [(seconds(classifier), seconds(int8)) for _ in range(ROUNDS)]
    return min(before for before, _ in rounds) / min(after for _, after in rounds)
