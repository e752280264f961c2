"""Kafka's record batches, read as leniently as the broker took them.

At three things that a broker lets pass kafka-python raises, and hangs in the next poll: a header's name that
is not UTF-8, a record's attributes above 127, which mean nothing, and packed records with something after
their end. One such record would stop the stream for ever.
"""

from collections.abc import Iterator
from typing import Any

from kafka.errors import KafkaError
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint


class Unreadable(bytes):
    """In place of a value: the records of a whole batch, still packed, since they cannot be unpacked."""

    __slots__ = ()


class RecordBatch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch that gives every record, or itself as one that is Unreadable."""

    _buffer: bytearray

    def __iter__(self) -> Iterator[Any]:
        """Unpack the records."""
        try:
            return super().__iter__()  # type: ignore[no-any-return]
        except (KafkaError, MemoryError):  # for want of a codec or of memory, not the batch's fault
            raise
        except Exception:  # each codec has exceptions of its own
            packed = Unreadable(self._buffer[self._pos :])
            whole = DefaultRecord(
                len(packed), self.last_offset, self.max_timestamp, self.timestamp_type, None, packed, []
            )
            return iter([whole])

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except Exception:
            # Only from here on to the batch's end, since it costs a copy and a little speed.
            if not isinstance(self._buffer, _Lenient):
                self._buffer = _Lenient(self._buffer)
            _, attributes = decode_varint(self._buffer, self._pos)
            self._buffer[attributes] = 0
            return super()._read_msg()


class _Lenient(bytearray):
    """A batch's bytes, whose parts decode whatever they hold: a byte that is not UTF-8 becomes `\\xff`.

    So it is sent on, since whoever reads it with kafka-python would hang in turn at the byte itself.
    """

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return found if isinstance(index, int) else _Lenient(found)

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


def install() -> None:
    """Let kafka-python's consumers read with RecordBatch, for which they have no setting."""
    memory_records.DefaultRecordBatch = RecordBatch
