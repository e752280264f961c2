"""Whatever a producer sends is labelled or dead-lettered, for the right reason, with its bytes intact."""

import json
import logging
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord

from consumer import bundle, settings
from consumer.classifier import Classifier
from consumer.errors import SettingsError
from consumer.labeller import Labeller
from consumer.messages import Model, Outgoing, now
from consumer.routing import Routing
from tests import bad_input
from tests.bad_input import CASES, HEADERS, KEYS, Dead

SAME = 1e-5
DAY = 86_400_000


class Counting:
    """A real tokenizer that remembers how many characters it was given."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.characters = 0

    def encode_batch_fast(self, texts: list[str]) -> Any:
        """Tokenise."""
        self.characters += sum(map(len, texts))
        return self._tokenizer.encode_batch_fast(texts)


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Classifier:
    """The tiny bundle on the CPU."""
    return Classifier(bundle.read(tiny_bundle), device="cpu", threads=1)


def labeller(classifier: Classifier, *arguments: str) -> Labeller:
    """A labeller with these flags."""
    parsed = settings.parse(["--bundle", "b", "--bootstrap-servers", "localhost:9092", *arguments])
    manifest = classifier._bundle.manifest
    return Labeller(
        parsed,
        classifier,
        Routing.build(manifest.labels, parsed.routes, parsed.weights),
        Model(manifest.name, manifest.version, manifest.labels),
    )


def record(value: bytes | None, **fields: Any) -> ConsumerRecord:
    """A record as kafka-python reads it."""
    defaults = dict.fromkeys(ConsumerRecord._fields)
    given = {
        "topic": "comments",
        "partition": 3,
        "offset": 41,
        "timestamp": now(),
        "key": b"k",
        "headers": [],
    }
    return ConsumerRecord(**{**defaults, **given, **fields, "value": value})


def label(classifier: Classifier, sent: ConsumerRecord, *arguments: str) -> Outgoing:
    """Label one record."""
    [came] = labeller(classifier, *arguments).label([sent])
    return came


def assert_labelled(
    classifier: Classifier, came: Outgoing, *, left: bytes, text: str, reason: str | None
) -> None:
    """The labelled message is what is left of the value and the answer to the text."""
    assert reason is None
    came_left, classification = bad_input.left_and_classification(came.value)
    assert came_left == left
    got = list(classification["probabilities"].values())
    np.testing.assert_allclose(got, classifier.classify([text])[0], atol=SAME)


@pytest.mark.parametrize("name", CASES)
def test_value_of_the_corpus(classifier: Classifier, name: str) -> None:
    """Each value is labelled as its text is, or dead-lettered for its reason, and keeps its bytes."""
    case = CASES[name]
    sent = record(case.value)

    came = label(classifier, sent)

    reason = bad_input.reason_of(sent, came)
    if isinstance(case, Dead):
        assert reason == case.reason == came.reason
    else:
        left = bad_input.left_of(case.value) if case.left is None else case.left
        assert_labelled(classifier, came, left=left, text=case.text, reason=reason)


def test_corpus_in_one_batch(classifier: Classifier) -> None:
    """Bad values take no other value's place or answer: a batch of all gives what each gives alone."""
    sent = [record(case.value) for case in CASES.values()]

    together = labeller(classifier).label(sent)

    for one, came, case in zip(sent, together, CASES.values(), strict=True):
        assert bad_input.reason_of(one, came) == (case.reason if isinstance(case, Dead) else None)


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_the_corpus(classifier: Classifier, name: str) -> None:
    """Headers come out unchanged, labelled or dead, and ours stand after the user's of the same name."""
    sent = [record(value, headers=list(HEADERS[name])) for value in (b'{"text":"late"}', b"\xff")]

    came = labeller(classifier).label(sent)

    assert [*map(bad_input.reason_of, sent, came)] == [None, "not-utf8"]
    assert dict(came[1].headers)["error.reason"] == b"not-utf8"


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_the_corpus(classifier: Classifier, name: str) -> None:
    """Keys come out unchanged, labelled or dead, and none is not the empty one."""
    sent = [record(value, key=KEYS[name]) for value in (b'{"text":"late"}', b"\xff")]

    came = labeller(classifier).label(sent)

    assert [*map(bad_input.reason_of, sent, came)] == [None, "not-utf8"]


def test_record_without_headers_or_timestamp(classifier: Classifier) -> None:
    """A record of an old format, which has neither, is labelled."""
    came = label(classifier, record(b'{"text":"late"}', headers=None, timestamp=-1))

    assert (came.reason, came.timestamp) == (None, None)


def test_timestamp_before_1970(classifier: Classifier) -> None:
    """A negative timestamp, which Kafka allows, is an old one, and kept in the header."""
    came = label(classifier, record(b'{"text":"late"}', timestamp=-5))

    assert dict(came.headers)["original-timestamp"] == b"-5"
    assert came.timestamp is not None
    assert came.timestamp > 0


_DECODER = json.JSONDecoder(
    object_pairs_hook=lambda pairs: pairs, parse_int=ascii, parse_float=ascii, parse_constant=lambda _: 1 / 0
)


def expected(value: bytes | None) -> tuple[str | None, Any]:
    """What the standard library's parser alone makes of a value: a reason, or the object's members."""
    if value is None:
        return "null-value", None
    try:
        members = _DECODER.decode(value.decode())
    except UnicodeDecodeError:
        return "not-utf8", None
    except (ValueError, ZeroDivisionError):
        return "not-json", None
    # An object's members are a list of pairs, and an array has no pairs.
    if not value.strip().startswith(b"{"):
        return "not-an-object", None
    if "text" not in dict(members):
        return "text-missing", None
    if not value_is_text(value):
        return "text-not-a-string", None
    return (None if visible(dict(members)["text"]) else "text-empty"), members


def value_is_text(value: bytes) -> bool:
    """Whether the last text is a JSON string, numbers being none."""
    return isinstance(json.JSONDecoder(parse_int=float).decode(value.decode())["text"], str)


def visible(text: str) -> bool:
    """Whether there is anything to be seen in a text."""
    return any(c.isprintable() and c != " " for c in text)


RELAXED = hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@RELAXED
@given(bad_input.values, bad_input.keys, bad_input.headers, st.integers(-2, now() + DAY))
def test_any_json(
    classifier: Classifier, value: bytes | None, key: bytes | None, headers: Any, timestamp: int
) -> None:
    """Any record comes out as it is, for the reason that the standard library's parser gives, or labelled."""
    sent = record(value, key=key, headers=headers, timestamp=timestamp)

    came = label(classifier, sent)

    reason, members = expected(value)
    assert bad_input.reason_of(sent, came) == reason
    if reason is None:
        assert value is not None
        left, _ = bad_input.left_and_classification(came.value)
        kept = [(name, member) for name, member in members if name != "classification"]
        assert _DECODER.decode(left.decode() + "}") == kept
        if len(kept) == len(members):
            assert left == bad_input.left_of(value)


@RELAXED
@given(bad_input.values)
def test_any_text(classifier: Classifier, value: bytes | None) -> None:
    """With input_format=text any UTF-8 that shows something is labelled, and comes out as the same text."""
    sent = record(value)

    came = label(classifier, sent, "--input-format", "text")

    reason = bad_input.reason_of(sent, came)
    try:
        text = None if value is None else value.decode()
    except UnicodeDecodeError:
        assert reason == "not-utf8"
    else:
        assert reason == ("null-value" if text is None else None if visible(text) else "text-empty")
        assert reason or json.loads(came.value)["text"] == text


@pytest.mark.parametrize("start", ["late again and ", "!", "late" * 1000, " " * 1000 + "late "])
def test_10_mb_of_text_cost_as_much_as_what_is_read(classifier: Classifier, start: str) -> None:
    """Of 10 MB of text the tokenizer gets what is read alone, and what Python holds more is small."""
    text = start * (10_000_000 // len(start))
    sent = record(json.dumps({"text": text}).encode())
    tokenizer = classifier._tokenizer
    counting = Counting(tokenizer._of_normalised)
    one = labeller(classifier, "--max-message-bytes", "20000000")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "_of_normalised", counting)
        [came] = one.label([sent])
        tracemalloc.start()
        classifier.classify([text])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert came.reason is None
    assert 0 < counting.characters <= 2 * classifier.characters
    assert peak < 1_000_000 + (len(text) if text[0] == " " else 0)


@pytest.mark.parametrize("depth", [980, 1000, 1020, 1030])
@pytest.mark.parametrize("other", [b'"n":1', b'"n":1e999', b'"classification":1'])
def test_nesting_around_the_limits_is_no_crash(classifier: Classifier, depth: int, other: bytes) -> None:
    """Where either parser's limit lies depends on Python; at both sides of it the message comes out whole."""
    sent = record(b'{"text":"late",%b,"deep":%b}' % (other, bad_input.nested(depth)))

    assert bad_input.reason_of(sent, label(classifier, sent)) in (None, "not-json")


def test_value_above_the_limit_is_not_even_parsed(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record larger than max_message_bytes becomes a dead letter for its size, whatever is in it."""

    def no_parser(*_: Any) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("consumer.messages.comment_of", no_parser)
    value = b"{" * 2000

    assert label(classifier, record(value), "--max-message-bytes", "1999").reason == "too-large"


def test_limit_counts_key_and_headers(classifier: Classifier) -> None:
    """A record's size is that of key, value and headers, in bytes."""
    value = b'{"text":"late"}'
    sent = record(value, key=b"k" * 400, headers=[("ä" * 100, b"v" * 300)])

    size = len(value) + 400 + 200 + 300
    assert label(classifier, sent, "--max-message-bytes", str(size - 1)).reason == "too-large"
    added = label(classifier, record(value, key=None)).size - len(value)
    assert label(classifier, sent, "--max-message-bytes", str(size + added)).reason is None
    assert label(classifier, sent, "--max-message-bytes", str(size + added - 1)).reason == "too-large"


def test_text_field_of_our_name_is_refused() -> None:
    """The comment cannot stand where the classification goes, unless the value is the bare text."""
    given = ["--bundle", "b", "--bootstrap-servers", "localhost:9092", "--text-field", "classification"]
    with pytest.raises(SettingsError, match="name another field"):
        settings.parse(given)

    assert settings.parse([*given, "--input-format", "text"]).input_format == "text"


def test_nothing_of_a_message_is_in_its_error(classifier: Classifier) -> None:
    """error.message says what is wrong without a word of the message."""
    word = b"abracadabra"
    values = [
        word,
        b'"%b"' % word,
        b'{"%b":1}' % word,
        b'{"text":{"%b":1}}' % word,
        b'{"text":"%b\xff"}' % word,
        b'{"%b":%b,"text":"%b","classification":1}' % (word, bad_input.nested(1000), word),
        b'{"text":"%b",}' % word,
        b"%b" % (word * 200_000),
    ]

    came = labeller(classifier).label([record(value) for value in values])

    assert [
        letter for letter in came if letter.reason is None or word in dict(letter.headers)["error.message"]
    ] == []


def test_texts_are_logged_only_when_asked_for(
    classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    """--log-texts logs each comment's text, escaped, with its label; without it nothing does."""
    caplog.set_level(logging.DEBUG)
    sent = record(b'{"text":"abra\\ncadabra \\ud800"}')

    label(classifier, sent)
    assert "cadabra" not in caplog.text

    came = label(classifier, sent, "--log-texts")
    assert [entry.getMessage() for entry in caplog.records if "cadabra" in entry.getMessage()] == [
        f"comments-3, offset 41, label {came.label}: 'abra\\ncadabra \N{REPLACEMENT CHARACTER}'"
    ]
