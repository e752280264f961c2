"""The manifests as they are rendered, each in the ways in which they are meant to be used."""

import pytest

from tests.deploy.kubernetes.rendering import Object, kustomize, render

# An overlay, and the components that one may add to it.
VARIANTS = (
    ("overlays/cpu",),
    ("overlays/gpu",),
    ("overlays/gpu", "mutual-tls"),
    ("overlays/cpu", "plaintext"),
    ("overlays/gpu", "shared-bundles"),
)


@pytest.fixture(scope="session")
def kubectl() -> None:
    """Skip where nothing can render."""
    if kustomize() is None:
        pytest.skip("needs kubectl 1.27 or newer, or kustomize 5 or newer, on the PATH")


@pytest.fixture(params=VARIANTS, ids="+".join)
def objects(request: pytest.FixtureRequest, kubectl: None) -> list[Object]:
    """The objects of each variant in turn."""
    return render(*request.param)


@pytest.fixture(params=VARIANTS[:2], ids="+".join)
def overlay(request: pytest.FixtureRequest, kubectl: None) -> list[Object]:
    """The objects of each overlay in turn."""
    return render(*request.param)
