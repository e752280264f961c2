"""Delays are read from /metrics as Prometheus would read them."""

import math
import socket
import threading

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from deploy.local import latency

INFINITE = float("inf")


def test_histogram_is_read_from_the_page() -> None:
    """The buckets of the delay histogram are found in a /metrics page among other metrics."""
    registry = CollectorRegistry()
    Histogram("other_seconds", "Another.", registry=registry).observe(1)
    delay = Histogram("urgency_router_delay_seconds", "Delay.", registry=registry, buckets=(0.5, 1))
    for seconds in 0.2, 0.7, 3:
        delay.observe(seconds)

    assert latency.buckets(generate_latest(registry).decode()) == {0.5: 1, 1: 2, INFINITE: 3}


def test_page_without_histogram_has_no_buckets() -> None:
    """A page without the delay histogram has no buckets, and no quantile."""
    assert latency.buckets("# TYPE up gauge\nup 1\n") == {}
    assert math.isnan(latency.quantile(0.5, {}))


@pytest.mark.parametrize(
    ("share", "seconds"),
    [(0.5, 1.0), (0.25, 0.5), (0.75, 1.5), (0.9, 1.8)],
)
def test_quantile_is_linear_inside_a_bucket(share: float, seconds: float) -> None:
    """Ten messages up to 1 s and ten from 1 to 2 s: a quantile lies as far in as its share."""
    assert latency.quantile(share, {1.0: 10, 2.0: 20, 5.0: 20, INFINITE: 20}) == pytest.approx(seconds)


def test_empty_buckets_are_passed_over() -> None:
    """A quantile lies in a bucket that has messages, above the empty ones before it."""
    assert latency.quantile(0.5, {1.0: 0, 2.0: 0, 4.0: 10, INFINITE: 10}) == pytest.approx(3.0)


def test_beyond_the_largest_bound_is_that_bound() -> None:
    """A quantile among messages slower than every finite bound is given as the largest of them."""
    assert latency.quantile(0.99, {1.0: 1, 2.0: 1, INFINITE: 100}) == 2.0


def test_difference_of_two_readings_is_what_came_between() -> None:
    """What was there before a stretch of comments does not count towards its delays."""
    before = {1.0: 5.0, INFINITE: 5.0}
    after = {1.0: 5.0, INFINITE: 9.0}

    assert latency.since(before, after) == {1.0: 0.0, INFINITE: 4.0}
    assert latency.since({}, after) == after


def test_answer_that_breaks_off_is_an_oserror() -> None:
    """A consumer that ends in the middle of its answer gives an OSError, as one that gives none."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 30\r\n\r\n")

        consumer = threading.Thread(target=answer)
        consumer.start()
        with pytest.raises(OSError, match="broke off"):
            latency.get(server.getsockname()[1], "/readyz")
        consumer.join()
