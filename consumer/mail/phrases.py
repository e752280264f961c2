"""What mail programs and people write around a message, of every language in phrases.toml."""

import tomllib
from pathlib import Path


def _of(kind: str) -> list[str]:
    return [phrase.casefold() for language in _LANGUAGES.values() for phrase in language[kind]]


_LANGUAGES: dict[str, dict[str, list[str]]] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
)

# Field of a quoted message's header, by what it is called.
FIELDS = {name: field for field in ("from", "date", "subject") for name in _of(field)}
SIGN_OFFS = frozenset(_of("sign_offs"))
# Patterns as fnmatch takes them.
SENT_FROM = _of("sent_from")
