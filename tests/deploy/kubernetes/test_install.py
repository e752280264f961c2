"""The bundle's image puts its bundle where consumers read it, whole or not at all."""

import shutil
import subprocess
from pathlib import Path

import pytest

from consumer import bundle
from tests.deploy.kubernetes.rendering import DIRECTORY

SCRIPT = DIRECTORY / "bundle" / "install.sh"


@pytest.fixture(params=["busybox", "coreutils"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory with the shell and the commands that the script uses: the image's, busybox, or GNU's."""
    directory = tmp_path / "tools"
    directory.mkdir()
    if request.param == "busybox":
        if not (busybox := shutil.which("busybox")):
            pytest.skip("needs Debian's package busybox")
        subprocess.run([busybox, "--install", "-s", directory], check=True)
    else:
        for name in ("sh", "sha256sum", "cut", "mktemp", "cp", "chmod", "mv", "rm", "ln"):
            (directory / name).symlink_to(shutil.which(name) or name)
    return directory


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """The volume, empty."""
    directory = tmp_path / "bundles"
    directory.mkdir()
    return directory


@pytest.fixture
def other_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Another bundle than the tiny one."""
    directory = Path(shutil.copytree(tiny_bundle, tmp_path / "other"))
    sealed = bundle.read_manifest(directory)
    bundle.seal(
        directory,
        name="other",
        labels=sealed.labels,
        window=sealed.window,
        variants=sealed.variants,
        training=sealed.training,
    )
    return directory


def install(tools: Path, source: Path, bundles: Path) -> "subprocess.CompletedProcess[str]":
    """Run the script as the image does, on another directory than /bundle."""
    return subprocess.run(
        [tools / "sh", SCRIPT, bundles],
        env={"PATH": str(tools), "BUNDLE": str(source)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_consumers_read_what_was_installed(tools: Path, tiny_bundle: Path, bundles: Path) -> None:
    """After a first run `current` is the bundle, whole, and whoever the pods run as may read it."""
    done = install(tools, tiny_bundle, bundles)

    assert done.returncode == 0, done.stderr
    assert bundle.read(bundles / "current").manifest == bundle.read(tiny_bundle).manifest
    for path in (bundles / "current").resolve(), *(bundles / "current").iterdir():
        assert path.stat().st_mode & 0o444 == 0o444


def test_another_bundle_takes_the_place(
    tools: Path, tiny_bundle: Path, other_bundle: Path, bundles: Path
) -> None:
    """A second bundle is put beside the first and `current` turns to it; the first again turns it back."""
    install(tools, tiny_bundle, bundles)
    first = (bundles / "current").resolve()

    install(tools, other_bundle, bundles)
    assert bundle.read(bundles / "current").manifest.name == "other"
    assert bundle.read(first).manifest == bundle.read(tiny_bundle).manifest

    copied = (first / bundle.MANIFEST).stat().st_ctime_ns
    install(tools, tiny_bundle, bundles)
    assert (bundles / "current").resolve() == first
    assert (first / bundle.MANIFEST).stat().st_ctime_ns == copied
    assert len(list(bundles.iterdir())) == 3, "two bundles and the link"


def test_a_copy_that_breaks_off_changes_nothing(
    tools: Path, tiny_bundle: Path, other_bundle: Path, bundles: Path
) -> None:
    """Where a file cannot be copied the script fails, the link stays, and no half of a bundle is left."""
    install(tools, tiny_bundle, bundles)
    before = sorted(bundles.iterdir())
    real = (tools / "cp").resolve()
    copy = f"{real} cp" if real.name == "busybox" else real
    (tools / "cp").unlink()
    (tools / "cp").write_text(f'#!{tools / "sh"}\n{copy} "$@"\nexit 1\n')
    (tools / "cp").chmod(0o755)

    assert install(tools, other_bundle, bundles).returncode != 0
    assert sorted(bundles.iterdir()) == before
    assert bundle.read(bundles / "current").manifest == bundle.read(tiny_bundle).manifest


def test_no_moment_without_a_bundle(
    tools: Path, tiny_bundle: Path, other_bundle: Path, bundles: Path
) -> None:
    """While bundles take turns, every look finds a whole one."""
    install(tools, tiny_bundle, bundles)
    for source in (other_bundle, tiny_bundle) * 5:
        running = subprocess.Popen(
            [tools / "sh", SCRIPT, bundles],
            env={"PATH": str(tools), "BUNDLE": str(source)},
            stdout=subprocess.DEVNULL,
        )
        while running.poll() is None:
            bundle.read_manifest((bundles / "current").resolve(strict=True))
        assert running.returncode == 0
