"""The AsyncAPI document is valid, and says what the code does."""

import copy
import hashlib
import json
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft7Validator
from kafka.consumer.fetcher import ConsumerRecord

from consumer import settings
from consumer.connection import Connection
from consumer.errors import BadMessage
from consumer.messages import InputFormat, Model, comment_of, dead_letter, labelled, now
from consumer.routing import parse_routes
from deploy.local import jars
from finetune import collect
from tests import asyncapi

ROOT = Path(__file__).parents[2]
NPM = ROOT / "tests" / "npm"
DAY = 86_400_000
DEFAULTS = settings.parse(["--bundle", "b", "--bootstrap-servers", "localhost:9092"])


@pytest.fixture
def document() -> dict[str, Any]:
    """The document, references and all."""
    return asyncapi.read()


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    """AsyncAPI's own JSON Schema, which npm alone has; what npm gave is kept beside Kafka's jars."""
    lock = hashlib.sha256((NPM / "package-lock.json").read_bytes()).hexdigest()
    home = jars.cache_directory() / f"npm-{lock[:12]}"
    if not home.is_dir():
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed, and AsyncAPI's JSON Schema comes from there alone")
        partial = home.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(NPM, partial)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        subprocess.run(command, cwd=partial, check=True)
        partial.rename(home)
    schemas = home / "node_modules" / "@asyncapi" / "specs" / "schemas"
    return Draft7Validator(json.loads((schemas / f"{asyncapi.read()['asyncapi']}.json").read_text()))


def resolved(node: Any, document: dict[str, Any]) -> Any:
    """What a part of the document says, with what each reference means in its place."""
    if isinstance(node, list):
        return [resolved(item, document) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" not in node:
        return {name: resolved(value, document) for name, value in node.items()}
    found: Any = document
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found, document)


def without_type(document: dict[str, Any]) -> None:
    """A security scheme of no known kind."""
    document["components"]["securitySchemes"]["plain"]["type"] = "password"


def without_address(document: dict[str, Any]) -> None:
    """A misspelt member."""
    document["channels"]["routed"]["adress"] = document["channels"]["routed"].pop("address")


def without_direction(document: dict[str, Any]) -> None:
    """An operation that neither sends nor receives."""
    document["operations"]["readComments"]["action"] = "subscribe"


def test_document_is_valid(document: dict[str, Any], official: Draft7Validator) -> None:
    """AsyncAPI's own JSON Schema finds nothing wrong, and every reference leads somewhere."""
    assert [error.message[:200] for error in official.iter_errors(document)] == []
    assert resolved(document, document)


@pytest.mark.parametrize("spoil", [without_type, without_address, without_direction])
def test_spoilt_document_is_not_valid(
    document: dict[str, Any], official: Draft7Validator, spoil: Callable[[dict[str, Any]], None]
) -> None:
    """AsyncAPI's own JSON Schema would find a mistake."""
    spoilt = copy.deepcopy(document)
    spoil(spoilt)

    assert not official.is_valid(spoilt)


def test_reasons_and_schema_files_are_the_generated_ones() -> None:
    """The closed list of reasons is the code's, each schema has its file; `make readme` writes both."""
    text = asyncapi.DOCUMENT.read_text()

    assert text == asyncapi.generate(text)
    files = {file.name: file.read_text() for file in asyncapi.SCHEMAS.iterdir()}
    assert files == asyncapi.schema_files(text)


def test_version_is_that_of_the_package(document: dict[str, Any]) -> None:
    """The document describes the version that it comes with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert document["info"]["version"] == project["version"]
    assert document["info"]["license"]["name"] == project["license"]


def test_topics_are_those_of_the_default_settings(document: dict[str, Any]) -> None:
    """The addresses are the topics' names, with the urgency and the value of the split left open."""
    channels = {name: channel["address"] for name, channel in document["channels"].items()}

    assert channels == {
        "comments": DEFAULTS.input_topic,
        "routed": DEFAULTS.topic("{urgency}"),
        "routedSplit": DEFAULTS.topic("{urgency}", "{value}"),
        "deadLetters": DEFAULTS.dead_letter_topic,
        "feedback": collect._parser().get_default("topic"),
    }


def test_what_else_has_a_default(document: dict[str, Any]) -> None:
    """Urgencies, partitions and group are those of the default settings."""
    whole = resolved(document, document)
    channels = {name: whole["channels"][name] for name in whole["channels"] if name != "feedback"}
    group = whole["operations"]["readComments"]["bindings"]["kafka"]["groupId"]

    assert whole["components"]["parameters"]["urgency"]["enum"] == [*parse_routes(DEFAULTS.routes)]
    assert {channel["bindings"]["kafka"]["partitions"] for channel in channels.values()} == {
        DEFAULTS.topic_partitions
    }
    assert group["enum"] == [DEFAULTS.group_id]


def test_parameters_are_those_of_the_addresses(document: dict[str, Any]) -> None:
    """Every part of an address that is left open is described, and nothing else."""
    for channel in document["channels"].values():
        assert [*channel.get("parameters", {})] == [
            part[1:-1] for part in channel["address"].split(".") if part.startswith("{")
        ]


def test_each_input_format_is_a_message(document: dict[str, Any]) -> None:
    """The input topic's messages are the formats that --input-format knows."""
    assert {*document["channels"]["comments"]["messages"]} == {*get_args(InputFormat)}


def test_ways_to_log_in(document: dict[str, Any]) -> None:
    """Each SASL mechanism that the consumer speaks is a security scheme, and mutual TLS is one."""
    kinds = {scheme["type"] for scheme in document["components"]["securitySchemes"].values()}
    mechanisms = get_args(Connection.model_fields["sasl_mechanism"].annotation)

    named = {"SCRAM-SHA-512": "scramSha512", "SCRAM-SHA-256": "scramSha256", "PLAIN": "plain"}
    assert kinds == {*(named[mechanism] for mechanism in mechanisms), "X509"}


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    """Every message has an example, and each is what the message's schemas ask for."""
    for name, message in resolved(document, document)["components"]["messages"].items():
        parts = {"payload", "headers"} & message.keys()
        for example in message["examples"]:
            assert example.keys() - {"name", "summary"} == parts, name
            for part in parts:
                wrong = [error.message for error in Draft7Validator(message[part]).iter_errors(example[part])]
                assert wrong == [], f"{part} of {name}, {example['name']}"


def examples(document: dict[str, Any], message: str) -> dict[str, dict[str, Any]]:
    """A message's examples by their names."""
    return {one["name"]: one for one in document["components"]["messages"][message]["examples"]}


def record(value: bytes, timestamp: int) -> ConsumerRecord:
    """A record as kafka-python reads it, from where the examples are."""
    fields = {"topic": "comments", "partition": 3, "offset": 41, "timestamp": timestamp, "headers": []}
    return ConsumerRecord(**{**dict.fromkeys(ConsumerRecord._fields), **fields, "value": value})


@pytest.mark.parametrize("input_format", get_args(InputFormat))
def test_labelled_examples_are_what_the_consumer_makes(
    document: dict[str, Any], input_format: InputFormat
) -> None:
    """The example of a comment, labelled with the example's probabilities, is the example of that format."""
    comment = examples(document, input_format)["comment"]["payload"]
    labelled_examples = examples(document, "labelled") | examples(document, "labelledEmail")
    expected = labelled_examples[input_format]
    said = expected["payload"]["classification"]
    value = comment if isinstance(comment, str) else json.dumps(comment)

    made = labelled(
        record(value.encode(), int(expected["headers"].get("original-timestamp", now()))),
        document=comment_of(value.encode(), input_format, "text").document,
        topic=DEFAULTS.topic(said["urgency"]),
        urgency=said["urgency"],
        label=said["label"],
        probabilities=[*said["probabilities"].values()],
        model=Model(**said["model"], labels=tuple(said["probabilities"])),
        now=now(),
        max_timestamp_age=DAY,
    )

    assert json.loads(made.value) == expected["payload"]
    assert asyncapi.headers_of(made.headers) == expected["headers"]


def test_dead_letter_examples_are_what_the_consumer_makes(document: dict[str, Any]) -> None:
    """The values of the dead letters' examples are refused in the words that the examples show."""
    for example in examples(document, "deadLetter").values():
        sent = record(example["payload"].encode(), now())
        with pytest.raises(BadMessage) as refused:
            comment_of(sent.value, "json", "text")

        letter = dead_letter(
            sent,
            topic=DEFAULTS.dead_letter_topic,
            reason=refused.value.reason,
            message=str(refused.value),
            now=now(),
            max_timestamp_age=DAY,
        )

        assert letter.value.decode() == example["payload"]
        assert asyncapi.headers_of(letter.headers) == example["headers"]
