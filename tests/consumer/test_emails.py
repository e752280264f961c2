"""Whatever mail arrives is labelled or dead-lettered, for the right reason, in bounded time and memory."""

import base64
import encodings
import json
import random
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord

from consumer import bundle, settings
from consumer.classifier import Classifier
from consumer.errors import BadMessage
from consumer.labeller import Labeller
from consumer.mail import message
from consumer.messages import REASONS, Comment, Model, Outgoing, comment_of, now
from consumer.routing import Routing
from tests import bad_input, emails
from tests.bad_input import HEADERS, KEYS, Dead
from tests.emails import BODY, EMAILS, SUBJECT, TEXT, mail

SAME = 1e-5
# Of a test machine's time; what grows with the square takes ten times as long, or a thousand times.
SECONDS_PER_MB = 6.0
LARGE = 500_000


@pytest.fixture(scope="module")
def classifier(tiny_bundle: Path) -> Classifier:
    """The tiny bundle on the CPU."""
    return Classifier(bundle.read(tiny_bundle), device="cpu", threads=1)


def label(classifier: Classifier, sent: list[ConsumerRecord], *arguments: str) -> list[Outgoing]:
    """Label e-mails."""
    given = ["--bundle", "b", "--bootstrap-servers", "localhost:9092", "--input-format", "email", *arguments]
    parsed = settings.parse(given)
    manifest = classifier._bundle.manifest
    routing = Routing.build(manifest.labels, parsed.routes, parsed.weights)
    model = Model(manifest.name, manifest.version, manifest.labels)
    return Labeller(parsed, classifier, routing, model).label(sent)


def record(value: bytes | None, **fields: object) -> ConsumerRecord:
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


def read(value: bytes) -> Comment | BadMessage:
    """Read an e-mail, or say why it is none."""
    try:
        return comment_of(value, "email", "text")
    except BadMessage as bad:
        return bad


def test_corpus(classifier: Classifier) -> None:
    """Each e-mail, all in one batch, is labelled as its text is, or dead-lettered for its reason."""
    sent = [record(case.value) for case in EMAILS.values()]

    came = label(classifier, sent)

    expected = {name: case.reason for name, case in EMAILS.items() if isinstance(case, Dead)}
    reasons = dict(zip(EMAILS, map(bad_input.reason_of, sent, came), strict=True))
    assert {name: reason for name, reason in reasons.items() if reason} == expected
    read = {name: case for name, case in EMAILS.items() if isinstance(case, emails.Read)}
    values = {name: json.loads(one.value) for name, one in zip(EMAILS, came, strict=True) if name in read}
    assert {name: value["text"] for name, value in values.items()} == {n: c.text for n, c in read.items()}
    np.testing.assert_allclose(
        [list(value["classification"]["probabilities"].values()) for value in values.values()],
        classifier.classify([case.text for case in read.values()]),
        atol=SAME,
    )


def test_labelled_message(classifier: Classifier) -> None:
    """It has the message's identifier, sender and subject, decoded, the text, and the classification."""
    value = b"\r\n".join(
        (
            b"Message-ID:\r\n <7@example.org>",
            b"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>",
            b"Subject: =?utf-8?q?zu_sp=C3=A4t?=",
            b"",
            BODY.encode(),
        )
    )

    [came] = label(classifier, [record(value)])

    labelled = json.loads(came.value)
    assert list(labelled) == ["message_id", "from", "subject", "text", "classification"]
    assert labelled["message_id"] == "<7@example.org>"
    assert labelled["from"] == "Jörg <joerg@example.org>"
    assert labelled["subject"] == "zu spät"
    assert labelled["text"] == f"zu spät\n\n{BODY}"
    assert labelled["classification"]["label"] == came.label


def test_what_the_header_lacks_is_null(classifier: Classifier) -> None:
    """An e-mail without identifier, sender and subject is labelled, and has null for each."""
    [came] = label(classifier, [record(b"To: support@example.com\r\n\r\nlate")])

    labelled = json.loads(came.value)
    assert [labelled[name] for name in ("message_id", "from", "subject", "text")] == [
        None,
        None,
        None,
        "late",
    ]


def test_original_bytes_on_request(classifier: Classifier) -> None:
    """With --include-original the labelled message has the e-mail's very bytes in base64."""
    value = mail(bytes(range(256)) + b" \r\n")

    [came] = label(classifier, [record(value)], "--include-original")

    assert list(json.loads(came.value))[-2:] == ["original", "classification"]
    assert base64.b64decode(json.loads(came.value)["original"]) == value


def test_original_counts_in_the_size(classifier: Classifier) -> None:
    """An e-mail that fits, and does not with its bytes in it once more, is a dead letter then."""
    sent = [record(mail(BODY, "Content-Type: text/plain", "X-Long: " + "x" * 2000))]

    limit = ["--max-message-bytes", "3000"]
    assert [one.reason for one in label(classifier, sent, *limit)] == [None]
    assert [one.reason for one in label(classifier, sent, *limit, "--include-original")] == ["too-large"]


@pytest.mark.parametrize("name", HEADERS)
def test_kafka_headers_of_the_corpus(classifier: Classifier, name: str) -> None:
    """Kafka's headers come out unchanged, labelled or dead, and ours stand after them."""
    sent = [record(value, headers=list(HEADERS[name])) for value in (mail(BODY), b"late")]

    assert [*map(bad_input.reason_of, sent, label(classifier, sent))] == [None, "not-email"]


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_the_corpus(classifier: Classifier, name: str) -> None:
    """Keys come out unchanged, labelled or dead."""
    sent = [record(value, key=KEYS[name]) for value in (mail(BODY), b"late")]

    assert [*map(bad_input.reason_of, sent, label(classifier, sent))] == [None, "not-email"]


def test_old_timestamp_is_replaced(classifier: Classifier) -> None:
    """A timestamp of long ago is replaced and kept in its header, as in every format."""
    [came] = label(classifier, [record(mail(BODY), timestamp=5)])

    assert dict(came.headers)["original-timestamp"] == b"5"


def test_nothing_of_a_message_is_in_its_error(classifier: Classifier) -> None:
    """error.message says what is wrong without a word of the e-mail."""
    word = "abracadabra"
    broken = [
        mail(word, f"Content-Type: multipart/mixed; boundary={word}", subject=word),
        mail("", f"X-{word}: {word}", subject=None),
        emails.nested(30, word),
        word.encode(),
        mail(word, f"Content-Type: multipart/{word}", f"Content-Transfer-Encoding: {word}"),
    ]

    came = label(classifier, [record(value) for value in broken])

    assert [one.reason for one in came] == [
        "broken-mime",
        "no-text",
        "broken-mime",
        "not-email",
        "broken-mime",
    ]
    assert [one for one in came if word in str(dict(one.headers)["error.message"])] == []


@pytest.mark.parametrize("error", [RecursionError, IndexError, UnicodeError])
def test_parser_that_fails_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """Whatever a library raises at an e-mail, that is a dead letter, and has no word of the error in it."""

    def fail(_: object) -> str:
        raise error("abracadabra")

    monkeypatch.setattr("consumer.mail.body.text_of", fail)
    with pytest.raises(BadMessage, match=rf"cannot be read \({error.__name__}\)") as caught:
        message.read(mail(BODY))
    assert caught.value.reason == "broken-mime"


def test_lack_of_memory_is_no_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has no memory left does not take that for the e-mail's fault."""

    def fail(_: object) -> str:
        raise MemoryError

    monkeypatch.setattr("consumer.mail.body.text_of", fail)
    with pytest.raises(MemoryError):
        message.read(mail(BODY))


_SMALL = [case.value for case in EMAILS.values() if case.value is not None and len(case.value) <= 3000]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An e-mail of the corpus with pieces of others in it, or cut, or with odd bytes."""
    value = draw(st.sampled_from(_SMALL))
    for _ in range(draw(st.integers(1, 4))):
        other = draw(st.sampled_from(_SMALL) | st.binary(max_size=8))
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(value))] * 2)))
        first, last = sorted(draw(st.tuples(*[st.integers(0, len(other))] * 2)))
        value = value[:start] + other[first:last] + value[draw(st.sampled_from((start, end))) :]
    return value


@hypothesis_settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(damaged() | st.binary())
def test_any_bytes(value: bytes) -> None:
    """Any bytes give a text to be seen in a JSON object, or one of the reasons, and none for a fault."""
    comment = read(value)

    if isinstance(comment, BadMessage):
        assert comment.reason in REASONS
        assert "cannot be read" not in str(comment)
    else:
        assert comment.text.strip()
        assert json.loads(comment.document)["text"] == comment.text


def filled(piece: str, size: int = LARGE) -> str:
    """That, over and over."""
    return (piece * (size // len(piece) + 1))[:size]


def of_html(piece: str) -> bytes:
    """An e-mail in HTML that is that, over and over."""
    return mail(filled(piece), "Content-Type: text/html")


HOSTILE = {
    "empty lines": mail(filled("\n")),
    "short lines": mail(filled("a\n")),
    "short lines, 19 deep": emails.nested(19, emails.part("text/plain", filled("a\n"))),
    "fields": mail("", *["a: b"] * (LARGE // 6)),
    "folded field": mail("", "X-Long: a" + "\r\n b" * (LARGE // 4)),
    "containers": emails.nested(2000, ""),
    "messages in messages": mail(
        "Content-Type: message/rfc822\n\n" * (LARGE // 30), "Content-Type: message/rfc822"
    ),
    "parts": mail(filled("--x\n\n"), "Content-Type: multipart/mixed; boundary=x"),
    "blocks of a report": mail(filled("a: b\n\n"), "Content-Type: message/delivery-status"),
    "words in the subject": mail(BODY, subject="=?utf-8?q?a?= " * (LARGE // 15)),
    "starts of words in the subject": mail(BODY, subject=filled("=?x?q?")),
    "parameters": mail(BODY, "Content-Type: text/plain" + filled(';a="')),
    "pieces of a parameter": mail(
        BODY, "Content-Type: text/plain" + "".join(f"; a*{n}=b" for n in range(LARGE // 10))
    ),
    "quoted-printable": mail(filled("="), emails.QUOTED),
    "uuencode": mail("begin 644 a\n" + filled("M\n"), "Content-Transfer-Encoding: x-uuencode"),
    "flowed": mail(filled("a \n"), "Content-Type: text/plain; format=flowed"),
    "marks": mail(filled(">")),
    "marked lines in between": mail(filled("> a\n\n\n2026:\n")),
    "introductions": mail(filled("On 2026 Am 2026 schrieb schrieb schrieb wrote:\n")),
    "introductions on one line": mail(filled("Am 2026 schrieb On ") + ":"),
    "introductions almost too long": mail(filled("2026/1/1 " + "<@" * 140 + ">\n\n")),
    "fields of a quoted header": mail(filled("x\nFrom: a\nDate: b\nTo: c\n")),
    "lines drawn": mail(filled("_" * 40 + "\n") + "From: a\nSent: b\nSubject: c\n"),
    "sign-offs": mail(filled("x\nRegards\n\n")),
    "delimiters": mail(filled("--\n")),
    "telephones": mail(filled("von meinem " * 7 + "\n")),
    "div": of_html("<div>"),
    "a, b, i": of_html("<a><b><i>"),
    "tables in tables": of_html("<table><tr><td>"),
    "lists in lists": of_html("<ul><li>x<p>"),
    "cells": of_html("<tr><td>a"),
    "quotations": of_html("<blockquote type=cite>a"),
    "less than": of_html("<"),
    "comments": of_html("<!--"),
    "attributes": mail("<a " + " ".join(f"b{n}=1" for n in range(LARGE // 8)), "Content-Type: text/html"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mail_takes_time_for_its_length_alone(name: str) -> None:
    """Half a megabyte of whatever is dear to parse is read, or refused, in a few seconds at most."""
    started = time.thread_time()
    comment = read(HOSTILE[name])

    assert time.thread_time() - started < SECONDS_PER_MB * len(HOSTILE[name]) / 1e6
    assert "cannot be read" not in str(comment)


def test_small_hostile_mails_take_little_each() -> None:
    """A thousand bytes of lines that the library must be asked about take a twentieth of a second at most."""
    value = mail(filled("On 2026 x:\n", 1000))
    started = time.thread_time()
    for _ in range(20):
        message.read(value)

    assert time.thread_time() - started < 20 * 0.05


def test_memory_is_bounded_however_many_lines() -> None:
    """Two million lines take no more memory than the first two hundred thousand, and the text is read."""
    value = mail(f"{BODY}\n" + "\n" * 2_000_000)
    tracemalloc.start()
    assert message.read(value).text == TEXT
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 100_000_000


def test_names_of_charsets_are_not_remembered() -> None:
    """Python remembers each unknown charset it is asked for, and is asked for none that a mail names."""
    before = 0
    for name in ("x-first", *(f"x-none-{number}" for number in range(50))):
        message.read(mail(BODY.encode() + b"\xe4", f"Content-Type: text/plain; charset={name}"))
        message.read(mail(BODY, f"Content-Type: text/plain; charset*={name}''{name}"))
        message.read(mail(BODY, subject=f"=?{name}?q?late?="))
        value = emails.with_parts("mixed", emails.PLAIN)
        message.read(value.replace(b'boundary="b1"', f"boundary*={name}''b1".encode()))
        before = before or len(encodings._cache)  # type: ignore[attr-defined]

    assert len(encodings._cache) == before  # type: ignore[attr-defined]


def test_subject_of_any_length_is_read_up_to_its_bound() -> None:
    """Of a header's field the first 4,096 characters are read."""
    email = message.read(mail(BODY, subject="late " * 10_000))

    assert email.subject == ("late " * 1000)[:4096].strip()
    assert email.text == f"{email.subject}\n\n{BODY}"


def test_body_is_read_whole() -> None:
    """However long a body is, all of its newest part comes out."""
    long = "\n".join(f"{number} late again." for number in random.Random(1).sample(range(10**6), 20_000))

    assert message.read(mail(long)).text == f"{SUBJECT}\n\n{long}"


def test_other_formats_need_none_of_its_packages() -> None:
    """Where what e-mails need is not installed, the consumer starts, and reads the other formats."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['lxml', 'quotequail']));"
        "import consumer.__main__; from consumer.messages import comment_of;"
        "assert comment_of(b'late', 'text', '').text == 'late'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
