"""Follow the routed topics until Ctrl-C."""

import contextlib

from kafka import KafkaConsumer, TopicPartition
from rich.console import Console

from deploy.local.display import display
from deploy.local.routed import RoutedTopics

POLL_SECONDS = 0.25


def watch(
    bootstrap_servers: str, *, input_topic: str, prefix: str, group_id: str, from_beginning: bool
) -> None:
    """Show what the consumer publishes, and how many comments wait for it; returns never.

    Raises `TopicsMissing`, or `KafkaError` if no broker answers.
    """
    console = Console()
    with (
        contextlib.closing(RoutedTopics(bootstrap_servers, prefix, from_beginning=from_beginning)) as routed,
        contextlib.closing(KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=group_id)) as group,
        display(console, routed.lanes) as shown,
    ):
        while True:
            shown.show(routed.poll(POLL_SECONDS), group_lag(group, input_topic))


def group_lag(group: KafkaConsumer, topic: str) -> int:
    """How many messages of the topic the group (of which `group` is no member) has not committed yet."""
    partitions = [TopicPartition(topic, number) for number in group.partitions_for_topic(topic) or ()]
    ends = group.end_offsets(partitions)
    begins = group.beginning_offsets(partitions)
    done = {partition: group.committed(partition) for partition in partitions}
    return sum(
        ends[partition] - (begins[partition] if done[partition] is None else done[partition])
        for partition in partitions
    )
