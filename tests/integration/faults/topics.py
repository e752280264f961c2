"""What the consumers of these tests read and write, and how far they have come."""

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

GROUP = "faults"
INPUT = "comments"
PREFIX = "comments."
DEAD_LETTERS = f"{PREFIX}dead-letter"
OUTPUTS = (f"{PREFIX}high", f"{PREFIX}medium", f"{PREFIX}low", DEAD_LETTERS)
OUTPUT_PARTITIONS = 3
# The consumer's flags for them.
FLAGS = {"--group-id": GROUP, "--input-topic": INPUT, "--output-prefix": PREFIX}


def all_committed(servers: str) -> bool:
    """Whether the group's committed offsets are at the end of the input; raises `KafkaError`."""
    return _committed(servers) == _ends(servers)


def _committed(servers: str) -> dict[TopicPartition, int]:
    admin = KafkaAdminClient(bootstrap_servers=servers.split(","))
    try:
        offsets = admin.list_group_offsets({GROUP: None})[GROUP]
        return {partition: committed.offset for partition, committed in offsets.items()}
    finally:
        admin.close()


def _ends(servers: str) -> dict[TopicPartition, int]:
    consumer = KafkaConsumer(bootstrap_servers=servers.split(","))
    try:
        partitions = [TopicPartition(INPUT, number) for number in consumer.partitions_for_topic(INPUT) or ()]
        ends: dict[TopicPartition, int] = consumer.end_offsets(partitions)
        return ends
    finally:
        consumer.close()
