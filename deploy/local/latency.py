"""The consumer's delays, read from its /metrics."""

import http.client
import time
from collections.abc import Callable, Mapping

from prometheus_client.parser import text_string_to_metric_families

DELAY = "urgency_router_delay_seconds"
REQUEST_SECONDS = 5.0

# Upper bound in seconds -> messages that took no longer.
Buckets = Mapping[float, float]


def get(port: int, path: str) -> tuple[int, str]:
    """The status and body of a page of the consumer on this machine; raises OSError without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except http.client.HTTPException as error:
        raise ConnectionError(f"the answer broke off: {error!r}") from error
    finally:
        connection.close()


def buckets(metrics: str) -> Buckets:
    """The delay histogram in a /metrics page; empty if it holds none."""
    return {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(metrics)
        if family.name == DELAY
        for sample in family.samples
        if sample.name == f"{DELAY}_bucket"
    }


def since(before: Buckets, after: Buckets) -> Buckets:
    """What came to a histogram between two readings."""
    return {bound: count - before.get(bound, 0.0) for bound, count in after.items()}


def wait_for(read: Callable[[], Buckets], before: Buckets, count: int, seconds: float) -> Buckets:
    """What `read` shows since `before`, once it is `count` messages or time is up.

    A message is visible to readers a moment before the consumer counts it.
    """
    deadline = time.monotonic() + seconds
    while True:
        new = since(before, read())
        if max(new.values(), default=0) >= count or time.monotonic() > deadline:
            return new
        time.sleep(0.05)


def quantile(share: float, histogram: Buckets) -> float:
    """The delay in seconds that `share` (0 to 1) of the messages did not exceed; NaN for no messages.

    Linear inside a bucket, and the largest finite bound beyond it, as Prometheus' histogram_quantile does.
    """
    bounds = sorted(histogram)
    total = histogram[bounds[-1]] if bounds else 0.0
    if not total:
        return float("nan")
    wanted = share * total
    lower, below = 0.0, 0.0
    for bound in bounds:
        if histogram[bound] >= wanted and histogram[bound] > below:
            if bound == float("inf"):
                break
            return lower + (bound - lower) * (wanted - below) / (histogram[bound] - below)
        lower, below = bound, histogram[bound]
    return bounds[-2]
