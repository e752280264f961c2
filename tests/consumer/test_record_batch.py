"""Record batches that kafka-python would refuse: real bytes, as its own builder packs them."""

from collections.abc import Iterable
from typing import Any

import pytest
from kafka.errors import UnsupportedCodecError
from kafka.record import default_records, memory_records
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords
from kafka.record.util import decode_varint

from consumer import record_batch
from consumer.record_batch import Unreadable

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
Header = tuple[str, bytes | None]
# Long enough to be packed: what would not become smaller is left as it is.
VALUES = [b"value %d " % number * 50 for number in range(100)]


class Latin1(str):
    """A header's name that is sent in Latin-1."""

    def encode(self, *_: Any) -> bytes:
        """Give its bytes."""
        return super().encode("latin-1")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """kafka-python reads with our batches, for the length of the test."""
    monkeypatch.setattr(memory_records, "DefaultRecordBatch", memory_records.DefaultRecordBatch)
    record_batch.install()


def packed(headers: Iterable[list[Header]], compression: int = NONE, *, attributes: int = 0) -> bytes:
    """A batch of one record for each list of headers, the first with these attributes."""
    builder = DefaultRecordBatchBuilder(2, compression, False, -1, -1, -1, 1_000_000)
    for offset, of_record in enumerate(headers):
        builder.append(offset, 1000 + offset, b"key %d" % offset, VALUES[offset], of_record)
    _, position = decode_varint(builder._buffer, builder.HEADER_STRUCT.size)
    builder._buffer[position] = attributes
    return bytes(builder.build())


def read(batch: bytes) -> list[Any]:
    """The records of a batch, after the check of its CRC, as the fetcher reads them."""
    of_partition = MemoryRecords(batch).next_batch()
    assert of_partition.validate_crc()
    return list(of_partition)


@pytest.mark.parametrize("compression", [NONE, GZIP, SNAPPY, LZ4, ZSTD])
def test_whole_batch_is_read(compression: int) -> None:
    """Ordinary records are read whatever the batch is packed with."""
    batch = packed([[("trace", b"1"), ("", None)], []], compression)

    assert MemoryRecords(batch).next_batch().compression_type == compression
    assert [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in read(batch)] == [
        (0, 1000, b"key 0", VALUES[0], [("trace", b"1"), ("", None)]),
        (1, 1001, b"key 1", VALUES[1], []),
    ]


@pytest.mark.parametrize("compression", [NONE, GZIP])
def test_header_name_that_is_not_utf8(compression: int) -> None:
    """Its wrong bytes come out escaped, and the records around it are as they are elsewhere."""
    headers: list[list[Header]] = [
        [("größe", b"0")],
        [("b", b"1"), (Latin1("größe"), b"2"), ("größe", None)],
        [("größe", b"3")],
    ]

    records = read(packed(headers, compression))

    assert [record.headers for record in records] == [
        [("größe", b"0")],
        [("b", b"1"), (r"gr\xf6\xdfe", b"2"), ("größe", None)],
        [("größe", b"3")],
    ]
    assert [record.value for record in records] == VALUES[:3]


@pytest.mark.parametrize("attributes", [1, 127, 128, 255])
def test_attributes_mean_nothing(attributes: int) -> None:
    """A record's attributes, which the protocol leaves unused, are passed over whatever they are."""
    records = read(packed([[("trace", b"1")], []], attributes=attributes))

    assert [(record.key, record.headers) for record in records] == [
        (b"key 0", [("trace", b"1")]),
        (b"key 1", []),
    ]


def test_batch_that_cannot_be_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a batch gives itself as one value, at its last offset, so that the stream goes on after it."""
    gzip = default_records.gzip_encode
    monkeypatch.setattr(default_records, "gzip_encode", lambda records: gzip(records) + b"no gzip")

    [record] = read(packed([[]] * 100, GZIP))

    assert (record.offset, record.timestamp, record.key, record.headers) == (99, 1099, None, [])
    assert isinstance(record.value, Unreadable)
    assert record.value.endswith(b"no gzip")


def test_codec_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A codec that is missing here is no fault of the batch, and no reason to dead-letter the stream."""
    batch = packed([[]] * 100, SNAPPY)
    monkeypatch.setattr("kafka.codec.snappy", None)

    with pytest.raises(UnsupportedCodecError):
        read(batch)
