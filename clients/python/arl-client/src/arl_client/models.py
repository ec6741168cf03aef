"""Models of the custom resources of arl.infra.io/v1alpha1. Generated from crds/ by clients/python/generate."""

from __future__ import annotations
from typing import Annotated, Any, Literal
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel
from typing_extensions import TypeAliasType


class Model(RootModel[Any]):
    root: Any


class ObjectMeta(BaseModel):
    """
    What Kubernetes keeps of every object; other fields are kept as they come.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    generate_name: Annotated[str | None, Field(alias="generateName")] = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: Annotated[str | None, Field(alias="resourceVersion")] = None
    generation: int | None = None
    creation_timestamp: Annotated[
        AwareDatetime | None, Field(alias="creationTimestamp")
    ] = None
    deletion_timestamp: Annotated[
        AwareDatetime | None, Field(alias="deletionTimestamp")
    ] = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: Annotated[
        list[dict[str, Any]] | None, Field(alias="ownerReferences")
    ] = None
    finalizers: list[str] | None = None


class Metadata(BaseModel):
    """
    Labels and annotations of each pod. Keys that begin with arl.infra.io/ belong to arl and are left out. Other metadata, such as namespace or finalizers, is not a part of this schema.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    annotations: dict[str, str | None] | None = None
    """
    Annotations of each object made from the template.
    """
    creation_timestamp: Annotated[
        AwareDatetime | None, Field(alias="creationTimestamp")
    ] = None
    """
    Ignored; many tools write null here.
    """
    labels: dict[str, str | None] | None = None
    """
    Labels of each object made from the template.
    """
    name: str | None = None
    """
    Ignored: each object gets a name of its own.
    """


class MatchExpression(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    key: str
    """
    The label key that the selector applies to.
    """
    operator: str
    """
    Represents a key's relationship to a set of values.
    """
    values: list[str] | None = None
    """
    An array of string values.
    """


class MatchField(MatchExpression):
    pass


class Preference(BaseModel):
    """
    A node selector term, associated with the corresponding weight.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    match_expressions: Annotated[
        list[MatchExpression] | None, Field(alias="matchExpressions")
    ] = None
    """
    A list of node selector requirements by node's labels.
    """
    match_fields: Annotated[list[MatchField] | None, Field(alias="matchFields")] = None
    """
    A list of node selector requirements by node's fields.
    """


class PreferredDuringSchedulingIgnoredDuringExecutionItem(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    preference: Preference
    """
    A node selector term, associated with the corresponding weight.
    """
    weight: int
    """
    Weight associated with matching the corresponding nodeSelectorTerm, in the range 1-100.
    """


class NodeSelectorTerm(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    match_expressions: Annotated[
        list[MatchExpression] | None, Field(alias="matchExpressions")
    ] = None
    """
    A list of node selector requirements by node's labels.
    """
    match_fields: Annotated[list[MatchField] | None, Field(alias="matchFields")] = None
    """
    A list of node selector requirements by node's fields.
    """


class RequiredDuringSchedulingIgnoredDuringExecution(BaseModel):
    """
    If the affinity requirements specified by this field are not met at scheduling time, the pod will not be scheduled onto the node.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    node_selector_terms: Annotated[
        list[NodeSelectorTerm], Field(alias="nodeSelectorTerms")
    ]
    """
    Required.
    """


class NodeAffinity(BaseModel):
    """
    Describes node affinity scheduling rules for the pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[
        list[PreferredDuringSchedulingIgnoredDuringExecutionItem] | None,
        Field(alias="preferredDuringSchedulingIgnoredDuringExecution"),
    ] = None
    """
    The scheduler will prefer to schedule pods to nodes that satisfy the affinity expressions specified by this field, but it may choose a node that violates one or more of the expressions.
    """
    required_during_scheduling_ignored_during_execution: Annotated[
        RequiredDuringSchedulingIgnoredDuringExecution | None,
        Field(alias="requiredDuringSchedulingIgnoredDuringExecution"),
    ] = None
    """
    If the affinity requirements specified by this field are not met at scheduling time, the pod will not be scheduled onto the node.
    """


class MatchExpression2(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    key: str
    """
    key is the label key that the selector applies to.
    """
    operator: str
    """
    operator represents a key's relationship to a set of values.
    """
    values: list[str] | None = None
    """
    values is an array of string values.
    """


class LabelSelector(BaseModel):
    """
    A label query over a set of resources, in this case pods.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    match_expressions: Annotated[
        list[MatchExpression2] | None, Field(alias="matchExpressions")
    ] = None
    """
    matchExpressions is a list of label selector requirements.
    """
    match_labels: Annotated[dict[str, str] | None, Field(alias="matchLabels")] = None
    """
    matchLabels is a map of {key,value} pairs.
    """


class NamespaceSelector(BaseModel):
    """
    A label query over the set of namespaces that the term applies to.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    match_expressions: Annotated[
        list[MatchExpression2] | None, Field(alias="matchExpressions")
    ] = None
    """
    matchExpressions is a list of label selector requirements.
    """
    match_labels: Annotated[dict[str, str] | None, Field(alias="matchLabels")] = None
    """
    matchLabels is a map of {key,value} pairs.
    """


class PodAffinityTerm(BaseModel):
    """
    Required.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    label_selector: Annotated[LabelSelector | None, Field(alias="labelSelector")] = None
    """
    A label query over a set of resources, in this case pods.
    """
    match_label_keys: Annotated[list[str] | None, Field(alias="matchLabelKeys")] = None
    """
    MatchLabelKeys is a set of pod label keys to select which pods will be taken into consideration.
    """
    mismatch_label_keys: Annotated[
        list[str] | None, Field(alias="mismatchLabelKeys")
    ] = None
    """
    MismatchLabelKeys is a set of pod label keys to select which pods will be taken into consideration.
    """
    namespace_selector: Annotated[
        NamespaceSelector | None, Field(alias="namespaceSelector")
    ] = None
    """
    A label query over the set of namespaces that the term applies to.
    """
    namespaces: list[str] | None = None
    """
    namespaces specifies a static list of namespace names that the term applies to.
    """
    topology_key: Annotated[str, Field(alias="topologyKey")]
    """
    This pod should be co-located (affinity) or not co-located (anti-affinity) with the pods matching the labelSelector in the specified namespaces, where co-located is defined as running on a node whose value of the label with key topologyKey matches that of any node on which any of the selected pods is running.
    """


class PreferredDuringSchedulingIgnoredDuringExecutionItem1(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    pod_affinity_term: Annotated[PodAffinityTerm, Field(alias="podAffinityTerm")]
    """
    Required.
    """
    weight: int
    """
    weight associated with matching the corresponding podAffinityTerm, in the range 1-100.
    """


class LabelSelector1(LabelSelector):
    """
    A label query over a set of resources, in this case pods.
    """


class NamespaceSelector1(NamespaceSelector):
    """
    A label query over the set of namespaces that the term applies to.
    """


class RequiredDuringSchedulingIgnoredDuringExecutionItem(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    label_selector: Annotated[LabelSelector1 | None, Field(alias="labelSelector")] = (
        None
    )
    """
    A label query over a set of resources, in this case pods.
    """
    match_label_keys: Annotated[list[str] | None, Field(alias="matchLabelKeys")] = None
    """
    MatchLabelKeys is a set of pod label keys to select which pods will be taken into consideration.
    """
    mismatch_label_keys: Annotated[
        list[str] | None, Field(alias="mismatchLabelKeys")
    ] = None
    """
    MismatchLabelKeys is a set of pod label keys to select which pods will be taken into consideration.
    """
    namespace_selector: Annotated[
        NamespaceSelector1 | None, Field(alias="namespaceSelector")
    ] = None
    """
    A label query over the set of namespaces that the term applies to.
    """
    namespaces: list[str] | None = None
    """
    namespaces specifies a static list of namespace names that the term applies to.
    """
    topology_key: Annotated[str, Field(alias="topologyKey")]
    """
    This pod should be co-located (affinity) or not co-located (anti-affinity) with the pods matching the labelSelector in the specified namespaces, where co-located is defined as running on a node whose value of the label with key topologyKey matches that of any node on which any of the selected pods is running.
    """


class PodAffinity(BaseModel):
    """
    Describes pod affinity scheduling rules (e.g. co-locate this pod in the same node, zone, etc. as some other pod(s)).
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[
        list[PreferredDuringSchedulingIgnoredDuringExecutionItem1] | None,
        Field(alias="preferredDuringSchedulingIgnoredDuringExecution"),
    ] = None
    """
    The scheduler will prefer to schedule pods to nodes that satisfy the affinity expressions specified by this field, but it may choose a node that violates one or more of the expressions.
    """
    required_during_scheduling_ignored_during_execution: Annotated[
        list[RequiredDuringSchedulingIgnoredDuringExecutionItem] | None,
        Field(alias="requiredDuringSchedulingIgnoredDuringExecution"),
    ] = None
    """
    If the affinity requirements specified by this field are not met at scheduling time, the pod will not be scheduled onto the node.
    """


class LabelSelector2(LabelSelector):
    """
    A label query over a set of resources, in this case pods.
    """


class NamespaceSelector2(NamespaceSelector):
    """
    A label query over the set of namespaces that the term applies to.
    """


class PodAffinityTerm1(BaseModel):
    """
    Required.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    label_selector: Annotated[LabelSelector2 | None, Field(alias="labelSelector")] = (
        None
    )
    """
    A label query over a set of resources, in this case pods.
    """
    match_label_keys: Annotated[list[str] | None, Field(alias="matchLabelKeys")] = None
    """
    MatchLabelKeys is a set of pod label keys to select which pods will be taken into consideration.
    """
    mismatch_label_keys: Annotated[
        list[str] | None, Field(alias="mismatchLabelKeys")
    ] = None
    """
    MismatchLabelKeys is a set of pod label keys to select which pods will be taken into consideration.
    """
    namespace_selector: Annotated[
        NamespaceSelector2 | None, Field(alias="namespaceSelector")
    ] = None
    """
    A label query over the set of namespaces that the term applies to.
    """
    namespaces: list[str] | None = None
    """
    namespaces specifies a static list of namespace names that the term applies to.
    """
    topology_key: Annotated[str, Field(alias="topologyKey")]
    """
    This pod should be co-located (affinity) or not co-located (anti-affinity) with the pods matching the labelSelector in the specified namespaces, where co-located is defined as running on a node whose value of the label with key topologyKey matches that of any node on which any of the selected pods is running.
    """


class PreferredDuringSchedulingIgnoredDuringExecutionItem2(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    pod_affinity_term: Annotated[PodAffinityTerm1, Field(alias="podAffinityTerm")]
    """
    Required.
    """
    weight: int
    """
    weight associated with matching the corresponding podAffinityTerm, in the range 1-100.
    """


class LabelSelector3(LabelSelector):
    """
    A label query over a set of resources, in this case pods.
    """


class NamespaceSelector3(NamespaceSelector):
    """
    A label query over the set of namespaces that the term applies to.
    """


class RequiredDuringSchedulingIgnoredDuringExecutionItem1(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    label_selector: Annotated[LabelSelector3 | None, Field(alias="labelSelector")] = (
        None
    )
    """
    A label query over a set of resources, in this case pods.
    """
    match_label_keys: Annotated[list[str] | None, Field(alias="matchLabelKeys")] = None
    """
    MatchLabelKeys is a set of pod label keys to select which pods will be taken into consideration.
    """
    mismatch_label_keys: Annotated[
        list[str] | None, Field(alias="mismatchLabelKeys")
    ] = None
    """
    MismatchLabelKeys is a set of pod label keys to select which pods will be taken into consideration.
    """
    namespace_selector: Annotated[
        NamespaceSelector3 | None, Field(alias="namespaceSelector")
    ] = None
    """
    A label query over the set of namespaces that the term applies to.
    """
    namespaces: list[str] | None = None
    """
    namespaces specifies a static list of namespace names that the term applies to.
    """
    topology_key: Annotated[str, Field(alias="topologyKey")]
    """
    This pod should be co-located (affinity) or not co-located (anti-affinity) with the pods matching the labelSelector in the specified namespaces, where co-located is defined as running on a node whose value of the label with key topologyKey matches that of any node on which any of the selected pods is running.
    """


class PodAntiAffinity(BaseModel):
    """
    Describes pod anti-affinity scheduling rules (e.g. avoid putting this pod in the same node, zone, etc. as some other pod(s)).
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[
        list[PreferredDuringSchedulingIgnoredDuringExecutionItem2] | None,
        Field(alias="preferredDuringSchedulingIgnoredDuringExecution"),
    ] = None
    """
    The scheduler will prefer to schedule pods to nodes that satisfy the anti-affinity expressions specified by this field, but it may choose a node that violates one or more of the expressions.
    """
    required_during_scheduling_ignored_during_execution: Annotated[
        list[RequiredDuringSchedulingIgnoredDuringExecutionItem1] | None,
        Field(alias="requiredDuringSchedulingIgnoredDuringExecution"),
    ] = None
    """
    If the anti-affinity requirements specified by this field are not met at scheduling time, the pod will not be scheduled onto the node.
    """


class Affinity(BaseModel):
    """
    If specified, the pod's scheduling constraints
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    node_affinity: Annotated[NodeAffinity | None, Field(alias="nodeAffinity")] = None
    """
    Describes node affinity scheduling rules for the pod.
    """
    pod_affinity: Annotated[PodAffinity | None, Field(alias="podAffinity")] = None
    """
    Describes pod affinity scheduling rules (e.g. co-locate this pod in the same node, zone, etc. as some other pod(s)).
    """
    pod_anti_affinity: Annotated[
        PodAntiAffinity | None, Field(alias="podAntiAffinity")
    ] = None
    """
    Describes pod anti-affinity scheduling rules (e.g. avoid putting this pod in the same node, zone, etc. as some other pod(s)).
    """


class ConfigMapKeyRef(BaseModel):
    """
    Selects a key of a ConfigMap.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    key: str
    """
    The key to select.
    """
    name: str | None = None
    """
    Name of the referent.
    """
    optional: bool | None = None
    """
    Specify whether the ConfigMap or its key must be defined
    """


class FieldRef(BaseModel):
    """
    Selects a field of the pod: supports metadata.name, metadata.namespace, `metadata.labels['<KEY>']`, `metadata.annotations['<KEY>']`, spec.nodeName, spec.serviceAccountName, status.hostIP, status.podIP, status.podIPs.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    api_version: Annotated[str | None, Field(alias="apiVersion")] = None
    """
    Version of the schema the FieldPath is written in terms of, defaults to "v1".
    """
    field_path: Annotated[str, Field(alias="fieldPath")]
    """
    Path of the field to select in the specified API version.
    """


class ResourceFieldRef(BaseModel):
    """
    Selects a resource of the container: only resources limits and requests (limits.cpu, limits.memory, limits.ephemeral-storage, requests.cpu, requests.memory and requests.ephemeral-storage) are currently supported.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    container_name: Annotated[str | None, Field(alias="containerName")] = None
    """
    Container name: required for volumes, optional for env vars
    """
    divisor: Any | None = None
    """
    Specifies the output format of the exposed resources, defaults to "1"
    """
    resource: str
    """
    Required: resource to select
    """


class SecretKeyRef(BaseModel):
    """
    Selects a key of a secret in the pod's namespace
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    key: str
    """
    The key of the secret to select from.
    """
    name: str | None = None
    """
    Name of the referent.
    """
    optional: bool | None = None
    """
    Specify whether the Secret or its key must be defined
    """


class ValueFrom(BaseModel):
    """
    Source for the environment variable's value.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    config_map_key_ref: Annotated[
        ConfigMapKeyRef | None, Field(alias="configMapKeyRef")
    ] = None
    """
    Selects a key of a ConfigMap.
    """
    field_ref: Annotated[FieldRef | None, Field(alias="fieldRef")] = None
    """
    Selects a field of the pod: supports metadata.name, metadata.namespace, `metadata.labels['<KEY>']`, `metadata.annotations['<KEY>']`, spec.nodeName, spec.serviceAccountName, status.hostIP, status.podIP, status.podIPs.
    """
    resource_field_ref: Annotated[
        ResourceFieldRef | None, Field(alias="resourceFieldRef")
    ] = None
    """
    Selects a resource of the container: only resources limits and requests (limits.cpu, limits.memory, limits.ephemeral-storage, requests.cpu, requests.memory and requests.ephemeral-storage) are currently supported.
    """
    secret_key_ref: Annotated[SecretKeyRef | None, Field(alias="secretKeyRef")] = None
    """
    Selects a key of a secret in the pod's namespace
    """


class EnvItem(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str
    """
    Name of the environment variable.
    """
    value: str | None = None
    """
    Variable references $(VAR_NAME) are expanded using the previously defined environment variables in the container and any service environment variables.
    """
    value_from: Annotated[ValueFrom | None, Field(alias="valueFrom")] = None
    """
    Source for the environment variable's value.
    """


class ConfigMapRef(BaseModel):
    """
    The ConfigMap to select from
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """
    optional: bool | None = None
    """
    Specify whether the ConfigMap must be defined
    """


class SecretRef(BaseModel):
    """
    The Secret to select from
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """
    optional: bool | None = None
    """
    Specify whether the Secret must be defined
    """


class EnvFromItem(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    config_map_ref: Annotated[ConfigMapRef | None, Field(alias="configMapRef")] = None
    """
    The ConfigMap to select from
    """
    prefix: str | None = None
    """
    Optional text to prepend to the name of each environment variable.
    """
    secret_ref: Annotated[SecretRef | None, Field(alias="secretRef")] = None
    """
    The Secret to select from
    """


class Exec(BaseModel):
    """
    Exec specifies a command to execute in the container.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    command: list[str] | None = None
    """
    Command is the command line to execute inside the container, the working directory for the command is root ('/') in the container's filesystem.
    """


class HttpHeader(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str
    """
    The header field name.
    """
    value: str
    """
    The header field value
    """


class HttpGet(BaseModel):
    """
    HTTPGet specifies an HTTP GET request to perform.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    host: str | None = None
    """
    Host name to connect to, defaults to the pod IP.
    """
    http_headers: Annotated[list[HttpHeader] | None, Field(alias="httpHeaders")] = None
    """
    Custom headers to set in the request.
    """
    path: str | None = None
    """
    Path to access on the HTTP server.
    """
    port: int | str
    """
    Name or number of the port to access on the container.
    """
    scheme: str | None = None
    """
    Scheme to use for connecting to the host.
    """


class Sleep(BaseModel):
    """
    Sleep represents a duration that the container should sleep.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    seconds: int
    """
    Seconds is the number of seconds to sleep.
    """


class TcpSocket(BaseModel):
    """
    Deprecated.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    host: str | None = None
    """
    Optional: Host name to connect to, defaults to the pod IP.
    """
    port: int | str
    """
    Number or name of the port to access on the container.
    """


class PostStart(BaseModel):
    """
    PostStart is called immediately after a container is created.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    exec: Exec | None = None
    """
    Exec specifies a command to execute in the container.
    """
    http_get: Annotated[HttpGet | None, Field(alias="httpGet")] = None
    """
    HTTPGet specifies an HTTP GET request to perform.
    """
    sleep: Sleep | None = None
    """
    Sleep represents a duration that the container should sleep.
    """
    tcp_socket: Annotated[TcpSocket | None, Field(alias="tcpSocket")] = None
    """
    Deprecated.
    """


class HttpGet1(HttpGet):
    """
    HTTPGet specifies an HTTP GET request to perform.
    """


class PreStop(BaseModel):
    """
    PreStop is called immediately before a container is terminated due to an API request or management event such as liveness/startup probe failure, preemption, resource contention, etc.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    exec: Exec | None = None
    """
    Exec specifies a command to execute in the container.
    """
    http_get: Annotated[HttpGet1 | None, Field(alias="httpGet")] = None
    """
    HTTPGet specifies an HTTP GET request to perform.
    """
    sleep: Sleep | None = None
    """
    Sleep represents a duration that the container should sleep.
    """
    tcp_socket: Annotated[TcpSocket | None, Field(alias="tcpSocket")] = None
    """
    Deprecated.
    """


class Lifecycle(BaseModel):
    """
    Actions that the management system should take in response to container lifecycle events.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    post_start: Annotated[PostStart | None, Field(alias="postStart")] = None
    """
    PostStart is called immediately after a container is created.
    """
    pre_stop: Annotated[PreStop | None, Field(alias="preStop")] = None
    """
    PreStop is called immediately before a container is terminated due to an API request or management event such as liveness/startup probe failure, preemption, resource contention, etc.
    """
    stop_signal: Annotated[str | None, Field(alias="stopSignal")] = None
    """
    StopSignal defines which signal will be sent to a container when it is being stopped.
    """


class Grpc(BaseModel):
    """
    GRPC specifies a GRPC HealthCheckRequest.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    port: int
    """
    Port number of the gRPC service.
    """
    service: str | None = None
    """
    Service is the name of the service to place in the gRPC HealthCheckRequest (see https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
    """


class HttpGet2(HttpGet):
    """
    HTTPGet specifies an HTTP GET request to perform.
    """


class TcpSocket2(BaseModel):
    """
    TCPSocket specifies a connection to a TCP port.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    host: str | None = None
    """
    Optional: Host name to connect to, defaults to the pod IP.
    """
    port: int | str
    """
    Number or name of the port to access on the container.
    """


class LivenessProbe(BaseModel):
    """
    Periodic probe of container liveness.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    exec: Exec | None = None
    """
    Exec specifies a command to execute in the container.
    """
    failure_threshold: Annotated[int | None, Field(alias="failureThreshold")] = None
    """
    Minimum consecutive failures for the probe to be considered failed after having succeeded.
    """
    grpc: Grpc | None = None
    """
    GRPC specifies a GRPC HealthCheckRequest.
    """
    http_get: Annotated[HttpGet2 | None, Field(alias="httpGet")] = None
    """
    HTTPGet specifies an HTTP GET request to perform.
    """
    initial_delay_seconds: Annotated[int | None, Field(alias="initialDelaySeconds")] = (
        None
    )
    """
    Number of seconds after the container has started before liveness probes are initiated.
    """
    period_seconds: Annotated[int | None, Field(alias="periodSeconds")] = None
    """
    How often (in seconds) to perform the probe.
    """
    success_threshold: Annotated[int | None, Field(alias="successThreshold")] = None
    """
    Minimum consecutive successes for the probe to be considered successful after having failed.
    """
    tcp_socket: Annotated[TcpSocket2 | None, Field(alias="tcpSocket")] = None
    """
    TCPSocket specifies a connection to a TCP port.
    """
    termination_grace_period_seconds: Annotated[
        int | None, Field(alias="terminationGracePeriodSeconds")
    ] = None
    """
    Optional duration in seconds the pod needs to terminate gracefully upon probe failure.
    """
    timeout_seconds: Annotated[int | None, Field(alias="timeoutSeconds")] = None
    """
    Number of seconds after which the probe times out.
    """


class Port(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    container_port: Annotated[int, Field(alias="containerPort")]
    """
    Number of port to expose on the pod's IP address.
    """
    host_ip: Annotated[str | None, Field(alias="hostIP")] = None
    """
    What host IP to bind the external port to.
    """
    host_port: Annotated[int | None, Field(alias="hostPort")] = None
    """
    Number of port to expose on the host.
    """
    name: str | None = None
    """
    If specified, this must be an IANA_SVC_NAME and unique within the pod.
    """
    protocol: str | None = None
    """
    Protocol for port.
    """


class HttpGet3(HttpGet):
    """
    HTTPGet specifies an HTTP GET request to perform.
    """


class ReadinessProbe(BaseModel):
    """
    Periodic probe of container service readiness.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    exec: Exec | None = None
    """
    Exec specifies a command to execute in the container.
    """
    failure_threshold: Annotated[int | None, Field(alias="failureThreshold")] = None
    """
    Minimum consecutive failures for the probe to be considered failed after having succeeded.
    """
    grpc: Grpc | None = None
    """
    GRPC specifies a GRPC HealthCheckRequest.
    """
    http_get: Annotated[HttpGet3 | None, Field(alias="httpGet")] = None
    """
    HTTPGet specifies an HTTP GET request to perform.
    """
    initial_delay_seconds: Annotated[int | None, Field(alias="initialDelaySeconds")] = (
        None
    )
    """
    Number of seconds after the container has started before liveness probes are initiated.
    """
    period_seconds: Annotated[int | None, Field(alias="periodSeconds")] = None
    """
    How often (in seconds) to perform the probe.
    """
    success_threshold: Annotated[int | None, Field(alias="successThreshold")] = None
    """
    Minimum consecutive successes for the probe to be considered successful after having failed.
    """
    tcp_socket: Annotated[TcpSocket2 | None, Field(alias="tcpSocket")] = None
    """
    TCPSocket specifies a connection to a TCP port.
    """
    termination_grace_period_seconds: Annotated[
        int | None, Field(alias="terminationGracePeriodSeconds")
    ] = None
    """
    Optional duration in seconds the pod needs to terminate gracefully upon probe failure.
    """
    timeout_seconds: Annotated[int | None, Field(alias="timeoutSeconds")] = None
    """
    Number of seconds after which the probe times out.
    """


class ResizePolicyItem(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    resource_name: Annotated[str, Field(alias="resourceName")]
    """
    Name of the resource to which this resource resize policy applies.
    """
    restart_policy: Annotated[str, Field(alias="restartPolicy")]
    """
    Restart policy to apply when specified resource is resized.
    """


class Claim(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str
    """
    Name must match the name of one entry in pod.spec.resourceClaims of the Pod where this field is used.
    """
    request: str | None = None
    """
    Request is the name chosen for a request in the referenced claim.
    """


class Resources(BaseModel):
    """
    Compute Resources required by this container.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    claims: list[Claim] | None = None
    """
    Claims lists the names of resources, defined in spec.resourceClaims, that are used by this container.
    """
    limits: dict[str, Any] | None = None
    """
    Limits describes the maximum amount of compute resources allowed.
    """
    requests: dict[str, Any] | None = None
    """
    Requests describes the minimum amount of compute resources required.
    """


class AppArmorProfile(BaseModel):
    """
    appArmorProfile is the AppArmor options to use by this container.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    localhost_profile: Annotated[str | None, Field(alias="localhostProfile")] = None
    """
    localhostProfile indicates a profile loaded on the node that should be used.
    """
    type: str
    """
    type indicates which kind of AppArmor profile will be applied.
    """


class Capabilities(BaseModel):
    """
    The capabilities to add/drop when running containers.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    add: list[str] | None = None
    """
    Added capabilities
    """
    drop: list[str] | None = None
    """
    Removed capabilities
    """


class SeLinuxOptions(BaseModel):
    """
    The SELinux context to be applied to the container.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    level: str | None = None
    """
    Level is SELinux level label that applies to the container.
    """
    role: str | None = None
    """
    Role is a SELinux role label that applies to the container.
    """
    type: str | None = None
    """
    Type is a SELinux type label that applies to the container.
    """
    user: str | None = None
    """
    User is a SELinux user label that applies to the container.
    """


class SeccompProfile(BaseModel):
    """
    The seccomp options to use by this container.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    localhost_profile: Annotated[str | None, Field(alias="localhostProfile")] = None
    """
    localhostProfile indicates a profile defined in a file on the node should be used.
    """
    type: str
    """
    type indicates which kind of seccomp profile will be applied.
    """


class WindowsOptions(BaseModel):
    """
    The Windows specific settings applied to all containers.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    gmsa_credential_spec: Annotated[str | None, Field(alias="gmsaCredentialSpec")] = (
        None
    )
    """
    GMSACredentialSpec is where the GMSA admission webhook (https://github.com/kubernetes-sigs/windows-gmsa) inlines the contents of the GMSA credential spec named by the GMSACredentialSpecName field.
    """
    gmsa_credential_spec_name: Annotated[
        str | None, Field(alias="gmsaCredentialSpecName")
    ] = None
    """
    GMSACredentialSpecName is the name of the GMSA credential spec to use.
    """
    host_process: Annotated[bool | None, Field(alias="hostProcess")] = None
    """
    HostProcess determines if a container should be run as a 'Host Process' container.
    """
    run_as_user_name: Annotated[str | None, Field(alias="runAsUserName")] = None
    """
    The UserName in Windows to run the entrypoint of the container process.
    """


class SecurityContext(BaseModel):
    """
    SecurityContext defines the security options the container should be run with.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    allow_privilege_escalation: Annotated[
        bool | None, Field(alias="allowPrivilegeEscalation")
    ] = None
    """
    AllowPrivilegeEscalation controls whether a process can gain more privileges than its parent process.
    """
    app_armor_profile: Annotated[
        AppArmorProfile | None, Field(alias="appArmorProfile")
    ] = None
    """
    appArmorProfile is the AppArmor options to use by this container.
    """
    capabilities: Capabilities | None = None
    """
    The capabilities to add/drop when running containers.
    """
    privileged: bool | None = None
    """
    Run container in privileged mode.
    """
    proc_mount: Annotated[str | None, Field(alias="procMount")] = None
    """
    procMount denotes the type of proc mount to use for the containers.
    """
    read_only_root_filesystem: Annotated[
        bool | None, Field(alias="readOnlyRootFilesystem")
    ] = None
    """
    Whether this container has a read-only root filesystem.
    """
    run_as_group: Annotated[int | None, Field(alias="runAsGroup")] = None
    """
    The GID to run the entrypoint of the container process.
    """
    run_as_non_root: Annotated[bool | None, Field(alias="runAsNonRoot")] = None
    """
    Indicates that the container must run as a non-root user.
    """
    run_as_user: Annotated[int | None, Field(alias="runAsUser")] = None
    """
    The UID to run the entrypoint of the container process.
    """
    se_linux_options: Annotated[
        SeLinuxOptions | None, Field(alias="seLinuxOptions")
    ] = None
    """
    The SELinux context to be applied to the container.
    """
    seccomp_profile: Annotated[SeccompProfile | None, Field(alias="seccompProfile")] = (
        None
    )
    """
    The seccomp options to use by this container.
    """
    windows_options: Annotated[WindowsOptions | None, Field(alias="windowsOptions")] = (
        None
    )
    """
    The Windows specific settings applied to all containers.
    """


class HttpGet4(HttpGet):
    """
    HTTPGet specifies an HTTP GET request to perform.
    """


class StartupProbe(BaseModel):
    """
    StartupProbe indicates that the Pod has successfully initialized.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    exec: Exec | None = None
    """
    Exec specifies a command to execute in the container.
    """
    failure_threshold: Annotated[int | None, Field(alias="failureThreshold")] = None
    """
    Minimum consecutive failures for the probe to be considered failed after having succeeded.
    """
    grpc: Grpc | None = None
    """
    GRPC specifies a GRPC HealthCheckRequest.
    """
    http_get: Annotated[HttpGet4 | None, Field(alias="httpGet")] = None
    """
    HTTPGet specifies an HTTP GET request to perform.
    """
    initial_delay_seconds: Annotated[int | None, Field(alias="initialDelaySeconds")] = (
        None
    )
    """
    Number of seconds after the container has started before liveness probes are initiated.
    """
    period_seconds: Annotated[int | None, Field(alias="periodSeconds")] = None
    """
    How often (in seconds) to perform the probe.
    """
    success_threshold: Annotated[int | None, Field(alias="successThreshold")] = None
    """
    Minimum consecutive successes for the probe to be considered successful after having failed.
    """
    tcp_socket: Annotated[TcpSocket2 | None, Field(alias="tcpSocket")] = None
    """
    TCPSocket specifies a connection to a TCP port.
    """
    termination_grace_period_seconds: Annotated[
        int | None, Field(alias="terminationGracePeriodSeconds")
    ] = None
    """
    Optional duration in seconds the pod needs to terminate gracefully upon probe failure.
    """
    timeout_seconds: Annotated[int | None, Field(alias="timeoutSeconds")] = None
    """
    Number of seconds after which the probe times out.
    """


class VolumeDevice(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    device_path: Annotated[str, Field(alias="devicePath")]
    """
    devicePath is the path inside of the container that the device will be mapped to.
    """
    name: str
    """
    name must match the name of a persistentVolumeClaim in the pod
    """


class VolumeMount(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    mount_path: Annotated[str, Field(alias="mountPath")]
    """
    Path within the container at which the volume should be mounted.
    """
    mount_propagation: Annotated[str | None, Field(alias="mountPropagation")] = None
    """
    mountPropagation determines how mounts are propagated from the host to container and the other way around.
    """
    name: str
    """
    This must match the Name of a Volume.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    Mounted read-only if true, read-write otherwise (false or unspecified).
    """
    recursive_read_only: Annotated[str | None, Field(alias="recursiveReadOnly")] = None
    """
    RecursiveReadOnly specifies whether read-only mounts should be handled recursively.
    """
    sub_path: Annotated[str | None, Field(alias="subPath")] = None
    """
    Path within the volume from which the container's volume should be mounted.
    """
    sub_path_expr: Annotated[str | None, Field(alias="subPathExpr")] = None
    """
    Expanded path within the volume from which the container's volume should be mounted.
    """


class Container(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    args: list[str] | None = None
    """
    Arguments to the entrypoint.
    """
    command: list[str] | None = None
    """
    Entrypoint array.
    """
    env: list[EnvItem] | None = None
    """
    List of environment variables to set in the container.
    """
    env_from: Annotated[list[EnvFromItem] | None, Field(alias="envFrom")] = None
    """
    List of sources to populate environment variables in the container.
    """
    image: str | None = None
    """
    Container image name.
    """
    image_pull_policy: Annotated[str | None, Field(alias="imagePullPolicy")] = None
    """
    Image pull policy.
    """
    lifecycle: Lifecycle | None = None
    """
    Actions that the management system should take in response to container lifecycle events.
    """
    liveness_probe: Annotated[LivenessProbe | None, Field(alias="livenessProbe")] = None
    """
    Periodic probe of container liveness.
    """
    name: Annotated[
        str, Field(max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    ]
    """
    Name of the container specified as a DNS_LABEL.
    """
    ports: list[Port] | None = None
    """
    List of ports to expose from the container.
    """
    readiness_probe: Annotated[ReadinessProbe | None, Field(alias="readinessProbe")] = (
        None
    )
    """
    Periodic probe of container service readiness.
    """
    resize_policy: Annotated[
        list[ResizePolicyItem] | None, Field(alias="resizePolicy")
    ] = None
    """
    Resources resize policy for the container.
    """
    resources: Resources | None = None
    """
    Compute Resources required by this container.
    """
    restart_policy: Annotated[str | None, Field(alias="restartPolicy")] = None
    """
    RestartPolicy defines the restart behavior of individual containers in a pod.
    """
    security_context: Annotated[
        SecurityContext | None, Field(alias="securityContext")
    ] = None
    """
    SecurityContext defines the security options the container should be run with.
    """
    startup_probe: Annotated[StartupProbe | None, Field(alias="startupProbe")] = None
    """
    StartupProbe indicates that the Pod has successfully initialized.
    """
    stdin: bool | None = None
    """
    Whether this container should allocate a buffer for stdin in the container runtime.
    """
    stdin_once: Annotated[bool | None, Field(alias="stdinOnce")] = None
    """
    Whether the container runtime should close the stdin channel after it has been opened by a single attach.
    """
    termination_message_path: Annotated[
        str | None, Field(alias="terminationMessagePath")
    ] = None
    """
    Optional: Path at which the file to which the container's termination message will be written is mounted into the container's filesystem.
    """
    termination_message_policy: Annotated[
        str | None, Field(alias="terminationMessagePolicy")
    ] = None
    """
    Indicate how the termination message should be populated.
    """
    tty: bool | None = None
    """
    Whether this container should allocate a TTY for itself, also requires 'stdin' to be true.
    """
    volume_devices: Annotated[
        list[VolumeDevice] | None, Field(alias="volumeDevices")
    ] = None
    """
    volumeDevices is the list of block devices to be used by the container.
    """
    volume_mounts: Annotated[list[VolumeMount] | None, Field(alias="volumeMounts")] = (
        None
    )
    """
    Pod volumes to mount into the container's filesystem.
    """
    working_dir: Annotated[str | None, Field(alias="workingDir")] = None
    """
    Container's working directory.
    """


class Option(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name is this DNS resolver option's name.
    """
    value: str | None = None
    """
    Value is this DNS resolver option's value.
    """


class DnsConfig(BaseModel):
    """
    Specifies the DNS parameters of a pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    nameservers: list[str] | None = None
    """
    A list of DNS name server IP addresses.
    """
    options: list[Option] | None = None
    """
    A list of DNS resolver options.
    """
    searches: list[str] | None = None
    """
    A list of DNS search domains for host-name lookup.
    """


class HostAliase(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    hostnames: list[str] | None = None
    """
    Hostnames for the above IP address.
    """
    ip: str
    """
    IP address of the host file entry.
    """


class ImagePullSecret(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """


class ValueFrom1(ValueFrom):
    """
    Source for the environment variable's value.
    """


class EnvItem1(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str
    """
    Name of the environment variable.
    """
    value: str | None = None
    """
    Variable references $(VAR_NAME) are expanded using the previously defined environment variables in the container and any service environment variables.
    """
    value_from: Annotated[ValueFrom1 | None, Field(alias="valueFrom")] = None
    """
    Source for the environment variable's value.
    """


class EnvFromItem1(EnvFromItem):
    pass


class HttpGet5(HttpGet):
    """
    HTTPGet specifies an HTTP GET request to perform.
    """


class TcpSocket5(TcpSocket):
    """
    Deprecated.
    """


class PostStart1(BaseModel):
    """
    PostStart is called immediately after a container is created.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    exec: Exec | None = None
    """
    Exec specifies a command to execute in the container.
    """
    http_get: Annotated[HttpGet5 | None, Field(alias="httpGet")] = None
    """
    HTTPGet specifies an HTTP GET request to perform.
    """
    sleep: Sleep | None = None
    """
    Sleep represents a duration that the container should sleep.
    """
    tcp_socket: Annotated[TcpSocket5 | None, Field(alias="tcpSocket")] = None
    """
    Deprecated.
    """


class HttpGet6(HttpGet):
    """
    HTTPGet specifies an HTTP GET request to perform.
    """


class PreStop1(BaseModel):
    """
    PreStop is called immediately before a container is terminated due to an API request or management event such as liveness/startup probe failure, preemption, resource contention, etc.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    exec: Exec | None = None
    """
    Exec specifies a command to execute in the container.
    """
    http_get: Annotated[HttpGet6 | None, Field(alias="httpGet")] = None
    """
    HTTPGet specifies an HTTP GET request to perform.
    """
    sleep: Sleep | None = None
    """
    Sleep represents a duration that the container should sleep.
    """
    tcp_socket: Annotated[TcpSocket5 | None, Field(alias="tcpSocket")] = None
    """
    Deprecated.
    """


class Lifecycle1(BaseModel):
    """
    Actions that the management system should take in response to container lifecycle events.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    post_start: Annotated[PostStart1 | None, Field(alias="postStart")] = None
    """
    PostStart is called immediately after a container is created.
    """
    pre_stop: Annotated[PreStop1 | None, Field(alias="preStop")] = None
    """
    PreStop is called immediately before a container is terminated due to an API request or management event such as liveness/startup probe failure, preemption, resource contention, etc.
    """
    stop_signal: Annotated[str | None, Field(alias="stopSignal")] = None
    """
    StopSignal defines which signal will be sent to a container when it is being stopped.
    """


class HttpGet7(HttpGet):
    """
    HTTPGet specifies an HTTP GET request to perform.
    """


class TcpSocket7(TcpSocket2):
    """
    TCPSocket specifies a connection to a TCP port.
    """


class LivenessProbe1(BaseModel):
    """
    Periodic probe of container liveness.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    exec: Exec | None = None
    """
    Exec specifies a command to execute in the container.
    """
    failure_threshold: Annotated[int | None, Field(alias="failureThreshold")] = None
    """
    Minimum consecutive failures for the probe to be considered failed after having succeeded.
    """
    grpc: Grpc | None = None
    """
    GRPC specifies a GRPC HealthCheckRequest.
    """
    http_get: Annotated[HttpGet7 | None, Field(alias="httpGet")] = None
    """
    HTTPGet specifies an HTTP GET request to perform.
    """
    initial_delay_seconds: Annotated[int | None, Field(alias="initialDelaySeconds")] = (
        None
    )
    """
    Number of seconds after the container has started before liveness probes are initiated.
    """
    period_seconds: Annotated[int | None, Field(alias="periodSeconds")] = None
    """
    How often (in seconds) to perform the probe.
    """
    success_threshold: Annotated[int | None, Field(alias="successThreshold")] = None
    """
    Minimum consecutive successes for the probe to be considered successful after having failed.
    """
    tcp_socket: Annotated[TcpSocket7 | None, Field(alias="tcpSocket")] = None
    """
    TCPSocket specifies a connection to a TCP port.
    """
    termination_grace_period_seconds: Annotated[
        int | None, Field(alias="terminationGracePeriodSeconds")
    ] = None
    """
    Optional duration in seconds the pod needs to terminate gracefully upon probe failure.
    """
    timeout_seconds: Annotated[int | None, Field(alias="timeoutSeconds")] = None
    """
    Number of seconds after which the probe times out.
    """


class HttpGet8(HttpGet):
    """
    HTTPGet specifies an HTTP GET request to perform.
    """


class ReadinessProbe1(BaseModel):
    """
    Periodic probe of container service readiness.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    exec: Exec | None = None
    """
    Exec specifies a command to execute in the container.
    """
    failure_threshold: Annotated[int | None, Field(alias="failureThreshold")] = None
    """
    Minimum consecutive failures for the probe to be considered failed after having succeeded.
    """
    grpc: Grpc | None = None
    """
    GRPC specifies a GRPC HealthCheckRequest.
    """
    http_get: Annotated[HttpGet8 | None, Field(alias="httpGet")] = None
    """
    HTTPGet specifies an HTTP GET request to perform.
    """
    initial_delay_seconds: Annotated[int | None, Field(alias="initialDelaySeconds")] = (
        None
    )
    """
    Number of seconds after the container has started before liveness probes are initiated.
    """
    period_seconds: Annotated[int | None, Field(alias="periodSeconds")] = None
    """
    How often (in seconds) to perform the probe.
    """
    success_threshold: Annotated[int | None, Field(alias="successThreshold")] = None
    """
    Minimum consecutive successes for the probe to be considered successful after having failed.
    """
    tcp_socket: Annotated[TcpSocket7 | None, Field(alias="tcpSocket")] = None
    """
    TCPSocket specifies a connection to a TCP port.
    """
    termination_grace_period_seconds: Annotated[
        int | None, Field(alias="terminationGracePeriodSeconds")
    ] = None
    """
    Optional duration in seconds the pod needs to terminate gracefully upon probe failure.
    """
    timeout_seconds: Annotated[int | None, Field(alias="timeoutSeconds")] = None
    """
    Number of seconds after which the probe times out.
    """


class Resources1(Resources):
    """
    Compute Resources required by this container.
    """


class SecurityContext1(SecurityContext):
    """
    SecurityContext defines the security options the container should be run with.
    """


class HttpGet9(HttpGet):
    """
    HTTPGet specifies an HTTP GET request to perform.
    """


class StartupProbe1(BaseModel):
    """
    StartupProbe indicates that the Pod has successfully initialized.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    exec: Exec | None = None
    """
    Exec specifies a command to execute in the container.
    """
    failure_threshold: Annotated[int | None, Field(alias="failureThreshold")] = None
    """
    Minimum consecutive failures for the probe to be considered failed after having succeeded.
    """
    grpc: Grpc | None = None
    """
    GRPC specifies a GRPC HealthCheckRequest.
    """
    http_get: Annotated[HttpGet9 | None, Field(alias="httpGet")] = None
    """
    HTTPGet specifies an HTTP GET request to perform.
    """
    initial_delay_seconds: Annotated[int | None, Field(alias="initialDelaySeconds")] = (
        None
    )
    """
    Number of seconds after the container has started before liveness probes are initiated.
    """
    period_seconds: Annotated[int | None, Field(alias="periodSeconds")] = None
    """
    How often (in seconds) to perform the probe.
    """
    success_threshold: Annotated[int | None, Field(alias="successThreshold")] = None
    """
    Minimum consecutive successes for the probe to be considered successful after having failed.
    """
    tcp_socket: Annotated[TcpSocket7 | None, Field(alias="tcpSocket")] = None
    """
    TCPSocket specifies a connection to a TCP port.
    """
    termination_grace_period_seconds: Annotated[
        int | None, Field(alias="terminationGracePeriodSeconds")
    ] = None
    """
    Optional duration in seconds the pod needs to terminate gracefully upon probe failure.
    """
    timeout_seconds: Annotated[int | None, Field(alias="timeoutSeconds")] = None
    """
    Number of seconds after which the probe times out.
    """


class InitContainer(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    args: list[str] | None = None
    """
    Arguments to the entrypoint.
    """
    command: list[str] | None = None
    """
    Entrypoint array.
    """
    env: list[EnvItem1] | None = None
    """
    List of environment variables to set in the container.
    """
    env_from: Annotated[list[EnvFromItem1] | None, Field(alias="envFrom")] = None
    """
    List of sources to populate environment variables in the container.
    """
    image: str | None = None
    """
    Container image name.
    """
    image_pull_policy: Annotated[str | None, Field(alias="imagePullPolicy")] = None
    """
    Image pull policy.
    """
    lifecycle: Lifecycle1 | None = None
    """
    Actions that the management system should take in response to container lifecycle events.
    """
    liveness_probe: Annotated[LivenessProbe1 | None, Field(alias="livenessProbe")] = (
        None
    )
    """
    Periodic probe of container liveness.
    """
    name: Annotated[
        str, Field(max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    ]
    """
    Name of the container specified as a DNS_LABEL.
    """
    ports: list[Port] | None = None
    """
    List of ports to expose from the container.
    """
    readiness_probe: Annotated[
        ReadinessProbe1 | None, Field(alias="readinessProbe")
    ] = None
    """
    Periodic probe of container service readiness.
    """
    resize_policy: Annotated[
        list[ResizePolicyItem] | None, Field(alias="resizePolicy")
    ] = None
    """
    Resources resize policy for the container.
    """
    resources: Resources1 | None = None
    """
    Compute Resources required by this container.
    """
    restart_policy: Annotated[str | None, Field(alias="restartPolicy")] = None
    """
    RestartPolicy defines the restart behavior of individual containers in a pod.
    """
    security_context: Annotated[
        SecurityContext1 | None, Field(alias="securityContext")
    ] = None
    """
    SecurityContext defines the security options the container should be run with.
    """
    startup_probe: Annotated[StartupProbe1 | None, Field(alias="startupProbe")] = None
    """
    StartupProbe indicates that the Pod has successfully initialized.
    """
    stdin: bool | None = None
    """
    Whether this container should allocate a buffer for stdin in the container runtime.
    """
    stdin_once: Annotated[bool | None, Field(alias="stdinOnce")] = None
    """
    Whether the container runtime should close the stdin channel after it has been opened by a single attach.
    """
    termination_message_path: Annotated[
        str | None, Field(alias="terminationMessagePath")
    ] = None
    """
    Optional: Path at which the file to which the container's termination message will be written is mounted into the container's filesystem.
    """
    termination_message_policy: Annotated[
        str | None, Field(alias="terminationMessagePolicy")
    ] = None
    """
    Indicate how the termination message should be populated.
    """
    tty: bool | None = None
    """
    Whether this container should allocate a TTY for itself, also requires 'stdin' to be true.
    """
    volume_devices: Annotated[
        list[VolumeDevice] | None, Field(alias="volumeDevices")
    ] = None
    """
    volumeDevices is the list of block devices to be used by the container.
    """
    volume_mounts: Annotated[list[VolumeMount] | None, Field(alias="volumeMounts")] = (
        None
    )
    """
    Pod volumes to mount into the container's filesystem.
    """
    working_dir: Annotated[str | None, Field(alias="workingDir")] = None
    """
    Container's working directory.
    """


class Os(BaseModel):
    """
    Specifies the OS of the containers in the pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str
    """
    Name is the name of the operating system.
    """


class ReadinessGate(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    condition_type: Annotated[str, Field(alias="conditionType")]
    """
    ConditionType refers to a condition in the pod's condition list with matching type.
    """


class ResourceClaim(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str
    """
    Name uniquely identifies this resource claim inside the pod.
    """
    resource_claim_name: Annotated[str | None, Field(alias="resourceClaimName")] = None
    """
    ResourceClaimName is the name of a ResourceClaim object in the same namespace as this pod.
    """
    resource_claim_template_name: Annotated[
        str | None, Field(alias="resourceClaimTemplateName")
    ] = None
    """
    ResourceClaimTemplateName is the name of a ResourceClaimTemplate object in the same namespace as this pod.
    """


class Resources2(BaseModel):
    """
    Resources is the total amount of CPU and Memory resources required by all containers in the pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    claims: list[Claim] | None = None
    """
    Claims lists the names of resources, defined in spec.resourceClaims, that are used by this container.
    """
    limits: dict[str, Any] | None = None
    """
    Limits describes the maximum amount of compute resources allowed.
    """
    requests: dict[str, Any] | None = None
    """
    Requests describes the minimum amount of compute resources required.
    """


class SchedulingGate(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str
    """
    Name of the scheduling gate.
    """


class AppArmorProfile2(BaseModel):
    """
    appArmorProfile is the AppArmor options to use by the containers in this pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    localhost_profile: Annotated[str | None, Field(alias="localhostProfile")] = None
    """
    localhostProfile indicates a profile loaded on the node that should be used.
    """
    type: str
    """
    type indicates which kind of AppArmor profile will be applied.
    """


class SeLinuxOptions2(BaseModel):
    """
    The SELinux context to be applied to all containers.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    level: str | None = None
    """
    Level is SELinux level label that applies to the container.
    """
    role: str | None = None
    """
    Role is a SELinux role label that applies to the container.
    """
    type: str | None = None
    """
    Type is a SELinux type label that applies to the container.
    """
    user: str | None = None
    """
    User is a SELinux user label that applies to the container.
    """


class SeccompProfile2(BaseModel):
    """
    The seccomp options to use by the containers in this pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    localhost_profile: Annotated[str | None, Field(alias="localhostProfile")] = None
    """
    localhostProfile indicates a profile defined in a file on the node should be used.
    """
    type: str
    """
    type indicates which kind of seccomp profile will be applied.
    """


class Sysctl(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str
    """
    Name of a property to set
    """
    value: str
    """
    Value of a property to set
    """


class SecurityContext2(BaseModel):
    """
    SecurityContext holds pod-level security attributes and common container settings.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    app_armor_profile: Annotated[
        AppArmorProfile2 | None, Field(alias="appArmorProfile")
    ] = None
    """
    appArmorProfile is the AppArmor options to use by the containers in this pod.
    """
    fs_group: Annotated[int | None, Field(alias="fsGroup")] = None
    """
    A special supplemental group that applies to all containers in a pod.
    """
    fs_group_change_policy: Annotated[
        str | None, Field(alias="fsGroupChangePolicy")
    ] = None
    """
    fsGroupChangePolicy defines behavior of changing ownership and permission of the volume before being exposed inside Pod.
    """
    run_as_group: Annotated[int | None, Field(alias="runAsGroup")] = None
    """
    The GID to run the entrypoint of the container process.
    """
    run_as_non_root: Annotated[bool | None, Field(alias="runAsNonRoot")] = None
    """
    Indicates that the container must run as a non-root user.
    """
    run_as_user: Annotated[int | None, Field(alias="runAsUser")] = None
    """
    The UID to run the entrypoint of the container process.
    """
    se_linux_change_policy: Annotated[
        str | None, Field(alias="seLinuxChangePolicy")
    ] = None
    """
    seLinuxChangePolicy defines how the container's SELinux label is applied to all volumes used by the Pod.
    """
    se_linux_options: Annotated[
        SeLinuxOptions2 | None, Field(alias="seLinuxOptions")
    ] = None
    """
    The SELinux context to be applied to all containers.
    """
    seccomp_profile: Annotated[
        SeccompProfile2 | None, Field(alias="seccompProfile")
    ] = None
    """
    The seccomp options to use by the containers in this pod.
    """
    supplemental_groups: Annotated[
        list[int] | None, Field(alias="supplementalGroups")
    ] = None
    """
    A list of groups applied to the first process run in each container, in addition to the container's primary GID and fsGroup (if specified).
    """
    supplemental_groups_policy: Annotated[
        str | None, Field(alias="supplementalGroupsPolicy")
    ] = None
    """
    Defines how supplemental groups of the first container processes are calculated.
    """
    sysctls: list[Sysctl] | None = None
    """
    Sysctls hold a list of namespaced sysctls used for the pod.
    """
    windows_options: Annotated[WindowsOptions | None, Field(alias="windowsOptions")] = (
        None
    )
    """
    The Windows specific settings applied to all containers.
    """


class Toleration(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    effect: str | None = None
    """
    Effect indicates the taint effect to match.
    """
    key: str | None = None
    """
    Key is the taint key that the toleration applies to.
    """
    operator: str | None = None
    """
    Operator represents a key's relationship to the value.
    """
    toleration_seconds: Annotated[int | None, Field(alias="tolerationSeconds")] = None
    """
    TolerationSeconds represents the period of time the toleration (which must be of effect NoExecute, otherwise this field is ignored) tolerates the taint.
    """
    value: str | None = None
    """
    Value is the taint value the toleration matches to.
    """


class LabelSelector4(BaseModel):
    """
    LabelSelector is used to find matching pods.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    match_expressions: Annotated[
        list[MatchExpression2] | None, Field(alias="matchExpressions")
    ] = None
    """
    matchExpressions is a list of label selector requirements.
    """
    match_labels: Annotated[dict[str, str] | None, Field(alias="matchLabels")] = None
    """
    matchLabels is a map of {key,value} pairs.
    """


class TopologySpreadConstraint(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    label_selector: Annotated[LabelSelector4 | None, Field(alias="labelSelector")] = (
        None
    )
    """
    LabelSelector is used to find matching pods.
    """
    match_label_keys: Annotated[list[str] | None, Field(alias="matchLabelKeys")] = None
    """
    MatchLabelKeys is a set of pod label keys to select the pods over which spreading will be calculated.
    """
    max_skew: Annotated[int, Field(alias="maxSkew")]
    """
    MaxSkew describes the degree to which pods may be unevenly distributed.
    """
    min_domains: Annotated[int | None, Field(alias="minDomains")] = None
    """
    MinDomains indicates a minimum number of eligible domains.
    """
    node_affinity_policy: Annotated[str | None, Field(alias="nodeAffinityPolicy")] = (
        None
    )
    """
    NodeAffinityPolicy indicates how we will treat Pod's nodeAffinity/nodeSelector when calculating pod topology spread skew.
    """
    node_taints_policy: Annotated[str | None, Field(alias="nodeTaintsPolicy")] = None
    """
    NodeTaintsPolicy indicates how we will treat node taints when calculating pod topology spread skew.
    """
    topology_key: Annotated[str, Field(alias="topologyKey")]
    """
    TopologyKey is the key of node labels.
    """
    when_unsatisfiable: Annotated[str, Field(alias="whenUnsatisfiable")]
    """
    WhenUnsatisfiable indicates how to deal with a pod if it doesn't satisfy the spread constraint. - DoNotSchedule (default) tells the scheduler not to schedule it. - ScheduleAnyway tells the scheduler to schedule the pod in any location, but giving higher precedence to topologies that would help reduce the skew.
    """


class AwsElasticBlockStore(BaseModel):
    """
    awsElasticBlockStore represents an AWS Disk resource that is attached to a kubelet's host machine and then exposed to the pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is the filesystem type of the volume that you want to mount.
    """
    partition: int | None = None
    """
    partition is the partition in the volume that you want to mount.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly value true will force the readOnly setting in VolumeMounts.
    """
    volume_id: Annotated[str, Field(alias="volumeID")]
    """
    volumeID is unique ID of the persistent disk resource in AWS (Amazon EBS volume).
    """


class AzureDisk(BaseModel):
    """
    azureDisk represents an Azure Data Disk mount on the host and bind mount to the pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    caching_mode: Annotated[str | None, Field(alias="cachingMode")] = None
    """
    cachingMode is the Host Caching mode: None, Read Only, Read Write.
    """
    disk_name: Annotated[str, Field(alias="diskName")]
    """
    diskName is the Name of the data disk in the blob storage
    """
    disk_uri: Annotated[str, Field(alias="diskURI")]
    """
    diskURI is the URI of data disk in the blob storage
    """
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is Filesystem type to mount.
    """
    kind: str | None = None
    """
    kind expected values are Shared: multiple blob disks per storage account Dedicated: single blob disk per storage account Managed: azure managed data disk (only in managed availability set). defaults to shared
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly Defaults to false (read/write).
    """


class AzureFile(BaseModel):
    """
    azureFile represents an Azure File Service mount on the host and bind mount to the pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly defaults to false (read/write).
    """
    secret_name: Annotated[str, Field(alias="secretName")]
    """
    secretName is the name of secret that contains Azure Storage Account Name and Key
    """
    share_name: Annotated[str, Field(alias="shareName")]
    """
    shareName is the azure share Name
    """


class SecretRef2(BaseModel):
    """
    secretRef is Optional: SecretRef is reference to the authentication secret for User, default is empty.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """


class Cephfs(BaseModel):
    """
    cephFS represents a Ceph FS mount on the host that shares a pod's lifetime.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    monitors: list[str]
    """
    monitors is Required: Monitors is a collection of Ceph monitors
    """
    path: str | None = None
    """
    path is Optional: Used as the mounted root, rather than the full Ceph tree, default is /
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly is Optional: Defaults to false (read/write).
    """
    secret_file: Annotated[str | None, Field(alias="secretFile")] = None
    """
    secretFile is Optional: SecretFile is the path to key ring for User, default is /etc/ceph/user.secret
    """
    secret_ref: Annotated[SecretRef2 | None, Field(alias="secretRef")] = None
    """
    secretRef is Optional: SecretRef is reference to the authentication secret for User, default is empty.
    """
    user: str | None = None
    """
    user is optional: User is the rados user name, default is admin
    """


class SecretRef3(BaseModel):
    """
    secretRef is optional: points to a secret object containing parameters used to connect to OpenStack.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """


class Cinder(BaseModel):
    """
    cinder represents a cinder volume attached and mounted on kubelets host machine.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is the filesystem type to mount.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly defaults to false (read/write).
    """
    secret_ref: Annotated[SecretRef3 | None, Field(alias="secretRef")] = None
    """
    secretRef is optional: points to a secret object containing parameters used to connect to OpenStack.
    """
    volume_id: Annotated[str, Field(alias="volumeID")]
    """
    volumeID used to identify the volume in cinder.
    """


class Item(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    key: str
    """
    key is the key to project.
    """
    mode: int | None = None
    """
    mode is Optional: mode bits used to set permissions on this file.
    """
    path: str
    """
    path is the relative path of the file to map the key to.
    """


class ConfigMap(BaseModel):
    """
    configMap represents a configMap that should populate this volume
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    default_mode: Annotated[int | None, Field(alias="defaultMode")] = None
    """
    defaultMode is optional: mode bits used to set permissions on created files by default.
    """
    items: list[Item] | None = None
    """
    items if unspecified, each key-value pair in the Data field of the referenced ConfigMap will be projected into the volume as a file whose name is the key and content is the value.
    """
    name: str | None = None
    """
    Name of the referent.
    """
    optional: bool | None = None
    """
    optional specify whether the ConfigMap or its keys must be defined
    """


class NodePublishSecretRef(BaseModel):
    """
    nodePublishSecretRef is a reference to the secret object containing sensitive information to pass to the CSI driver to complete the CSI NodePublishVolume and NodeUnpublishVolume calls.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """


class Csi(BaseModel):
    """
    csi (Container Storage Interface) represents ephemeral storage that is handled by certain external CSI drivers.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    driver: str
    """
    driver is the name of the CSI driver that handles this volume.
    """
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType to mount.
    """
    node_publish_secret_ref: Annotated[
        NodePublishSecretRef | None, Field(alias="nodePublishSecretRef")
    ] = None
    """
    nodePublishSecretRef is a reference to the secret object containing sensitive information to pass to the CSI driver to complete the CSI NodePublishVolume and NodeUnpublishVolume calls.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly specifies a read-only configuration for the volume.
    """
    volume_attributes: Annotated[
        dict[str, str] | None, Field(alias="volumeAttributes")
    ] = None
    """
    volumeAttributes stores driver-specific properties that are passed to the CSI driver.
    """


class FieldRef2(BaseModel):
    """
    Required: Selects a field of the pod: only annotations, labels, name, namespace and uid are supported.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    api_version: Annotated[str | None, Field(alias="apiVersion")] = None
    """
    Version of the schema the FieldPath is written in terms of, defaults to "v1".
    """
    field_path: Annotated[str, Field(alias="fieldPath")]
    """
    Path of the field to select in the specified API version.
    """


class ResourceFieldRef2(BaseModel):
    """
    Selects a resource of the container: only resources limits and requests (limits.cpu, limits.memory, requests.cpu and requests.memory) are currently supported.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    container_name: Annotated[str | None, Field(alias="containerName")] = None
    """
    Container name: required for volumes, optional for env vars
    """
    divisor: Any | None = None
    """
    Specifies the output format of the exposed resources, defaults to "1"
    """
    resource: str
    """
    Required: resource to select
    """


class Item1(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    field_ref: Annotated[FieldRef2 | None, Field(alias="fieldRef")] = None
    """
    Required: Selects a field of the pod: only annotations, labels, name, namespace and uid are supported.
    """
    mode: int | None = None
    """
    Optional: mode bits used to set permissions on this file, must be an octal value between 0000 and 0777 or a decimal value between 0 and 511.
    """
    path: str
    """
    Required: Path is the relative path name of the file to be created.
    """
    resource_field_ref: Annotated[
        ResourceFieldRef2 | None, Field(alias="resourceFieldRef")
    ] = None
    """
    Selects a resource of the container: only resources limits and requests (limits.cpu, limits.memory, requests.cpu and requests.memory) are currently supported.
    """


class DownwardApi(BaseModel):
    """
    downwardAPI represents downward API about the pod that should populate this volume
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    default_mode: Annotated[int | None, Field(alias="defaultMode")] = None
    """
    Optional: mode bits to use on created files by default.
    """
    items: list[Item1] | None = None
    """
    Items is a list of downward API volume file
    """


class EmptyDir(BaseModel):
    """
    emptyDir represents a temporary directory that shares a pod's lifetime.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    medium: str | None = None
    """
    medium represents what type of storage medium should back this directory.
    """
    size_limit: Annotated[Any | None, Field(alias="sizeLimit")] = None
    """
    sizeLimit is the total amount of local storage required for this EmptyDir volume.
    """


class Metadata1(BaseModel):
    """
    May contain labels and annotations that will be copied into the PVC when creating it.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    annotations: dict[str, str | None] | None = None
    """
    Annotations of each object made from the template.
    """
    creation_timestamp: Annotated[
        AwareDatetime | None, Field(alias="creationTimestamp")
    ] = None
    """
    Ignored; many tools write null here.
    """
    labels: dict[str, str | None] | None = None
    """
    Labels of each object made from the template.
    """
    name: str | None = None
    """
    Ignored: each object gets a name of its own.
    """


class DataSource(BaseModel):
    """
    dataSource field can be used to specify either: * An existing VolumeSnapshot object (snapshot.storage.k8s.io/VolumeSnapshot) * An existing PVC (PersistentVolumeClaim) If the provisioner or an external controller can support the specified data source, it will create a new volume based on the contents of the specified data source.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    api_group: Annotated[str | None, Field(alias="apiGroup")] = None
    """
    APIGroup is the group for the resource being referenced.
    """
    kind: str
    """
    Kind is the type of resource being referenced
    """
    name: str
    """
    Name is the name of resource being referenced
    """


class DataSourceRef(BaseModel):
    """
    dataSourceRef specifies the object from which to populate the volume with data, if a non-empty volume is desired.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    api_group: Annotated[str | None, Field(alias="apiGroup")] = None
    """
    APIGroup is the group for the resource being referenced.
    """
    kind: str
    """
    Kind is the type of resource being referenced
    """
    name: str
    """
    Name is the name of resource being referenced
    """
    namespace: str | None = None
    """
    Namespace is the namespace of resource being referenced Note that when a namespace is specified, a gateway.networking.k8s.io/ReferenceGrant object is required in the referent namespace to allow that namespace's owner to accept the reference.
    """


class Resources3(BaseModel):
    """
    resources represents the minimum resources the volume should have.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    limits: dict[str, Any] | None = None
    """
    Limits describes the maximum amount of compute resources allowed.
    """
    requests: dict[str, Any] | None = None
    """
    Requests describes the minimum amount of compute resources required.
    """


class Selector(BaseModel):
    """
    selector is a label query over volumes to consider for binding.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    match_expressions: Annotated[
        list[MatchExpression2] | None, Field(alias="matchExpressions")
    ] = None
    """
    matchExpressions is a list of label selector requirements.
    """
    match_labels: Annotated[dict[str, str] | None, Field(alias="matchLabels")] = None
    """
    matchLabels is a map of {key,value} pairs.
    """


class Spec1(BaseModel):
    """
    The specification for the PersistentVolumeClaim.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    access_modes: Annotated[list[str] | None, Field(alias="accessModes")] = None
    """
    accessModes contains the desired access modes the volume should have.
    """
    data_source: Annotated[DataSource | None, Field(alias="dataSource")] = None
    """
    dataSource field can be used to specify either: * An existing VolumeSnapshot object (snapshot.storage.k8s.io/VolumeSnapshot) * An existing PVC (PersistentVolumeClaim) If the provisioner or an external controller can support the specified data source, it will create a new volume based on the contents of the specified data source.
    """
    data_source_ref: Annotated[DataSourceRef | None, Field(alias="dataSourceRef")] = (
        None
    )
    """
    dataSourceRef specifies the object from which to populate the volume with data, if a non-empty volume is desired.
    """
    resources: Resources3 | None = None
    """
    resources represents the minimum resources the volume should have.
    """
    selector: Selector | None = None
    """
    selector is a label query over volumes to consider for binding.
    """
    storage_class_name: Annotated[str | None, Field(alias="storageClassName")] = None
    """
    storageClassName is the name of the StorageClass required by the claim.
    """
    volume_attributes_class_name: Annotated[
        str | None, Field(alias="volumeAttributesClassName")
    ] = None
    """
    volumeAttributesClassName may be used to set the VolumeAttributesClass used by this claim.
    """
    volume_mode: Annotated[str | None, Field(alias="volumeMode")] = None
    """
    volumeMode defines what type of volume is required by the claim.
    """
    volume_name: Annotated[str | None, Field(alias="volumeName")] = None
    """
    volumeName is the binding reference to the PersistentVolume backing this claim.
    """


class VolumeClaimTemplate(BaseModel):
    """
    Will be used to create a stand-alone PVC to provision the volume.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    metadata: Metadata1 | None = None
    """
    May contain labels and annotations that will be copied into the PVC when creating it.
    """
    spec: Spec1
    """
    The specification for the PersistentVolumeClaim.
    """


class Ephemeral(BaseModel):
    """
    ephemeral represents a volume that is handled by a cluster storage driver.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    volume_claim_template: Annotated[
        VolumeClaimTemplate | None, Field(alias="volumeClaimTemplate")
    ] = None
    """
    Will be used to create a stand-alone PVC to provision the volume.
    """


class Fc(BaseModel):
    """
    fc represents a Fibre Channel resource that is attached to a kubelet's host machine and then exposed to the pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is the filesystem type to mount.
    """
    lun: int | None = None
    """
    lun is Optional: FC target lun number
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly is Optional: Defaults to false (read/write).
    """
    target_ww_ns: Annotated[list[str] | None, Field(alias="targetWWNs")] = None
    """
    targetWWNs is Optional: FC target worldwide names (WWNs)
    """
    wwids: list[str] | None = None
    """
    wwids Optional: FC volume world wide identifiers (wwids) Either wwids or combination of targetWWNs and lun must be set, but not both simultaneously.
    """


class SecretRef4(BaseModel):
    """
    secretRef is Optional: secretRef is reference to the secret object containing sensitive information to pass to the plugin scripts.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """


class FlexVolume(BaseModel):
    """
    flexVolume represents a generic volume resource that is provisioned/attached using an exec based plugin.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    driver: str
    """
    driver is the name of the driver to use for this volume.
    """
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is the filesystem type to mount.
    """
    options: dict[str, str] | None = None
    """
    options is Optional: this field holds extra command options if any.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly is Optional: defaults to false (read/write).
    """
    secret_ref: Annotated[SecretRef4 | None, Field(alias="secretRef")] = None
    """
    secretRef is Optional: secretRef is reference to the secret object containing sensitive information to pass to the plugin scripts.
    """


class Flocker(BaseModel):
    """
    flocker represents a Flocker volume attached to a kubelet's host machine.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    dataset_name: Annotated[str | None, Field(alias="datasetName")] = None
    """
    datasetName is Name of the dataset stored as metadata -> name on the dataset for Flocker should be considered as deprecated
    """
    dataset_uuid: Annotated[str | None, Field(alias="datasetUUID")] = None
    """
    datasetUUID is the UUID of the dataset.
    """


class GcePersistentDisk(BaseModel):
    """
    gcePersistentDisk represents a GCE Disk resource that is attached to a kubelet's host machine and then exposed to the pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is filesystem type of the volume that you want to mount.
    """
    partition: int | None = None
    """
    partition is the partition in the volume that you want to mount.
    """
    pd_name: Annotated[str, Field(alias="pdName")]
    """
    pdName is unique name of the PD resource in GCE.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly here will force the ReadOnly setting in VolumeMounts.
    """


class GitRepo(BaseModel):
    """
    gitRepo represents a git repository at a particular revision.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    directory: str | None = None
    """
    directory is the target directory name.
    """
    repository: str
    """
    repository is the URL
    """
    revision: str | None = None
    """
    revision is the commit hash for the specified revision.
    """


class Glusterfs(BaseModel):
    """
    glusterfs represents a Glusterfs mount on the host that shares a pod's lifetime.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    endpoints: str
    """
    endpoints is the endpoint name that details Glusterfs topology.
    """
    path: str
    """
    path is the Glusterfs volume path.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly here will force the Glusterfs volume to be mounted with read-only permissions.
    """


class HostPath(BaseModel):
    """
    hostPath represents a pre-existing file or directory on the host machine that is directly exposed to the container.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    path: str
    """
    path of the directory on the host.
    """
    type: str | None = None
    """
    type for HostPath Volume Defaults to ""
    """


class Image(BaseModel):
    """
    image represents an OCI object (a container image or artifact) pulled and mounted on the kubelet's host machine.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    pull_policy: Annotated[str | None, Field(alias="pullPolicy")] = None
    """
    Policy for pulling OCI objects.
    """
    reference: str | None = None
    """
    Required: Image or artifact reference to be used.
    """


class SecretRef5(BaseModel):
    """
    secretRef is the CHAP Secret for iSCSI target and initiator authentication
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """


class Iscsi(BaseModel):
    """
    iscsi represents an ISCSI Disk resource that is attached to a kubelet's host machine and then exposed to the pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    chap_auth_discovery: Annotated[bool | None, Field(alias="chapAuthDiscovery")] = None
    """
    chapAuthDiscovery defines whether support iSCSI Discovery CHAP authentication
    """
    chap_auth_session: Annotated[bool | None, Field(alias="chapAuthSession")] = None
    """
    chapAuthSession defines whether support iSCSI Session CHAP authentication
    """
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is the filesystem type of the volume that you want to mount.
    """
    initiator_name: Annotated[str | None, Field(alias="initiatorName")] = None
    """
    initiatorName is the custom iSCSI Initiator Name.
    """
    iqn: str
    """
    iqn is the target iSCSI Qualified Name.
    """
    iscsi_interface: Annotated[str | None, Field(alias="iscsiInterface")] = None
    """
    iscsiInterface is the interface Name that uses an iSCSI transport.
    """
    lun: int
    """
    lun represents iSCSI Target Lun number.
    """
    portals: list[str] | None = None
    """
    portals is the iSCSI Target Portal List.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly here will force the ReadOnly setting in VolumeMounts.
    """
    secret_ref: Annotated[SecretRef5 | None, Field(alias="secretRef")] = None
    """
    secretRef is the CHAP Secret for iSCSI target and initiator authentication
    """
    target_portal: Annotated[str, Field(alias="targetPortal")]
    """
    targetPortal is iSCSI Target Portal.
    """


class Nfs(BaseModel):
    """
    nfs represents an NFS mount on the host that shares a pod's lifetime
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    path: str
    """
    path that is exported by the NFS server.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly here will force the NFS export to be mounted with read-only permissions.
    """
    server: str
    """
    server is the hostname or IP address of the NFS server.
    """


class PersistentVolumeClaim(BaseModel):
    """
    persistentVolumeClaimVolumeSource represents a reference to a PersistentVolumeClaim in the same namespace.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    claim_name: Annotated[str, Field(alias="claimName")]
    """
    claimName is the name of a PersistentVolumeClaim in the same namespace as the pod using this volume.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly Will force the ReadOnly setting in VolumeMounts.
    """


class PhotonPersistentDisk(BaseModel):
    """
    photonPersistentDisk represents a PhotonController persistent disk attached and mounted on kubelets host machine.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is the filesystem type to mount.
    """
    pd_id: Annotated[str, Field(alias="pdID")]
    """
    pdID is the ID that identifies Photon Controller persistent disk
    """


class PortworxVolume(BaseModel):
    """
    portworxVolume represents a portworx volume attached and mounted on kubelets host machine.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fSType represents the filesystem type to mount Must be a filesystem type supported by the host operating system.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly defaults to false (read/write).
    """
    volume_id: Annotated[str, Field(alias="volumeID")]
    """
    volumeID uniquely identifies a Portworx volume
    """


class LabelSelector5(BaseModel):
    """
    Select all ClusterTrustBundles that match this label selector.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    match_expressions: Annotated[
        list[MatchExpression2] | None, Field(alias="matchExpressions")
    ] = None
    """
    matchExpressions is a list of label selector requirements.
    """
    match_labels: Annotated[dict[str, str] | None, Field(alias="matchLabels")] = None
    """
    matchLabels is a map of {key,value} pairs.
    """


class ClusterTrustBundle(BaseModel):
    """
    ClusterTrustBundle allows a pod to access the `.spec.trustBundle` field of ClusterTrustBundle objects in an auto-updating file.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    label_selector: Annotated[LabelSelector5 | None, Field(alias="labelSelector")] = (
        None
    )
    """
    Select all ClusterTrustBundles that match this label selector.
    """
    name: str | None = None
    """
    Select a single ClusterTrustBundle by object name.
    """
    optional: bool | None = None
    """
    If true, don't block pod startup if the referenced ClusterTrustBundle(s) aren't available.
    """
    path: str
    """
    Relative path from the volume root to write the bundle.
    """
    signer_name: Annotated[str | None, Field(alias="signerName")] = None
    """
    Select all ClusterTrustBundles that match this signer name.
    """


class Item2(Item):
    pass


class ConfigMap1(BaseModel):
    """
    configMap information about the configMap data to project
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    items: list[Item2] | None = None
    """
    items if unspecified, each key-value pair in the Data field of the referenced ConfigMap will be projected into the volume as a file whose name is the key and content is the value.
    """
    name: str | None = None
    """
    Name of the referent.
    """
    optional: bool | None = None
    """
    optional specify whether the ConfigMap or its keys must be defined
    """


class Item3(Item1):
    pass


class DownwardApi1(BaseModel):
    """
    downwardAPI information about the downwardAPI data to project
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    items: list[Item3] | None = None
    """
    Items is a list of DownwardAPIVolume file
    """


class Item4(Item):
    pass


class Secret(BaseModel):
    """
    secret information about the secret data to project
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    items: list[Item4] | None = None
    """
    items if unspecified, each key-value pair in the Data field of the referenced Secret will be projected into the volume as a file whose name is the key and content is the value.
    """
    name: str | None = None
    """
    Name of the referent.
    """
    optional: bool | None = None
    """
    optional field specify whether the Secret or its key must be defined
    """


class ServiceAccountToken(BaseModel):
    """
    serviceAccountToken is information about the serviceAccountToken data to project
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    audience: str | None = None
    """
    audience is the intended audience of the token.
    """
    expiration_seconds: Annotated[int | None, Field(alias="expirationSeconds")] = None
    """
    expirationSeconds is the requested duration of validity of the service account token.
    """
    path: str
    """
    path is the path relative to the mount point of the file to project the token into.
    """


class Source(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    cluster_trust_bundle: Annotated[
        ClusterTrustBundle | None, Field(alias="clusterTrustBundle")
    ] = None
    """
    ClusterTrustBundle allows a pod to access the `.spec.trustBundle` field of ClusterTrustBundle objects in an auto-updating file.
    """
    config_map: Annotated[ConfigMap1 | None, Field(alias="configMap")] = None
    """
    configMap information about the configMap data to project
    """
    downward_api: Annotated[DownwardApi1 | None, Field(alias="downwardAPI")] = None
    """
    downwardAPI information about the downwardAPI data to project
    """
    secret: Secret | None = None
    """
    secret information about the secret data to project
    """
    service_account_token: Annotated[
        ServiceAccountToken | None, Field(alias="serviceAccountToken")
    ] = None
    """
    serviceAccountToken is information about the serviceAccountToken data to project
    """


class Projected(BaseModel):
    """
    projected items for all in one resources secrets, configmaps, and downward API
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    default_mode: Annotated[int | None, Field(alias="defaultMode")] = None
    """
    defaultMode are the mode bits used to set permissions on created files by default.
    """
    sources: list[Source] | None = None
    """
    sources is the list of volume projections.
    """


class Quobyte(BaseModel):
    """
    quobyte represents a Quobyte mount on the host that shares a pod's lifetime.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    group: str | None = None
    """
    group to map volume access to Default is no group
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly here will force the Quobyte volume to be mounted with read-only permissions.
    """
    registry: str
    """
    registry represents a single or multiple Quobyte Registry services specified as a string as host:port pair (multiple entries are separated with commas) which acts as the central registry for volumes
    """
    tenant: str | None = None
    """
    tenant owning the given Quobyte volume in the Backend Used with dynamically provisioned Quobyte volumes, value is set by the plugin
    """
    user: str | None = None
    """
    user to map volume access to Defaults to serivceaccount user
    """
    volume: str
    """
    volume is a string that references an already created Quobyte volume by name.
    """


class SecretRef6(BaseModel):
    """
    secretRef is name of the authentication secret for RBDUser.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """


class Rbd(BaseModel):
    """
    rbd represents a Rados Block Device mount on the host that shares a pod's lifetime.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is the filesystem type of the volume that you want to mount.
    """
    image: str
    """
    image is the rados image name.
    """
    keyring: str | None = None
    """
    keyring is the path to key ring for RBDUser.
    """
    monitors: list[str]
    """
    monitors is a collection of Ceph monitors.
    """
    pool: str | None = None
    """
    pool is the rados pool name.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly here will force the ReadOnly setting in VolumeMounts.
    """
    secret_ref: Annotated[SecretRef6 | None, Field(alias="secretRef")] = None
    """
    secretRef is name of the authentication secret for RBDUser.
    """
    user: str | None = None
    """
    user is the rados user name.
    """


class SecretRef7(BaseModel):
    """
    secretRef references to the secret for ScaleIO user and other sensitive information.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """


class ScaleIo(BaseModel):
    """
    scaleIO represents a ScaleIO persistent volume attached and mounted on Kubernetes nodes.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is the filesystem type to mount.
    """
    gateway: str
    """
    gateway is the host address of the ScaleIO API Gateway.
    """
    protection_domain: Annotated[str | None, Field(alias="protectionDomain")] = None
    """
    protectionDomain is the name of the ScaleIO Protection Domain for the configured storage.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly Defaults to false (read/write).
    """
    secret_ref: Annotated[SecretRef7, Field(alias="secretRef")]
    """
    secretRef references to the secret for ScaleIO user and other sensitive information.
    """
    ssl_enabled: Annotated[bool | None, Field(alias="sslEnabled")] = None
    """
    sslEnabled Flag enable/disable SSL communication with Gateway, default false
    """
    storage_mode: Annotated[str | None, Field(alias="storageMode")] = None
    """
    storageMode indicates whether the storage for a volume should be ThickProvisioned or ThinProvisioned.
    """
    storage_pool: Annotated[str | None, Field(alias="storagePool")] = None
    """
    storagePool is the ScaleIO Storage Pool associated with the protection domain.
    """
    system: str
    """
    system is the name of the storage system as configured in ScaleIO.
    """
    volume_name: Annotated[str | None, Field(alias="volumeName")] = None
    """
    volumeName is the name of a volume already created in the ScaleIO system that is associated with this volume source.
    """


class Secret1(BaseModel):
    """
    secret represents a secret that should populate this volume.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    default_mode: Annotated[int | None, Field(alias="defaultMode")] = None
    """
    defaultMode is Optional: mode bits used to set permissions on created files by default.
    """
    items: list[Item4] | None = None
    """
    items If unspecified, each key-value pair in the Data field of the referenced Secret will be projected into the volume as a file whose name is the key and content is the value.
    """
    optional: bool | None = None
    """
    optional field specify whether the Secret or its keys must be defined
    """
    secret_name: Annotated[str | None, Field(alias="secretName")] = None
    """
    secretName is the name of the secret in the pod's namespace to use.
    """


class SecretRef8(BaseModel):
    """
    secretRef specifies the secret to use for obtaining the StorageOS API credentials.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    Name of the referent.
    """


class Storageos(BaseModel):
    """
    storageOS represents a StorageOS volume attached and mounted on Kubernetes nodes.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is the filesystem type to mount.
    """
    read_only: Annotated[bool | None, Field(alias="readOnly")] = None
    """
    readOnly defaults to false (read/write).
    """
    secret_ref: Annotated[SecretRef8 | None, Field(alias="secretRef")] = None
    """
    secretRef specifies the secret to use for obtaining the StorageOS API credentials.
    """
    volume_name: Annotated[str | None, Field(alias="volumeName")] = None
    """
    volumeName is the human-readable name of the StorageOS volume.
    """
    volume_namespace: Annotated[str | None, Field(alias="volumeNamespace")] = None
    """
    volumeNamespace specifies the scope of the volume within StorageOS.
    """


class VsphereVolume(BaseModel):
    """
    vsphereVolume represents a vSphere volume attached and mounted on kubelets host machine.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    fs_type: Annotated[str | None, Field(alias="fsType")] = None
    """
    fsType is filesystem type to mount.
    """
    storage_policy_id: Annotated[str | None, Field(alias="storagePolicyID")] = None
    """
    storagePolicyID is the storage Policy Based Management (SPBM) profile ID associated with the StoragePolicyName.
    """
    storage_policy_name: Annotated[str | None, Field(alias="storagePolicyName")] = None
    """
    storagePolicyName is the storage Policy Based Management (SPBM) profile name.
    """
    volume_path: Annotated[str, Field(alias="volumePath")]
    """
    volumePath is the path that identifies vSphere volume vmdk
    """


class Volume(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    aws_elastic_block_store: Annotated[
        AwsElasticBlockStore | None, Field(alias="awsElasticBlockStore")
    ] = None
    """
    awsElasticBlockStore represents an AWS Disk resource that is attached to a kubelet's host machine and then exposed to the pod.
    """
    azure_disk: Annotated[AzureDisk | None, Field(alias="azureDisk")] = None
    """
    azureDisk represents an Azure Data Disk mount on the host and bind mount to the pod.
    """
    azure_file: Annotated[AzureFile | None, Field(alias="azureFile")] = None
    """
    azureFile represents an Azure File Service mount on the host and bind mount to the pod.
    """
    cephfs: Cephfs | None = None
    """
    cephFS represents a Ceph FS mount on the host that shares a pod's lifetime.
    """
    cinder: Cinder | None = None
    """
    cinder represents a cinder volume attached and mounted on kubelets host machine.
    """
    config_map: Annotated[ConfigMap | None, Field(alias="configMap")] = None
    """
    configMap represents a configMap that should populate this volume
    """
    csi: Csi | None = None
    """
    csi (Container Storage Interface) represents ephemeral storage that is handled by certain external CSI drivers.
    """
    downward_api: Annotated[DownwardApi | None, Field(alias="downwardAPI")] = None
    """
    downwardAPI represents downward API about the pod that should populate this volume
    """
    empty_dir: Annotated[EmptyDir | None, Field(alias="emptyDir")] = None
    """
    emptyDir represents a temporary directory that shares a pod's lifetime.
    """
    ephemeral: Ephemeral | None = None
    """
    ephemeral represents a volume that is handled by a cluster storage driver.
    """
    fc: Fc | None = None
    """
    fc represents a Fibre Channel resource that is attached to a kubelet's host machine and then exposed to the pod.
    """
    flex_volume: Annotated[FlexVolume | None, Field(alias="flexVolume")] = None
    """
    flexVolume represents a generic volume resource that is provisioned/attached using an exec based plugin.
    """
    flocker: Flocker | None = None
    """
    flocker represents a Flocker volume attached to a kubelet's host machine.
    """
    gce_persistent_disk: Annotated[
        GcePersistentDisk | None, Field(alias="gcePersistentDisk")
    ] = None
    """
    gcePersistentDisk represents a GCE Disk resource that is attached to a kubelet's host machine and then exposed to the pod.
    """
    git_repo: Annotated[GitRepo | None, Field(alias="gitRepo")] = None
    """
    gitRepo represents a git repository at a particular revision.
    """
    glusterfs: Glusterfs | None = None
    """
    glusterfs represents a Glusterfs mount on the host that shares a pod's lifetime.
    """
    host_path: Annotated[HostPath | None, Field(alias="hostPath")] = None
    """
    hostPath represents a pre-existing file or directory on the host machine that is directly exposed to the container.
    """
    image: Image | None = None
    """
    image represents an OCI object (a container image or artifact) pulled and mounted on the kubelet's host machine.
    """
    iscsi: Iscsi | None = None
    """
    iscsi represents an ISCSI Disk resource that is attached to a kubelet's host machine and then exposed to the pod.
    """
    name: Annotated[
        str, Field(max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    ]
    """
    name of the volume.
    """
    nfs: Nfs | None = None
    """
    nfs represents an NFS mount on the host that shares a pod's lifetime
    """
    persistent_volume_claim: Annotated[
        PersistentVolumeClaim | None, Field(alias="persistentVolumeClaim")
    ] = None
    """
    persistentVolumeClaimVolumeSource represents a reference to a PersistentVolumeClaim in the same namespace.
    """
    photon_persistent_disk: Annotated[
        PhotonPersistentDisk | None, Field(alias="photonPersistentDisk")
    ] = None
    """
    photonPersistentDisk represents a PhotonController persistent disk attached and mounted on kubelets host machine.
    """
    portworx_volume: Annotated[PortworxVolume | None, Field(alias="portworxVolume")] = (
        None
    )
    """
    portworxVolume represents a portworx volume attached and mounted on kubelets host machine.
    """
    projected: Projected | None = None
    """
    projected items for all in one resources secrets, configmaps, and downward API
    """
    quobyte: Quobyte | None = None
    """
    quobyte represents a Quobyte mount on the host that shares a pod's lifetime.
    """
    rbd: Rbd | None = None
    """
    rbd represents a Rados Block Device mount on the host that shares a pod's lifetime.
    """
    scale_io: Annotated[ScaleIo | None, Field(alias="scaleIO")] = None
    """
    scaleIO represents a ScaleIO persistent volume attached and mounted on Kubernetes nodes.
    """
    secret: Secret1 | None = None
    """
    secret represents a secret that should populate this volume.
    """
    storageos: Storageos | None = None
    """
    storageOS represents a StorageOS volume attached and mounted on Kubernetes nodes.
    """
    vsphere_volume: Annotated[VsphereVolume | None, Field(alias="vsphereVolume")] = None
    """
    vsphereVolume represents a vSphere volume attached and mounted on kubelets host machine.
    """


class Spec(BaseModel):
    """
    Specification of the desired behavior of the pod.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    active_deadline_seconds: Annotated[
        int | None, Field(alias="activeDeadlineSeconds")
    ] = None
    """
    Optional duration in seconds the pod may be active on the node relative to StartTime before the system will actively try to mark it failed and kill associated containers.
    """
    affinity: Affinity | None = None
    """
    If specified, the pod's scheduling constraints
    """
    automount_service_account_token: Annotated[
        bool | None, Field(alias="automountServiceAccountToken")
    ] = None
    """
    AutomountServiceAccountToken indicates whether a service account token should be automatically mounted.
    """
    containers: Annotated[list[Container], Field(max_length=9, min_length=1)]
    """
    The containers of each pod: at most 8, and one named sidecar. The steps of tasks run in the container executor, or else in the first one that is not sidecar. The container sidecar is arl's own. It is added if missing; if it is given, only its resources are used.
    """
    dns_config: Annotated[DnsConfig | None, Field(alias="dnsConfig")] = None
    """
    Specifies the DNS parameters of a pod.
    """
    dns_policy: Annotated[str | None, Field(alias="dnsPolicy")] = None
    """
    Set DNS policy for the pod.
    """
    enable_service_links: Annotated[bool | None, Field(alias="enableServiceLinks")] = (
        None
    )
    """
    EnableServiceLinks indicates whether information about services should be injected into pod's environment variables, matching the syntax of Docker links.
    """
    host_aliases: Annotated[list[HostAliase] | None, Field(alias="hostAliases")] = None
    """
    HostAliases is an optional list of hosts and IPs that will be injected into the pod's hosts file if specified.
    """
    host_ipc: Annotated[bool | None, Field(alias="hostIPC")] = None
    """
    Use the host's ipc namespace.
    """
    host_network: Annotated[bool | None, Field(alias="hostNetwork")] = None
    """
    Host networking requested for this pod.
    """
    host_pid: Annotated[bool | None, Field(alias="hostPID")] = None
    """
    Use the host's pid namespace.
    """
    host_users: Annotated[bool | None, Field(alias="hostUsers")] = None
    """
    Use the host's user namespace.
    """
    hostname: str | None = None
    """
    Specifies the hostname of the Pod If not specified, the pod's hostname will be set to a system-defined value.
    """
    image_pull_secrets: Annotated[
        list[ImagePullSecret] | None, Field(alias="imagePullSecrets")
    ] = None
    """
    ImagePullSecrets is an optional list of references to secrets in the same namespace to use for pulling any of the images used by this PodSpec.
    """
    init_containers: Annotated[
        list[InitContainer] | None, Field(alias="initContainers", max_length=64)
    ] = None
    """
    List of initialization containers belonging to the pod.
    """
    node_name: Annotated[str | None, Field(alias="nodeName")] = None
    """
    NodeName indicates in which node this pod is scheduled.
    """
    node_selector: Annotated[dict[str, str] | None, Field(alias="nodeSelector")] = None
    """
    NodeSelector is a selector which must be true for the pod to fit on a node.
    """
    os: Os | None = None
    """
    Specifies the OS of the containers in the pod.
    """
    overhead: dict[str, Any] | None = None
    """
    Overhead represents the resource overhead associated with running a pod for a given RuntimeClass.
    """
    preemption_policy: Annotated[str | None, Field(alias="preemptionPolicy")] = None
    """
    PreemptionPolicy is the Policy for preempting pods with lower priority.
    """
    priority: int | None = None
    """
    The priority value.
    """
    priority_class_name: Annotated[str | None, Field(alias="priorityClassName")] = None
    """
    If specified, indicates the pod's priority.
    """
    readiness_gates: Annotated[
        list[ReadinessGate] | None, Field(alias="readinessGates")
    ] = None
    """
    If specified, all readiness gates will be evaluated for pod readiness.
    """
    resource_claims: Annotated[
        list[ResourceClaim] | None, Field(alias="resourceClaims")
    ] = None
    """
    ResourceClaims defines which ResourceClaims must be allocated and reserved before the Pod is allowed to start.
    """
    resources: Resources2 | None = None
    """
    Resources is the total amount of CPU and Memory resources required by all containers in the pod.
    """
    restart_policy: Annotated[str | None, Field(alias="restartPolicy")] = None
    """
    Restart policy for all containers within the pod.
    """
    runtime_class_name: Annotated[str | None, Field(alias="runtimeClassName")] = None
    """
    RuntimeClassName refers to a RuntimeClass object in the node.k8s.io group, which should be used to run this pod.
    """
    scheduler_name: Annotated[str | None, Field(alias="schedulerName")] = None
    """
    If specified, the pod will be dispatched by specified scheduler.
    """
    scheduling_gates: Annotated[
        list[SchedulingGate] | None, Field(alias="schedulingGates")
    ] = None
    """
    SchedulingGates is an opaque list of values that if specified will block scheduling the pod.
    """
    security_context: Annotated[
        SecurityContext2 | None, Field(alias="securityContext")
    ] = None
    """
    SecurityContext holds pod-level security attributes and common container settings.
    """
    service_account: Annotated[str | None, Field(alias="serviceAccount")] = None
    """
    DeprecatedServiceAccount is a deprecated alias for ServiceAccountName.
    """
    service_account_name: Annotated[str | None, Field(alias="serviceAccountName")] = (
        None
    )
    """
    ServiceAccountName is the name of the ServiceAccount to use to run this pod.
    """
    set_hostname_as_fqdn: Annotated[bool | None, Field(alias="setHostnameAsFQDN")] = (
        None
    )
    """
    If true the pod's hostname will be configured as the pod's FQDN, rather than the leaf name (the default).
    """
    share_process_namespace: Annotated[
        bool | None, Field(alias="shareProcessNamespace")
    ] = None
    """
    Share a single process namespace between all of the containers in a pod.
    """
    subdomain: str | None = None
    """
    If specified, the fully qualified Pod hostname will be "<hostname>.<subdomain>.<pod namespace>.svc.<cluster domain>".
    """
    termination_grace_period_seconds: Annotated[
        int | None, Field(alias="terminationGracePeriodSeconds")
    ] = None
    """
    Optional duration in seconds the pod needs to terminate gracefully.
    """
    tolerations: list[Toleration] | None = None
    """
    If specified, the pod's tolerations.
    """
    topology_spread_constraints: Annotated[
        list[TopologySpreadConstraint] | None, Field(alias="topologySpreadConstraints")
    ] = None
    """
    TopologySpreadConstraints describes how a group of pods ought to spread across topology domains.
    """
    volumes: Annotated[list[Volume] | None, Field(max_length=256)] = None
    """
    Volumes that containers of the pod can mount. An emptyDir named workspace is added if missing.
    """


class PodTemplate(BaseModel):
    """
    The template of the pool's pods. It has all fields of a pod template of Kubernetes v1.33.13.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    metadata: Metadata | None = None
    """
    Labels and annotations of each pod. Keys that begin with arl.infra.io/ belong to arl and are left out. Other metadata, such as namespace or finalizers, is not a part of this schema.
    """
    spec: Spec
    """
    Specification of the desired behavior of the pod.
    """


class WarmPoolSpec(BaseModel):
    """
    What is wanted.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    replicas: Annotated[int, Field(ge=0)]
    """
    The number of idle, ready pods to keep. Pods that sandboxes have taken do not count.
    """
    template: Annotated[PodTemplate, Field(title="PodTemplate")]
    """
    The template of the pool's pods. It has all fields of a pod template of Kubernetes v1.33.13.
    """


class Condition(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    type: str
    """
    The condition's name, in CamelCase.
    """
    status: Literal["True", "False", "Unknown"]
    """
    Whether the condition holds.
    """
    observed_generation: Annotated[int | None, Field(alias="observedGeneration")] = None
    """
    The metadata.generation that the condition is about.
    """
    last_transition_time: Annotated[AwareDatetime, Field(alias="lastTransitionTime")]
    """
    When status changed last.
    """
    reason: str
    """
    Why, as one word in CamelCase.
    """
    message: str
    """
    Why, as a sentence for people.
    """


class WarmPoolStatus(BaseModel):
    """
    What the operator has seen and done. Only the operator writes it.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    observed_generation: Annotated[int | None, Field(alias="observedGeneration")] = None
    """
    The metadata.generation that this status is about.
    """
    phase: Literal["Pending", "Ready", "Scaling", "Degraded"] | None = None
    """
    Pending: no pod is ready yet. Scaling: some pods are ready, and others will be soon. Ready: as many idle pods are ready as wanted. Degraded: fewer are ready than wanted, and the others do not become ready; the condition PodsFailing says why.
    """
    replicas: int | None = 0
    """
    The number of idle pods, ready or not.
    """
    ready_replicas: Annotated[int | None, Field(alias="readyReplicas")] = 0
    """
    The number of idle pods that a sandbox can take.
    """
    allocated_replicas: Annotated[int | None, Field(alias="allocatedReplicas")] = 0
    """
    The number of this pool's pods that sandboxes have taken.
    """
    selector: str | None = None
    """
    The label selector of the idle pods, as text. The scale subresource needs it.
    """
    conditions: list[Condition] | None = None
    """
    Ready: as many idle pods are ready as wanted. PodsFailing: pods of the template do not become ready; reason and message say why.
    """


class WarmPool(BaseModel):
    """
    A WarmPool keeps idle pods ready. Each Sandbox takes one of them.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    api_version: Annotated[str | None, Field(alias="apiVersion")] = (
        "arl.infra.io/v1alpha1"
    )
    """
    The version of this schema, arl.infra.io/v1alpha1.
    """
    kind: str | None = "WarmPool"
    """
    WarmPool.
    """
    metadata: ObjectMeta
    spec: Annotated[WarmPoolSpec, Field(title="WarmPoolSpec")]
    """
    What is wanted.
    """
    status: Annotated[
        WarmPoolStatus | None, Field(title="WarmPoolStatus", validate_default=True)
    ] = {}
    """
    What the operator has seen and done. Only the operator writes it.
    """


class SandboxEnv(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: Annotated[str, Field(max_length=1024, min_length=1, pattern="^[^=\\x00]+$")]
    """
    The variable's name.
    """
    value: Annotated[str | None, Field(max_length=131072)] = None
    """
    The variable's value. Unset means empty.
    """


class Resources4(BaseModel):
    """
    Compute resources that the sandbox asks for. They have no effect: the pod was made before the sandbox, with the resources of the pool's template.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    limits: dict[str, Any] | None = None
    """
    The most that may be used, by resource name.
    """
    requests: dict[str, Any] | None = None
    """
    The least that is needed, by resource name.
    """


class SandboxSpec(BaseModel):
    """
    What is wanted.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    pool_ref: Annotated[
        str,
        Field(
            alias="poolRef",
            max_length=253,
            min_length=1,
            pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        ),
    ]
    """
    The name of the WarmPool, in the same namespace. It cannot be changed.
    """
    replicas: int | None = 1
    """
    Always 1, since a Sandbox has one pod. The API server fills it in. A PodDisruptionBudget counts pods by the scale subresource, which needs this field.
    """
    keep_alive: Annotated[bool | None, Field(alias="keepAlive")] = False
    """
    Whether the sandbox is to be kept longer when nobody uses it. Its only effect is on the default of idleTimeoutSeconds: 3600 with keepAlive, 600 without (or what the operator's flags say).
    """
    idle_timeout_seconds: Annotated[
        int | None, Field(alias="idleTimeoutSeconds", ge=0)
    ] = None
    """
    The operator deletes the sandbox when nobody has used it for this many seconds. They count from the end of the last task, or from the moment when the sandbox became Ready if there was no task. Clients report other use by the annotation arl.infra.io/used-at. 0 means never. Unset means 600, or 3600 with keepAlive, unless the operator's flags say otherwise.
    """
    max_lifetime_seconds: Annotated[
        int | None, Field(alias="maxLifetimeSeconds", ge=0)
    ] = None
    """
    The operator deletes the sandbox this many seconds after its creation, even while a task runs. Unset means never.
    """
    env: Annotated[list[SandboxEnv] | None, Field(max_length=256)] = None
    """
    Environment variables for all steps of the sandbox. They override the container's variables, and a step's own variables override them. They are the place for settings of one session, because the pod was made before the sandbox. They cannot be changed later. Of two entries with one name the last one counts.
    """
    resources: Resources4 | None = None
    """
    Compute resources that the sandbox asks for. They have no effect: the pod was made before the sandbox, with the resources of the pool's template.
    """


class SandboxStatus(BaseModel):
    """
    What the operator has seen and done. Only the operator writes it.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    observed_generation: Annotated[int | None, Field(alias="observedGeneration")] = None
    """
    The metadata.generation that this status is about.
    """
    phase: Literal["Pending", "Bound", "Ready", "Failed"] | None = None
    """
    Pending: the sandbox waits for a pod. Bound: it has a pod, but the agent in it (the container sidecar) does not answer yet, or not any more. Ready: it runs tasks. Failed: it will never run a task again; the condition Ready says why.
    """
    pod_name: Annotated[str | None, Field(alias="podName")] = None
    """
    The name of the sandbox's pod. Once set, it never changes.
    """
    pod_uid: Annotated[str | None, Field(alias="podUID")] = None
    """
    The UID of the sandbox's pod. Once set, it never changes. Another pod with the same name is not the sandbox's pod.
    """
    pod_ip: Annotated[str | None, Field(alias="podIP")] = None
    """
    The IP address of the sandbox's pod.
    """
    work_dir: Annotated[str | None, Field(alias="workDir")] = None
    """
    The folder that relative paths of steps begin at: the workingDir of the container that runs the steps, or else the folder where that container mounts the volume workspace.
    """
    container_restarts: Annotated[int | None, Field(alias="containerRestarts")] = None
    """
    The number of restarts of the pod's containers (without the sidecar) that are known here: those before the sandbox took the pod, and those that the condition ContainerRestarted has reported.
    """
    agent_key: Annotated[str | None, Field(alias="agentKey", max_length=43)] = None
    """
    The public key of the agent in the sandbox's pod, as the pod's init container arl-init reported it. It is written together with the first Ready and never changes. The operator believes only answers of the agent with this key.
    """
    last_task_time: Annotated[AwareDatetime | None, Field(alias="lastTaskTime")] = None
    """
    When the last task ended.
    """
    conditions: list[Condition] | None = None
    """
    Ready, always the first: the sandbox has a pod, and the agent in it answers. If not, the message says what the sandbox waits for, or why it has failed. ContainerRestarted: a container of the pod has restarted since the sandbox took the pod.
    """


class Sandbox(BaseModel):
    """
    A Sandbox takes one pod out of a WarmPool. Its Tasks run in that pod. The pod is deleted with the Sandbox.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    api_version: Annotated[str | None, Field(alias="apiVersion")] = (
        "arl.infra.io/v1alpha1"
    )
    """
    The version of this schema, arl.infra.io/v1alpha1.
    """
    kind: str | None = "Sandbox"
    """
    Sandbox.
    """
    metadata: ObjectMeta
    spec: Annotated[SandboxSpec, Field(title="SandboxSpec")]
    """
    What is wanted.
    """
    status: Annotated[SandboxStatus | None, Field(title="SandboxStatus")] = None
    """
    What the operator has seen and done. Only the operator writes it.
    """


class CommandItem(RootModel[str]):
    root: Annotated[str, Field(max_length=1441792)]


EnvAdditionalProperty = TypeAliasType(
    "EnvAdditionalProperty", Annotated[str, Field(max_length=131072)]
)


class TaskStep(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: Annotated[str | None, Field(max_length=253)] = None
    """
    The step's name in the status and in messages.
    """
    type: Literal["Command", "FilePatch"]
    """
    Command: run a program. FilePatch: write a file, or apply a patch to files.
    """
    command: Annotated[list[CommandItem] | None, Field(max_length=1536)] = None
    """
    Command: the program and its arguments. No shell reads them, unless the program is a shell. A program without a slash is looked up in PATH.
    """
    env: Annotated[dict[str, EnvAdditionalProperty] | None, Field(max_length=256)] = (
        None
    )
    """
    Command: environment variables of the step. They override those of the container and of the sandbox.
    """
    stdin: Annotated[str | None, Field(max_length=1441792)] = None
    """
    Command: the text that the program reads from standard input. Unset: standard input is empty.
    """
    stdin_encoding: Annotated[
        Literal["text", "base64"] | None, Field(alias="stdinEncoding")
    ] = None
    """
    Command: how stdin is written here. text, the default: as it is. base64: encoded, for bytes of any kind.
    """
    stdin_file: Annotated[str | None, Field(alias="stdinFile", max_length=4096)] = None
    """
    Command: a file in the sandbox that the program gets as standard input. A relative path is below workDir.
    """
    user: Annotated[str | None, Field(max_length=128, pattern="^[^:]+(:[^:]+)?$")] = (
        None
    )
    """
    The user that the step runs as: a name or a number, or either of them with a group, such as 1000:1000. Names are looked up in the container's /etc/passwd and /etc/group. Unset: the container's own user. A step can run as another user only if the container runs as root.
    """
    on_error: Annotated[Literal["Stop", "Continue"] | None, Field(alias="onError")] = (
        None
    )
    """
    Stop, the default: if this step fails, the task fails, and later steps do not run. Continue: if this step fails, later steps still run. The task fails after them, with the exit code of the first step that failed.
    """
    work_dir: Annotated[str | None, Field(alias="workDir", max_length=4096)] = None
    """
    The folder that the step runs in. Relative paths of the step are below it. A relative workDir is below the workDir of the sandbox.
    """
    path: Annotated[str | None, Field(max_length=4096)] = None
    """
    FilePatch: the file to write. Missing folders are made. content needs a path. A patch without path names its files itself, below workDir. A step fails if its path, or the relative workDir above a relative path, has a .. component.
    """
    content: Annotated[str | None, Field(max_length=1441792)] = None
    """
    FilePatch: the whole new content of the file. It may be empty.
    """
    encoding: Literal["text", "base64"] | None = None
    """
    FilePatch: how content or patch is written here. text, the default: as it is. base64: encoded, for bytes of any kind.
    """
    patch: Annotated[str | None, Field(max_length=1441792)] = None
    """
    FilePatch: a unified diff, as git makes it, in place of content. Either all of it is applied or nothing. A hunk that does not fit where the diff says, and fits at exactly one other place, is applied there. A diff can make, delete, rename and copy files, and change their modes. It is refused if it has symbolic links, submodules or binary files. A file whose lines change may have at most 8 MiB.
    """
    fuzz: Annotated[int | None, Field(ge=0, le=2)] = None
    """
    FilePatch: how many lines of context may differ from the file at each end of a hunk. Unset: 0.
    """
    mode: Annotated[str | None, Field(pattern="^[0-7]{3,4}$")] = None
    """
    FilePatch: the mode of the file at path, as octal digits, such as 0755. Unset: a file that exists keeps its mode, and a new file gets 0644.
    """
    container: Annotated[
        str | None, Field(max_length=63, pattern="^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$")
    ] = None
    """
    The container that the step runs in. Unset: the container named executor, or else the first one that is not the sidecar.
    """


class TaskSpec(BaseModel):
    """
    What is to be done. Only cancel can be changed later.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    cancel: bool | None = None
    """
    true stops the task: the step that runs is killed with all its processes, and later steps do not begin. The task is Failed then, with the reason Canceled and exit code 137. This is the only field that can be changed, and only from false to true.
    """
    sandbox_ref: Annotated[
        str,
        Field(
            alias="sandboxRef",
            max_length=63,
            min_length=1,
            pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        ),
    ]
    """
    The name of the Sandbox, in the same namespace.
    """
    steps: Annotated[list[TaskStep], Field(max_length=256, min_length=1)]
    """
    The steps, in order. A step that fails ends the attempt, unless its onError is Continue.
    """
    timeout: Annotated[str | None, Field(max_length=64)] = None
    """
    The time limit of each step, as a duration such as 300s, 1m30.5s or 250ms; at least 1ms. A step that exceeds the limit is killed with all its processes, and has exit code 124. Unset means 300s, unless the operator's flags say otherwise.
    """
    retries: Annotated[int | None, Field(ge=0, le=10)] = 0
    """
    How many further attempts the task may have. One follows if a step failed, or if the agent restarted during a step. None follows if the pod was lost or the agent did not answer, because a sandbox never gets a second pod.
    """
    ttl_seconds_after_finished: Annotated[
        int | None, Field(alias="ttlSecondsAfterFinished", ge=0)
    ] = None
    """
    The operator deletes the task this many seconds after its end. Unset means never, unless the operator's flags say otherwise.
    """
    trace_id: Annotated[str | None, Field(alias="traceID", max_length=256)] = None
    """
    The caller's own identifier. It appears in log lines, Events and metrics.
    """


class TaskStepResult(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    name: str | None = None
    """
    The step's name.
    """
    exit_code: Annotated[int | None, Field(alias="exitCode")] = None
    """
    The step's exit code.
    """
    stdout: str | None = None
    """
    What the step wrote to standard output. Bytes that are not UTF-8 are replaced by U+FFFD.
    """
    stderr: str | None = None
    """
    What the step wrote to standard error. Bytes that are not UTF-8 are replaced by U+FFFD.
    """
    start_time: Annotated[AwareDatetime | None, Field(alias="startTime")] = None
    """
    When the step began.
    """
    duration: str | None = None
    """
    How long the step ran, as a duration.
    """
    error: str | None = None
    """
    Why the step failed, if the cause was not the program's own exit code.
    """
    truncated: bool | None = None
    """
    Whether stdout or stderr was longer than the operator's --output-limit. Then its middle is left out, and a marker there says how many bytes.
    """
    output_file: Annotated[str | None, Field(alias="outputFile")] = None
    """
    The files in the pod that have the whole output: one for each stream that was too long, with a space between. kubectl exec POD -c sidecar -- arl-sidecar cat FILE prints one. They are deleted with the pod, or earlier if the outputs of later steps need the room.
    """


class TaskAttempt(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    attempt: Annotated[int, Field(ge=1)]
    """
    The number of the attempt, from 1.
    """
    start_time: Annotated[AwareDatetime | None, Field(alias="startTime")] = None
    """
    When the attempt began.
    """
    completion_time: Annotated[AwareDatetime | None, Field(alias="completionTime")] = (
        None
    )
    """
    When the attempt ended.
    """
    exit_code: Annotated[int | None, Field(alias="exitCode")] = None
    """
    The exit code of the attempt: 0, or that of the first step that failed.
    """
    reason: str | None = None
    """
    Why the attempt ended, as one word in CamelCase.
    """
    message: str | None = None
    """
    Why the attempt ended, as a sentence for people.
    """


class TaskStatus(BaseModel):
    """
    How far the task is, and its result. Only the operator writes it.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    observed_generation: Annotated[int | None, Field(alias="observedGeneration")] = None
    """
    The metadata.generation that this status is about.
    """
    state: Literal["Pending", "Running", "Succeeded", "Failed"] | None = None
    """
    Pending: the task waits for its sandbox, or for earlier tasks of that sandbox. Running: its steps run, or a further attempt is about to begin. Succeeded: every step exited with 0. Failed: a step failed or could not be run. Succeeded and Failed are final.
    """
    exit_code: Annotated[int | None, Field(alias="exitCode")] = None
    """
    0, or the exit code of the first step that failed. 124: the step exceeded its time limit. 126: the program cannot be executed. 127: there is no such program. 128+n: signal n killed the program. 137 also: the task was canceled, or nobody knows how the step ended because the attempt was lost. 255: the agent restarted during the step. 1 also: the task or the step could not be started.
    """
    stdout: str | None = None
    """
    The standard output of all steps, joined in their order.
    """
    stderr: str | None = None
    """
    The standard error of all steps, joined in their order, with arl's own messages about steps that failed.
    """
    duration: str | None = None
    """
    How long the steps of the last attempt ran, as a duration. A clock that is set meanwhile does not change it.
    """
    start_time: Annotated[AwareDatetime | None, Field(alias="startTime")] = None
    """
    When the first step of the first attempt began.
    """
    completion_time: Annotated[AwareDatetime | None, Field(alias="completionTime")] = (
        None
    )
    """
    When the task ended.
    """
    steps: list[TaskStepResult] | None = None
    """
    The results of the last attempt: an entry for each step that began, in order.
    """
    attempt: Annotated[int | None, Field(ge=1)] = None
    """
    The number of the attempt that runs, or that had this result. Unset means the first.
    """
    sandbox_uid: Annotated[str | None, Field(alias="sandboxUID")] = None
    """
    The UID of the Sandbox in which the task was started. A later Sandbox with the same name does not run the task again.
    """
    attempts: list[TaskAttempt] | None = None
    """
    The attempts that have ended, in order. Unset as long as there is only one attempt.
    """
    conditions: list[Condition] | None = None
    """
    Finished: whether the task is over; as long as it is not, the message says what the task waits for. Succeeded: whether every step exited with 0; this condition appears when the task is over.
    """


class Task(BaseModel):
    """
    A Task is a list of steps and their results. The steps run in a Sandbox, one after the other, until one fails.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
    )
    api_version: Annotated[str | None, Field(alias="apiVersion")] = (
        "arl.infra.io/v1alpha1"
    )
    """
    The version of this schema, arl.infra.io/v1alpha1.
    """
    kind: str | None = "Task"
    """
    Task.
    """
    metadata: ObjectMeta
    spec: Annotated[TaskSpec, Field(title="TaskSpec")]
    """
    What is to be done. Only cancel can be changed later.
    """
    status: Annotated[TaskStatus | None, Field(title="TaskStatus")] = None
    """
    How far the task is, and its result. Only the operator writes it.
    """
