"""The custom resources that are used, by the fields that KEDA and the Prometheus operator document.

Only what the manifests use is here, and nothing else is taken: a field that is misspelt, missing or of
another type is an error.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Documented(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Labels = dict[str, Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?$")]]
Duration = Annotated[str, Field(pattern=r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$", min_length=2)]
# KEDA's metadata are a map of strings, whatever they mean.
Switch = Literal["true", "false"]
Digits = Annotated[str, Field(pattern=r"^[0-9]+$")]
Positive = Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]


class Metadata(_Documented):
    """What any object is called."""

    name: Name
    namespace: Name | None = None
    labels: Labels = {}


class Selector(_Documented):
    """Which pods."""

    matchLabels: Labels  # noqa: N815


class Policy(_Documented):
    """How far a HorizontalPodAutoscaler may go at once (autoscaling/v2)."""

    type: Literal["Pods", "Percent"]
    value: Annotated[int, Field(gt=0)]
    periodSeconds: Annotated[int, Field(gt=0, le=1800)]  # noqa: N815


class Rules(_Documented):
    """How a HorizontalPodAutoscaler scales in one direction (autoscaling/v2)."""

    stabilizationWindowSeconds: Annotated[int, Field(ge=0, le=3600)]  # noqa: N815
    policies: Annotated[list[Policy], Field(min_length=1)]


class Behavior(_Documented):
    """Both directions."""

    scaleUp: Rules  # noqa: N815
    scaleDown: Rules  # noqa: N815


class AutoscalerConfig(_Documented):
    """spec.advanced.horizontalPodAutoscalerConfig."""

    behavior: Behavior


class Advanced(_Documented):
    """spec.advanced."""

    horizontalPodAutoscalerConfig: AutoscalerConfig  # noqa: N815


class ScaleTarget(_Documented):
    """spec.scaleTargetRef."""

    apiVersion: str  # noqa: N815
    kind: str
    name: Name
    envSourceContainerName: Name  # noqa: N815


class KafkaMetadata(_Documented):
    """What the trigger `kafka` takes; NAMEFromEnv is read from the target's environment."""

    bootstrapServersFromEnv: str  # noqa: N815
    consumerGroupFromEnv: str  # noqa: N815
    topicFromEnv: str  # noqa: N815
    lagThreshold: Positive  # noqa: N815
    activationLagThreshold: Digits  # noqa: N815
    offsetResetPolicy: Literal["latest", "earliest"]  # noqa: N815
    ensureEvenDistributionOfPartitions: Switch  # noqa: N815
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    sasl: Literal["plaintext", "scram_sha256", "scram_sha512"] | None = None
    tls: Literal["enable", "disable"] | None = None


class Reference(_Documented):
    """An object of the same namespace."""

    name: Name


class Trigger(_Documented):
    """One of spec.triggers."""

    type: Literal["kafka"]
    metadata: KafkaMetadata
    authenticationRef: Reference | None = None  # noqa: N815


class ScaledObjectSpec(_Documented):
    """How a ScaledObject scales what."""

    scaleTargetRef: ScaleTarget  # noqa: N815
    minReplicaCount: Annotated[int, Field(ge=0)]  # noqa: N815
    maxReplicaCount: Annotated[int, Field(gt=0)]  # noqa: N815
    advanced: Advanced
    triggers: Annotated[list[Trigger], Field(min_length=1)]


class ScaledObject(_Documented):
    """keda.sh/v1alpha1."""

    apiVersion: Literal["keda.sh/v1alpha1"]  # noqa: N815
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: ScaledObjectSpec


class FromEnvironment(_Documented):
    """A parameter of the trigger that is a variable of the target's."""

    parameter: Literal["username"]
    name: str
    containerName: Name  # noqa: N815


class FromSecret(_Documented):
    """A parameter of the trigger that is a key of a Secret."""

    parameter: Literal["password", "ca", "cert", "key"]
    name: Name
    key: str


class TriggerAuthenticationSpec(_Documented):
    """Where the trigger's credentials are."""

    env: list[FromEnvironment] = []
    secretTargetRef: Annotated[list[FromSecret], Field(min_length=1)]  # noqa: N815


class TriggerAuthentication(_Documented):
    """keda.sh/v1alpha1."""

    apiVersion: Literal["keda.sh/v1alpha1"]  # noqa: N815
    kind: Literal["TriggerAuthentication"]
    metadata: Metadata
    spec: TriggerAuthenticationSpec


class PodMetricsEndpoint(_Documented):
    """One of spec.podMetricsEndpoints."""

    port: Name
    path: Annotated[str, Field(pattern=r"^/")]
    interval: Duration
    scrapeTimeout: Duration  # noqa: N815


class PodMonitorSpec(_Documented):
    """Which pods are scraped, and how."""

    jobLabel: str  # noqa: N815
    selector: Selector
    podMetricsEndpoints: Annotated[list[PodMetricsEndpoint], Field(min_length=1)]  # noqa: N815


class PodMonitor(_Documented):
    """monitoring.coreos.com/v1."""

    apiVersion: Literal["monitoring.coreos.com/v1"]  # noqa: N815
    kind: Literal["PodMonitor"]
    metadata: Metadata
    spec: PodMonitorSpec


CUSTOM: TypeAdapter[ScaledObject | TriggerAuthentication | PodMonitor] = TypeAdapter(
    Annotated[ScaledObject | TriggerAuthentication | PodMonitor, Field(discriminator="kind")]
)
KINDS = ("ScaledObject", "TriggerAuthentication", "PodMonitor")
