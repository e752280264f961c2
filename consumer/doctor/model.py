"""The model: is the bundle whole, do the routes fit it, and does it give its golden answers here?"""

from collections.abc import Iterator
from pathlib import Path

from consumer import bundle
from consumer.classifier import Classifier
from consumer.doctor.finding import Finding, failed, ok, skip
from consumer.doctor.settings import DoctorSettings
from consumer.errors import UrgencyRouterError
from consumer.routing import Routing

BUNDLE = "bundle"
SHADOW = "shadow bundle"
ROUTES = "routes"
DEVICE = "device"
GOLDEN = "golden comments"


def check(settings: DoctorSettings) -> Iterator[Finding]:
    """Read the bundles, and run the golden comments of the one in use as the service does when it starts."""
    yield from _in_use(settings)
    if settings.shadow_bundle:
        yield _shadow(settings.shadow_bundle, settings)


def _in_use(settings: DoctorSettings) -> Iterator[Finding]:
    try:
        read = bundle.read(settings.bundle)
    except UrgencyRouterError as error:
        yield failed(BUNDLE, error)
        yield from (skip(check, "there is no bundle to look at") for check in (ROUTES, DEVICE, GOLDEN))
        return
    yield ok(BUNDLE, _named(read))
    yield _routes(read.manifest.labels, settings)
    if settings.check_model:
        yield from _golden(read, settings)
    else:
        yield from (skip(check, "--no-check-model") for check in (DEVICE, GOLDEN))


def _named(read: bundle.Bundle) -> str:
    manifest = read.manifest
    return f"{manifest.name} {manifest.version}, whole, for {', '.join(sorted(manifest.variants))}"


def _shadow(directory: Path, settings: DoctorSettings) -> Finding:
    try:
        read = bundle.read(directory)
        Routing.build(read.manifest.labels, settings.routes, settings.weights)
    except UrgencyRouterError as error:
        return failed(SHADOW, error)
    return ok(SHADOW, _named(read))


def _routes(labels: tuple[str, ...], settings: DoctorSettings) -> Finding:
    try:
        routing = Routing.build(labels, settings.routes, settings.weights)
    except UrgencyRouterError as error:
        return failed(ROUTES, error)
    return ok(ROUTES, f"{', '.join(routing.urgencies)}, each label in one")


def _golden(read: bundle.Bundle, settings: DoctorSettings) -> Iterator[Finding]:
    try:
        classifier = Classifier(
            read,
            device=settings.device,
            precision=settings.precision,
            token_budget=settings.micro_batch_tokens,
            threads=settings.threads,
            gpu_memory=int(settings.gpu_memory_gb * 1e9),
        )
    except UrgencyRouterError as error:
        yield failed(DEVICE, error)
        yield skip(GOLDEN, "there is no device to run them on")
        return
    reason, _, _ = classifier.device_reason.partition("; ")
    yield ok(DEVICE, f"{classifier.device} in {classifier.precision}: {reason}")
    try:
        classifier.prove()
    except UrgencyRouterError as error:
        yield failed(GOLDEN, error)
    else:
        yield ok(
            GOLDEN, f"all {len(read.golden)} come out as the bundle says, {classifier.rate:,.0f} a second"
        )
