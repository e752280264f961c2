"""The JSON Schemas take what the consumer makes and reads, and refuse anything else."""

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from kafka.consumer.fetcher import ConsumerRecord

from consumer import json_object
from consumer.bundle import Manifest
from consumer.messages import REASONS, Model, Outgoing, comment_of, dead_letter, labelled, now, shortened
from consumer.routing import TOPIC_PART
from finetune import collect
from finetune.data import STAR_LABELS
from tests import asyncapi
from tests.bad_input import CASES, HEADERS, Labelled

DAY = 86_400_000
MODEL = Model("stars", "0123456789ab", ("1", "2", "3", "4", "5"))
ABSENT = object()
# Why JSON that can be read holds no comment.
NO_COMMENT = ("not-an-object", "text-missing", "text-not-a-string")


@pytest.fixture(params=[Draft202012Validator, Draft7Validator], ids=["2020-12", "draft-7"])
def dialect(request: pytest.FixtureRequest) -> Any:
    """The files say 2020-12, and AsyncAPI's own tools read the same words as draft 7."""
    return request.param


def record(value: bytes, headers: Any = (), timestamp: int | None = None) -> ConsumerRecord:
    """A record as kafka-python reads it."""
    fields = {"topic": "comments", "partition": 3, "offset": 41, "headers": headers, "value": value}
    given = {**fields, "timestamp": now() if timestamp is None else timestamp}
    return ConsumerRecord(**{**dict.fromkeys(ConsumerRecord._fields), **given})


def label(sent: ConsumerRecord, input_format: Any = "json") -> Outgoing:
    """Label a record as urgent."""
    return labelled(
        sent,
        document=comment_of(sent.value, input_format, "text").document,
        topic="comments.high",
        urgency="high",
        label="1",
        probabilities=[0.6, 0.2, 0.1, 0.06, 0.04],
        model=MODEL,
        now=now(),
        max_timestamp_age=DAY,
    )


def bury(sent: ConsumerRecord, reason: str = "not-json") -> Outgoing:
    """Make a dead letter of a record."""
    return dead_letter(
        sent,
        topic="comments.dead-letter",
        reason=reason,
        message=REASONS[reason],
        now=now(),
        max_timestamp_age=DAY,
    )


VALUE = json.loads(label(record(b'{"id": 7, "text": "late"}')).value)
LABELLED_HEADERS = asyncapi.headers_of(label(record(b'{"text": "late"}')).headers)
DEAD_HEADERS = asyncapi.headers_of(bury(record(b"late")).headers)


def changed(instance: Any, path: str, value: object) -> Any:
    """A copy with another value at a path, or without one."""
    copied = copy.deepcopy(instance)
    *steps, last = path.split("/")
    found = copied
    for step in steps:
        found = found[step]
    if value is ABSENT:
        del found[last]
    else:
        found[last] = value
    return copied


def paths(instance: dict[str, Any], before: str = "") -> list[str]:
    """The paths of all members but the probabilities', whose names are the model's."""
    found = []
    for name, value in instance.items():
        found.append(f"{before}{name}")
        if isinstance(value, dict) and name != "probabilities":
            found += paths(value, f"{before}{name}/")
    return found


@pytest.mark.parametrize("name", [file.stem for file in sorted(asyncapi.SCHEMAS.iterdir())])
def test_schema_is_one(name: str, dialect: Any) -> None:
    """Each file is a JSON Schema."""
    dialect.check_schema(asyncapi.schema(name))


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if isinstance(case, Labelled) or case.reason in NO_COMMENT]
)
def test_comment_is_judged_as_the_consumer_judges_it(name: str) -> None:
    """What the consumer labels fits the schema of a comment, and JSON that lacks a text does not."""
    case = CASES[name]
    problems = asyncapi.problems("comment", json_object.parse(case.value or b""))

    assert (problems == []) == isinstance(case, Labelled)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if isinstance(case, Labelled)])
def test_labelled_comment_fits(name: str) -> None:
    """Whatever an object holds beside its text, its labelled message is as the schema says."""
    made = label(record(CASES[name].value or b""))

    assert asyncapi.problems("labelled", json_object.parse(made.value)) == []


def test_labelled_text_fits() -> None:
    """A comment sent as bare text has the same schema once it is labelled."""
    assert asyncapi.problems("labelled", json.loads(label(record("zu spät".encode()), "text").value)) == []


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("timestamp", [1_400_000_000_000, None], ids=["old", "new"])
def test_headers_fit(name: str, timestamp: int | None) -> None:
    """Whatever headers a producer sends, those of ours of the same name included, all that come out fit."""
    sent = record(b'{"text": "late"}', HEADERS[name], timestamp)
    letter = bury(sent)

    for schema, made in (
        ("labelled-headers", label(sent)),
        ("dead-letter-headers", letter),
        ("dead-letter-headers", shortened(letter, sent, now=now())),
    ):
        assert asyncapi.problems(schema, asyncapi.headers_of(made.headers)) == []


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_fits(reason: str) -> None:
    """A dead letter may have each of the code's reasons."""
    headers = asyncapi.headers_of(bury(record(b"late"), reason).headers)

    assert asyncapi.problems("dead-letter-headers", headers) == []


@pytest.mark.parametrize(
    ("name", "instance", "path"),
    [
        *(("labelled", VALUE, path) for path in paths(VALUE) if path != "id"),
        *(("labelled-headers", LABELLED_HEADERS, path) for path in LABELLED_HEADERS),
        *(("dead-letter-headers", DEAD_HEADERS, path) for path in DEAD_HEADERS),
    ],
)
def test_all_that_the_consumer_adds_is_required(name: str, instance: Any, path: str, dialect: Any) -> None:
    """Without any one of the members and headers that the consumer adds nothing fits."""
    assert asyncapi.problems(name, instance, dialect) == []
    assert asyncapi.problems(name, changed(instance, path, ABSENT), dialect) != []


@pytest.mark.parametrize(
    ("name", "instance", "path", "value"),
    [
        *(("labelled", VALUE, "text", value) for value in (5, None, "", " \n")),
        *(("labelled", VALUE, "classification", value) for value in ("high", [], None)),
        *(("labelled", VALUE, "classification/urgency", value) for value in ("", "high/low", 1, None)),
        *(("labelled", VALUE, "classification/label", value) for value in (1, None)),
        *(("labelled", VALUE, "classification/confidence", value) for value in (1.000001, -0.1, "0.6", None)),
        *(
            ("labelled", VALUE, "classification/probabilities", value)
            for value in ({}, {"1": 1.0}, [0.6, 0.4], {"1": 1.5}, {"1": "0.6"}, {"1": None})
        ),
        *(("labelled", VALUE, "classification/model", value) for value in ("stars", None)),
        *(("labelled", VALUE, "classification/model/name", value) for value in (7, None)),
        *(
            ("labelled", VALUE, "classification/model/version", value)
            for value in ("1", "0123456789AB", "0123456789abc", 12)
        ),
        *(("labelled-headers", LABELLED_HEADERS, "urgency", value) for value in ("", "high low", 1)),
        ("labelled-headers", LABELLED_HEADERS, "label", 1),
        ("labelled-headers", LABELLED_HEADERS, "model-version", "latest"),
        ("labelled-headers", LABELLED_HEADERS, "original-timestamp", 1_400_000_000_000),
        *(("dead-letter-headers", DEAD_HEADERS, "error.reason", value) for value in ("", "no-reason", None)),
        *(("dead-letter-headers", DEAD_HEADERS, "error.message", value) for value in ("", None)),
        *(("dead-letter-headers", DEAD_HEADERS, "error.topic", value) for value in ("", "a b", "t" * 250)),
        *(("dead-letter-headers", DEAD_HEADERS, "error.partition", value) for value in ("", "-1", "x", 3)),
        *(("dead-letter-headers", DEAD_HEADERS, "error.offset", value) for value in ("", "1.5", 41)),
        ("dead-letter-headers", DEAD_HEADERS, "error.shortened-from", 5000),
    ],
)
def test_wrong_value_is_refused(name: str, instance: Any, path: str, value: object, dialect: Any) -> None:
    """A message that the consumer would never publish does not fit."""
    assert asyncapi.problems(name, changed(instance, path, value), dialect) != []


@pytest.mark.parametrize(
    "value",
    [
        {"text": "late", "correct_label": "1"},
        {"text": "late", "correct_label": 1},
        {"text": "late", "correct_label": None},
        {**VALUE, "correct_label": "2"},
        VALUE,
        {"correct_label": "1"},
        {"text": 5, "correct_label": "1"},
        {"text": " \n", "correct_label": "1"},
        {"text": "late", "correct_label": True},
        {"text": "late", "correct_label": 1.5},
        {"text": "late", "correct_label": ["1"]},
        {"text": "late", "correct_label": {}},
        ["late"],
    ],
)
def test_correction_is_judged_as_finetune_judges_it(value: Any, dialect: Any) -> None:
    """What `python -m finetune collect` can use fits the schema, and what it leaves out does not."""
    found = collect.parse(b"key", json.dumps(value).encode(), "text", STAR_LABELS)

    assert isinstance(found, collect.Correction) == (asyncapi.problems("correction", value, dialect) == [])


def test_patterns_are_those_of_the_code() -> None:
    """An urgency and a model's version have the form that the code asks of them."""
    added = asyncapi.schema("labelled")["properties"]["classification"]["properties"]
    [version] = [
        part.pattern for part in Manifest.model_fields["version"].metadata if hasattr(part, "pattern")
    ]

    assert added["urgency"]["pattern"] == f"^{TOPIC_PART.pattern}$"
    assert added["model"]["properties"]["version"]["pattern"] == version
