"""Whether a text holds anything to be seen."""


def visible(text: str) -> bool:
    """Whether there is more in it than white space, control characters and what has no width."""
    return any(character.isprintable() and character != " " for character in text)
