"""What `doctor` finds where Kafka asks who is there, and whether its advice mends it."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from consumer.connection import read
from consumer.doctor.command import OF_KAFKA, findings, main
from consumer.doctor.finding import Finding
from consumer.doctor.settings import DoctorSettings
from tests.integration.conftest import Kafka
from tests.integration.security.conftest import PASSWORD, TOPICS, Right, SecuredKafka, least_rights
from tests.integration.security.test_login import REFUSED
from tests.integration.security.test_rights import EACH

# What the service can do without, and doctor cannot see without.
SEEN_WITH_MORE = {"limits of the brokers", "settings of topics", "clock", "GPU libraries"}
OF_MODEL = {"bundle", "routes", "device", "golden comments"}


def flags(prefix: str, *arguments: str) -> list[str]:
    """The flags of a doctor of this test's deployment, without a model, which Kafka does not ask for."""
    names = ["--input-topic", f"{prefix}comments", "--output-prefix", prefix, "--group-id", f"{prefix}group"]
    return ["--bundle", "none", "--metrics-port", "0", *names, *arguments]


def look(prefix: str, *arguments: str) -> dict[str, Finding]:
    """What doctor finds, by check, but of the model."""
    found = findings(read(DoctorSettings, flags(prefix, *arguments)))
    return {finding.check: finding for finding in found if finding.check not in OF_MODEL}


def failing(found: dict[str, Finding]) -> list[Finding]:
    """What fails."""
    return [finding for finding in found.values() if finding.verdict == "FAIL"]


def advised(finding: Finding) -> Right:
    """The right that the advice grants, read as `kafka-acls.sh` would."""
    words = shlex.split(finding.advice.partition("kafka-acls.sh")[2])
    given = {flag: value for flag, value in pairwise(words) if flag.startswith("--")}
    (kind,) = {"--topic", "--group", "--transactional-id"} & set(given)
    prefixed = given.get("--resource-pattern-type") == "prefixed"
    operation = given["--operation"].upper()
    return Right(operation, kind.removeprefix("--").replace("-", "_").upper(), given[kind], prefixed)


def test_least_rights_are_enough(secured: SecuredKafka, prefix: str, user: str) -> None:
    """With exactly the least rights nothing fails, and what cannot be seen is not checked, says why."""
    secured.fill(prefix)
    secured.grant(secured.add_user(user), least_rights(prefix))

    found = look(prefix, *secured.with_password(user))

    assert failing(found) == []
    assert {check for check, finding in found.items() if finding.verdict == "SKIP"} == SEEN_WITH_MORE
    broker = found[f"broker {secured.doors['PASSWORD']}"]
    assert re.search(
        rf"TLSv1.3, certificate good for another [\d,]+ days, logged in as User:{user}", broker.found
    )
    assert "no message of" in found["clock"].found
    for name in SEEN_WITH_MORE - {"GPU libraries"}:
        assert f"--allow-principal User:{user} --operation Describe" in found[name].advice


def test_rights_to_see_show_the_rest(secured: SecuredKafka, prefix: str, user: str) -> None:
    """With the rights that its advice names, it sees brokers' limits, topics' settings and the clock."""
    secured.fill(prefix)
    principal = secured.add_user(user)
    secured.grant(principal, least_rights(prefix))
    secured.grant(principal, [Right("DESCRIBE_CONFIGS", "TOPIC", prefix, prefixed=True)])
    cluster = [Right(operation, "CLUSTER", "kafka-cluster") for operation in ("DESCRIBE", "DESCRIBE_CONFIGS")]
    secured.grant(principal, cluster)
    try:
        found = look(prefix, *secured.with_password(user))
    finally:
        for right in cluster:
            secured.withdraw(principal, right)

    assert {check for check, finding in found.items() if finding.verdict == "SKIP"} <= {"GPU libraries"}
    assert found["clock"].found == "within 2 s of Kafka's"
    assert "transaction.max.timeout.ms" in found["limits of the brokers"].found
    assert all("min.insync.replicas 1" in found[f"topic {prefix}{name}"].found for name in TOPICS)


@pytest.mark.parametrize("number", EACH)
def test_advice_mends_a_missing_right(secured: SecuredKafka, prefix: str, user: str, number: int) -> None:
    """Without any one of the least rights one check fails, and the command that it names mends it."""
    secured.fill(prefix)
    rights = least_rights(prefix)
    missing = rights.pop(number)
    principal = secured.add_user(user)
    secured.grant(principal, rights)

    (failure,) = failing(look(prefix, *secured.with_password(user)))

    assert f"{principal} has no right to {missing.operation} " in failure.found
    assert f"--allow-principal {principal} " in failure.advice
    assert advised(failure) == missing
    secured.grant(principal, [advised(failure)])
    assert failing(look(prefix, *secured.with_password(user))) == []


@pytest.mark.parametrize("fixed", ["mine", ""])
def test_right_to_describe_is_not_enough(secured: SecuredKafka, prefix: str, user: str, fixed: str) -> None:
    """Who may only describe topics, a group and transactional ids is told that this is not enough."""
    secured.fill(prefix)
    principal = secured.add_user(user)
    name = f"{user}{fixed}" if fixed else f"{prefix}group-"
    secured.grant(
        principal,
        [
            *(Right("DESCRIBE", right.kind, right.name) for right in least_rights(prefix)[:5]),
            Right("DESCRIBE", "GROUP", f"{prefix}group"),
            Right("DESCRIBE", "TRANSACTIONAL_ID", name, prefixed=not fixed),
        ],
    )
    given = ["--transactional-id", name] if fixed else []

    found = look(prefix, *secured.with_password(user), *given)

    lacking = [*(f"topic {prefix}{name}" for name in TOPICS), f"group {prefix}group", "transactional id"]
    assert {finding.check for finding in failing(found)} == set(lacking)
    assert [advised(found[check]).operation for check in lacking] == ["READ", *["WRITE"] * 4, "READ", "WRITE"]
    assert advised(found["transactional id"]) == Right("WRITE", "TRANSACTIONAL_ID", name, not fixed)


@pytest.mark.parametrize("case", REFUSED)
def test_refusal_is_the_brokers_line(
    secured: SecuredKafka,
    prefix: str,
    user: str,
    tmp_path: Path,
    case: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the service would end with is the line of that broker; all else of Kafka is not checked."""
    arguments, words = REFUSED[case]
    secured.add_user(user)

    code = main(flags(prefix, *arguments(secured, user, tmp_path), "--no-check-model"))

    lines = capsys.readouterr().out.splitlines()
    broker = next(line for line in lines if line[6:].startswith("broker "))
    assert code == 1
    assert broker.startswith("FAIL  ")
    assert words.format(user=user) in broker
    unchecked = [line.split("  ")[1] for line in lines if line.endswith("not checked: no broker lets us in")]
    assert unchecked == list(OF_KAFKA)
    assert PASSWORD not in "".join(lines)


def test_certificate_that_ends_soon(secured: SecuredKafka, prefix: str, user: str) -> None:
    """A broker's certificate with five days to go is a warning, and the rest is checked."""
    found = look(prefix, *secured.with_certificate(secured.certificate(user), "EXPIRING"))

    broker = found[f"broker {secured.doors['EXPIRING']}"]
    assert (broker.verdict, broker.advice) == ("WARN", "have the certificate renewed")
    assert "certificate good for another 5 days" in broker.found
    assert found["our certificate"].verdict == "OK"
    assert found["cluster"].verdict != "SKIP"


def test_owner_of_a_certificate_is_named_as_far_as_known(
    secured: SecuredKafka, prefix: str, user: str
) -> None:
    """Over mutual TLS without rights each topic fails; whom Kafka takes us for is for a person to fill in."""
    secured.fill(prefix)

    found = look(prefix, *secured.with_certificate(secured.certificate(user)))

    topics = [found[f"topic {prefix}{name}"] for name in TOPICS]
    assert {finding.verdict for finding in topics} == {"FAIL"}
    assert all("--allow-principal 'User:CN=…'" in finding.advice for finding in topics)


def test_missing_topics_and_missing_rights_are_told_apart(
    secured: SecuredKafka, prefix: str, user: str
) -> None:
    """A topic that may be used and is not there is missing, not a right; --create-topics will make it."""
    secured.create_topics(*(f"{prefix}{name}" for name in TOPICS if name != "low"))
    secured.grant(secured.add_user(user), least_rights(prefix))

    (failure,) = failing(look(prefix, *secured.with_password(user)))
    with_creation = look(prefix, *secured.with_password(user), "--create-topics")

    assert failure == Finding(
        "FAIL", f"topic {prefix}low", "there is none", "create it, or start the service with --create-topics"
    )
    assert with_creation[f"topic {prefix}low"].verdict == "WARN"


def test_tail_leaves_out_what_may_not_be_read(
    secured: SecuredKafka, prefix: str, user: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A team that may read one routed topic follows that one; topics that it may but see are named."""
    from consumer.__main__ import main as command

    secured.fill(prefix)
    secured.grant(
        secured.add_user(user),
        [Right("READ", "TOPIC", f"{prefix}high"), Right("DESCRIBE", "TOPIC", f"{prefix}low")],
    )
    arguments = [
        "tail",
        *secured.with_password(user),
        "--output-prefix",
        prefix,
        "--last",
        "3",
        "--no-follow",
    ]

    assert command(arguments) == 0
    said = capsys.readouterr().err
    assert f"User:{user} has no right to READ topic {prefix}low: it is left out" in said
    assert f"no topic {prefix}medium yet, or none that may be seen" in said
    assert command([*arguments, "--urgency", "low"]) == 8
    assert f"User:{user} has no right to READ topic {prefix}low; grant it" in capsys.readouterr().err


def test_advice_needs_no_other_broker(secured: SecuredKafka, kafka: Kafka, prefix: str, user: str) -> None:
    """One of the first servers that is wrong fails for itself, and the others answer for the rest."""
    secured.fill(prefix)
    secured.grant(secured.add_user(user), least_rights(prefix))
    servers = f"127.0.0.1:1,{secured.doors['PASSWORD']},{kafka.bootstrap_servers}"

    found = look(prefix, *secured.with_password(user), "--bootstrap-servers", servers)

    assert [finding.check for finding in failing(found)] == [
        "broker 127.0.0.1:1",
        f"broker {kafka.bootstrap_servers}",
    ]
    assert found["broker 127.0.0.1:1"].found == "refuses connections"
    assert (
        "does it speak SASL_SSL there?"
        in found[f"broker {kafka.bootstrap_servers}"].found
        + found[f"broker {kafka.bootstrap_servers}"].advice
    )
