"""The AsyncAPI document of the topics: its parts, and those that are made of it or of the code.

`python -m tests.asyncapi` writes the dead letters' reasons into the document, and each of its schemas into a
file of its own beside it; a test keeps them equal.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

import consumer
from consumer.messages import REASONS

DOCUMENT = Path(consumer.__file__).with_name("asyncapi.yaml")
SCHEMAS = DOCUMENT.with_name("schemas")
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def read() -> dict[str, Any]:
    """The document as it stands in the file."""
    document: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
    return document


def generate(document: str) -> str:
    """The document with the reasons as the code has them now."""
    lines = [
        "description: |",
        "  Why it could not be labelled. The list is closed; a later version may have more.",
    ]
    lines += ["", *(f"  - `{reason}`: {text}" for reason, text in REASONS.items())]
    lines += ["enum:", *(f"  - {reason}" for reason in REASONS)]
    made = "".join(f"{' ' * 10}{line}".rstrip() + "\n" for line in lines)
    between = re.compile(r"(# reasons: [^\n]*\n).*?( *# end\n)", re.DOTALL)
    document, replaced = between.subn(lambda match: f"{match[1]}{made}{match[2]}", document)
    assert replaced == 1, f"{DOCUMENT.name} has no place for the reasons"
    return document


def schema_files(document: str) -> dict[str, str]:
    """What is in each file of schemas/, by the file's name."""
    schemas = yaml.safe_load(document)["components"]["schemas"]
    return {
        re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", name) + ".json": json.dumps(
            {"$schema": DIALECT, **schema}, indent=2
        )
        + "\n"
        for name, schema in schemas.items()
    }


@cache
def schema(name: str) -> Any:
    """The schema in a file of schemas/."""
    return json.loads((SCHEMAS / f"{name}.json").read_text())


def problems(name: str, instance: object, dialect: Any = Draft202012Validator) -> list[str]:
    """What a file of schemas/ says is wrong with a value or with headers."""
    return [
        f"{error.json_path}: {error.message[:200]}" for error in dialect(schema(name)).iter_errors(instance)
    ]


def headers_of(headers: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    """A record's headers as the schemas see them: text, the last of each name."""
    return {name: value.decode(errors="replace") for name, value in headers}


if __name__ == "__main__":
    DOCUMENT.write_text(generate(DOCUMENT.read_text()))
    SCHEMAS.mkdir(exist_ok=True)
    for name, text in schema_files(DOCUMENT.read_text()).items():
        (SCHEMAS / name).write_text(text)
