"""Another bundle at the bundle's path, without Kafka."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumer import service, settings
from consumer.bundle import Bundle, read
from consumer.labeller import Labeller
from consumer.metrics import Metrics
from consumer.succession import Look, Succession, look

EVERY = 0.02
Watched = Callable[[Path], Succession]


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Return once the condition holds, fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(EVERY / 4)


@pytest.fixture
def metrics() -> Metrics:
    """What /metrics shows."""
    return Metrics()


@pytest.fixture
def watched(tiny_bundle: Path, metrics: Metrics) -> Iterator[Watched]:
    """Starts to watch a path where the tiny bundle is in use."""
    parsed = settings.parse(
        ["--bundle", str(tiny_bundle), "--bootstrap-servers", "localhost:9", "--micro-batch-tokens", "256"]
    )
    watching: list[Succession] = []

    def prove(new: Bundle) -> Labeller:
        return Labeller(parsed, *service._proved(new, parsed))

    def watch(path: Path) -> Succession:
        in_use = read(tiny_bundle).manifest.version
        watching.append(Succession(path, EVERY, in_use, prove, metrics))
        return watching[-1].__enter__()

    yield watch
    for one in watching:
        one.__exit__(None, None, None)
        one._thread.join()


def swaps(metrics: Metrics, outcome: str) -> float:
    """How many bundles had this outcome."""
    value = metrics.registry.get_sample_value("urgency_router_bundle_swaps_total", {"outcome": outcome})
    assert value is not None
    return value


def followed(succession: Succession) -> Labeller:
    """The labeller that follows, once there is one."""
    found: list[Labeller | None] = []
    wait_until(lambda: found.append(succession.take()) or found[-1])
    assert found[-1] is not None
    return found[-1]


def link(path: Path, target: Path) -> None:
    """Set a symlink in one step."""
    partial = path.with_name("next")
    partial.symlink_to(target)
    partial.rename(path)


def test_a_link_set_anew(
    tiny_bundle: Path, other_bundle: Path, tmp_path: Path, watched: Watched, metrics: Metrics
) -> None:
    """Where the path is a link, the bundle that it is set to follows, is counted and shown; and so back."""
    path = tmp_path / "bundle"
    link(path, tiny_bundle)
    succession = watched(path)
    link(path, other_bundle)

    labeller = followed(succession)

    manifest = read(other_bundle).manifest
    assert labeller.model.version == manifest.version
    assert swaps(metrics, "taken") == 1
    shown = {"name": manifest.name, "version": manifest.version, "device": "cpu", "precision": "fp32"}
    assert metrics.registry.get_sample_value("urgency_router_model_info", shown) == 1
    link(path, tiny_bundle)
    assert followed(succession).model.version == read(tiny_bundle).manifest.version


def test_only_one_model_is_in_use(tiny_bundle: Path, other_bundle: Path, metrics: Metrics) -> None:
    """model_info names the model in use, and no longer the one before."""
    metrics.serving("one", "1", "cpu", "fp32")
    metrics.serving("two", "2", "cpu", "fp32")
    found = {s.labels["name"] for s in next(iter(metrics.model.collect())).samples}
    assert found == {"two"}


def test_a_directory_replaced(
    tiny_bundle: Path, other_bundle: Path, tmp_path: Path, watched: Watched
) -> None:
    """Where the path is a directory, the one that is put in its place follows."""
    path = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, path)
    succession = watched(path)
    shutil.copytree(other_bundle, tmp_path / "new")
    path.rename(tmp_path / "old")
    (tmp_path / "new").rename(path)

    assert followed(succession).model.version == read(other_bundle).manifest.version


def test_copied_over_the_old_one(
    tiny_bundle: Path, other_bundle: Path, tmp_path: Path, watched: Watched
) -> None:
    """Files copied one by one over those in use follow once all of them are there."""
    path = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, path)
    succession = watched(path)
    for file in sorted(other_bundle.iterdir()):
        shutil.copy(file, path)
        looked = time.monotonic() + 4 * EVERY
        wait_until(lambda until=looked: time.monotonic() > until)

    assert followed(succession).model.version == read(other_bundle).manifest.version


@pytest.mark.parametrize("damage", ["bundle.json", "golden.json", "model.cpu.onnx", "tokenizer.json"])
def test_a_bad_one_is_refused_once(
    damage: str,
    tiny_bundle: Path,
    other_bundle: Path,
    tmp_path: Path,
    watched: Watched,
    metrics: Metrics,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A damaged bundle is refused, counted and logged once, and a whole one follows after it."""
    path = tmp_path / "bundle"
    link(path, tiny_bundle)
    succession = watched(path)
    bad = tmp_path / "bad"
    shutil.copytree(other_bundle, bad)
    with (bad / damage).open("ab") as file:
        file.write(b"}")
    with caplog.at_level(logging.ERROR):
        link(path, bad)
        wait_until(lambda: swaps(metrics, "refused"))
    assert succession.take() is None

    link(path, other_bundle)
    assert followed(succession).model.version == read(other_bundle).manifest.version
    assert swaps(metrics, "refused") == 1
    [line] = caplog.messages
    assert f"version {read(tiny_bundle).manifest.version} goes on" in line
    assert damage in line


def test_labels_that_the_routes_lack(
    tiny_bundle: Path, tmp_path: Path, watched: Watched, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole bundle is refused too where its labels do not fit the routes."""
    from consumer import bundle as bundles

    path = tmp_path / "bundle"
    link(path, tiny_bundle)
    watched(path)
    manifest = read(tiny_bundle).manifest
    other = tmp_path / "other"
    shutil.copytree(tiny_bundle, other)
    (other / bundles.MANIFEST).unlink()
    bundles.seal(
        other,
        name="other",
        labels=("a", "b", "c", "d", "e"),
        window=manifest.window,
        variants=manifest.variants,
        training={},
    )
    with caplog.at_level(logging.ERROR):
        link(path, other)
        wait_until(lambda: swaps(metrics, "refused"))
    assert "--routes" in caplog.text


def test_the_same_version_again(tiny_bundle: Path, tmp_path: Path, metrics: Metrics) -> None:
    """The bundle that is in use, copied to another place, is neither proved nor refused."""
    copy = tmp_path / "copy"
    shutil.copytree(tiny_bundle, copy)
    proved: list[Bundle] = []
    succession = Succession(copy, EVERY, read(tiny_bundle).manifest.version, proved.append, metrics)  # type: ignore[arg-type]
    seen = look(copy)
    assert seen is not None
    assert succession._judge(seen)
    assert not proved
    assert swaps(metrics, "refused") == 0


def test_one_that_is_still_being_written(
    tiny_bundle: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes between two looks is not judged, and what does not is judged once."""
    looks: list[Look | None] = [None, *(("path", (("file", 1, size, 1),)) for size in (1, 2, 3, 3, 3, 3))]
    judged: list[Look] = []
    monkeypatch.setattr("consumer.succession.look", lambda _: looks.pop(0) if looks else None)
    succession = Succession(tiny_bundle, EVERY, "", lambda new: pytest.fail("proved"), metrics)
    monkeypatch.setattr(succession, "_judge", lambda seen: judged.append(seen) or True)
    with succession:
        wait_until(lambda: not looks)
    assert judged == [("path", (("file", 1, 3, 1),))]


def test_nothing_there(tiny_bundle: Path, other_bundle: Path, tmp_path: Path, watched: Watched) -> None:
    """A path that is gone for a while is waited for."""
    path = tmp_path / "bundle"
    assert look(path) is None
    succession = watched(path)
    path.symlink_to(other_bundle)
    assert followed(succession).model.version == read(other_bundle).manifest.version
