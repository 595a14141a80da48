"""What the chart's objects mean together: rights, selectors, references, what may flow, one owner of replicas."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flyball.gateway.config import GatewayConfig
from helm_pods import Document
from helm_program import ROOT, rendered, values_file
from network_policies import End, lets_through, matches

SETS = ("minimal", "everything", "keda")
UNREADY = {"control", "ingester"}
"""Beside the gateway, whose readiness is the pod's; docs/how-to/kubernetes.md says why."""
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}


@pytest.fixture(params=SETS)
def documents(request: pytest.FixtureRequest) -> list[Document]:
    return rendered("--values", values_file(request.param))


def workloads(documents: list[Document]) -> list[Document]:
    return [one for one in documents if one["kind"] in ("StatefulSet", "Deployment", "Job")]


def of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    return [one for one in documents if one["kind"] in kinds]


def pod_of(workload: Document) -> Document:
    found: Document = workload["spec"]["template"]["spec"]
    return found


def labels_of(workload: Document) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def containers(pod: Document) -> list[Document]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def test_pods_meet_the_restricted_pod_security_standard(documents: list[Document]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, profile `restricted`."""
    user = re.search(r"^USER (\d+):\d+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    for workload in workloads(documents):
        pod, own = pod_of(workload), pod_of(workload)["securityContext"]
        postgresql = workload["metadata"]["name"].endswith("-postgresql")
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert own["runAsNonRoot"] is True and own["runAsUser"] == (999 if postgresql else int(user[1]))
        assert own["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False and rights["readOnlyRootFilesystem"] is True
            assert rights["capabilities"] == {"drop": ["ALL"]} and "privileged" not in rights
            assert all("hostPort" not in port for port in container.get("ports", ()))
        for volume in pod["volumes"]:
            assert len(volume) == 2 and (volume.keys() - {"name"}) <= VOLUMES


def test_every_container_has_resources_and_every_lasting_one_probes(documents: list[Document]) -> None:
    for workload in workloads(documents):
        for container in containers(pod_of(workload)):
            name, resources = container["name"], container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys() and "memory" in resources["limits"], name
            lasting = container in pod_of(workload)["containers"] or container.get("restartPolicy") == "Always"
            lasting = lasting and workload["kind"] != "Job"
            assert ("readinessProbe" in container) == (lasting and name not in UNREADY), name
            assert ("livenessProbe" in container) == (lasting and name != "ingester"), name


def test_control_and_ingester_start_before_the_gateway_and_end_after_it_in_turn(documents: list[Document]) -> None:
    (workload,) = (one for one in workloads(documents) if one["metadata"]["name"].endswith("-gateway"))
    pod = pod_of(workload)
    lasting = [one["name"] for one in pod["initContainers"] if one.get("restartPolicy") == "Always"]
    assert lasting == ["control", "ingester"] and [one["name"] for one in pod["containers"]] == ["gateway"]
    assert [one["name"] for one in pod["initContainers"]][-2:] == lasting
    waits = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= waits + GatewayConfig().drain_s + 30
    assert workload["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenScaled": "Retain", "whenDeleted": "Retain"}
    state = next(one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "state")
    assert state["mountPath"] == "/project/.flyball"
    assert [one["metadata"]["name"] for one in workload["spec"]["volumeClaimTemplates"]] == ["state"]


def test_no_process_has_a_token_or_a_role(documents: list[Document]) -> None:
    assert not of_kind(documents, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    accounts = {one["metadata"]["name"]: one for one in of_kind(documents, "ServiceAccount")}
    assert all(one["automountServiceAccountToken"] is False for one in accounts.values())
    assert {pod_of(one)["serviceAccountName"] for one in workloads(documents)} == accounts.keys()
    assert all(pod_of(one)["automountServiceAccountToken"] is False for one in workloads(documents))


def test_selectors_take_the_pods_they_mean(documents: list[Document]) -> None:
    pods = {one["metadata"]["name"]: labels_of(one) for one in workloads(documents)}
    for workload in of_kind(documents, "StatefulSet", "Deployment"):
        chosen = [name for name, labels in pods.items() if matches(workload["spec"]["selector"], labels)]
        assert chosen == [workload["metadata"]["name"]]
        for spread in pod_of(workload).get("topologySpreadConstraints", ()):
            assert matches(spread["labelSelector"], labels_of(workload))
    for service in of_kind(documents, "Service"):
        chosen = [
            name for name, labels in pods.items() if matches({"matchLabels": service["spec"]["selector"]}, labels)
        ]
        (target,) = (one for one in workloads(documents) if [one["metadata"]["name"]] == chosen)
        ports = {port["name"] for one in pod_of(target)["containers"] for port in one["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for budget in of_kind(documents, "PodDisruptionBudget"):
        assert [n for n, labels in pods.items() if matches(budget["spec"]["selector"], labels)] == [
            budget["metadata"]["name"]
        ]
    names = {one["metadata"]["name"] for one in of_kind(documents, "Service")}
    assert {one["spec"]["serviceName"] for one in of_kind(documents, "StatefulSet")} <= names
    for route in of_kind(documents, "HTTPRoute"):
        assert {one["name"] for rule in route["spec"]["rules"] for one in rule["backendRefs"]} <= names


def test_replicas_have_one_owner(documents: list[Document]) -> None:
    (workload,) = (one for one in workloads(documents) if one["metadata"]["name"].endswith("-gateway"))
    owners = of_kind(documents, "HorizontalPodAutoscaler", "ScaledObject")
    assert len(owners) + ("replicas" in workload["spec"]) == 1
    for owner in owners:
        target = owner["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("StatefulSet", workload["metadata"]["name"])


def test_what_pods_refer_to_is_made_by_the_chart_or_named_by_the_user(documents: list[Document]) -> None:
    made = {
        (one["kind"], one["metadata"]["name"], key)
        for one in of_kind(documents, "Secret", "ConfigMap")
        for key in one["data"]
    }
    named = {("my-keys", "project-key"), ("my-keys", "admin-key"), ("my-keys", "metrics-key")}
    named |= {("my-database", "url"), ("openai", "key")}
    for workload in workloads(documents):
        for container in containers(pod_of(workload)):
            for variable in container["env"]:
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference:
                    pair = (reference["name"], reference["key"])
                    assert ("Secret", *pair) in made or pair in named
            mounted = {one["name"] for one in container["volumeMounts"]}
            claims = {one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", ())}
            assert mounted <= {one["name"] for one in pod_of(workload)["volumes"]} | claims
        for volume in pod_of(workload)["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"], "flyball.yaml") in made
    for monitor in of_kind(documents, "ServiceMonitor"):
        credentials = monitor["spec"]["endpoints"][0]["authorization"]["credentials"]
        assert (credentials["name"], credentials["key"]) in named


def test_two_releases_in_a_namespace_share_nothing() -> None:
    flags = ("--values", values_file("minimal"))
    one, other = rendered(*flags), rendered(*flags, release="second")
    ids = [{(doc["kind"], doc["metadata"]["name"]) for doc in found} for found in (one, other)]
    assert not ids[0] & ids[1]
    foreign = [labels_of(workload) for workload in workloads(other)]
    for policy in of_kind(one, "NetworkPolicy"):
        assert not any(matches(policy["spec"]["podSelector"], labels) for labels in foreign)


KUBE_SYSTEM = {"kubernetes.io/metadata.name": "kube-system"}
INGRESS = {"kubernetes.io/metadata.name": "ingress"}
DNS = End(namespace=KUBE_SYSTEM, ours=False)
FRIEND = End(labels={"app": "web"}, ours=True)
STRANGER = End(labels={"app": "web"}, namespace={"kubernetes.io/metadata.name": "other"}, ours=False)
INTERNET = End(cidr="0.0.0.0/0", ours=False)
UPSTREAM = End(cidr="203.0.113.0/24", ours=False)
METADATA = End(cidr="169.254.169.254/32", ours=False)


def ends(documents: list[Document]) -> dict[str, Any]:
    """Pods of the chart by what they are for."""
    return {one["metadata"]["name"].rpartition("-")[2]: End(labels=labels_of(one)) for one in workloads(documents)}


def test_what_must_flow_flows_and_nothing_else() -> None:
    documents = rendered("--values", values_file("minimal"))
    policies, pods = of_kind(documents, "NetworkPolicy"), ends(documents)
    names = {"http": 8080, "postgresql": 5432}

    def flows(source: End, target: End, port: int, protocol: str = "TCP") -> bool:
        return lets_through(policies, source, target, port, names=names, protocol=protocol)

    assert pods.keys() == {"gateway", "console", "migration", "postgresql"}
    for name in ("gateway", "console", "migration"):
        assert flows(pods[name], pods["postgresql"], 5432)
        assert flows(pods[name], DNS, 53, "UDP") and flows(pods[name], DNS, 53)
        assert not flows(pods[name], INTERNET, 443) and not flows(pods[name], METADATA, 80)
        assert not flows(pods[name], DNS, 443)
    assert flows(FRIEND, pods["gateway"], 8080)
    assert not flows(STRANGER, pods["gateway"], 8080) and not flows(FRIEND, pods["gateway"], 22)
    assert not flows(FRIEND, pods["postgresql"], 5432) and not flows(FRIEND, pods["console"], 8400)
    assert not flows(pods["postgresql"], INTERNET, 443) and not flows(pods["postgresql"], DNS, 53, "UDP")


def test_the_users_own_clients_ledger_and_servers_are_let_through() -> None:
    documents = rendered("--values", values_file("everything"))
    policies, pods = of_kind(documents, "NetworkPolicy"), ends(documents)

    def flows(source: End, target: End, port: int) -> bool:
        return lets_through(policies, source, target, port, names={"http": 8080})

    assert flows(End(namespace=INGRESS, ours=False), pods["gateway"], 8080)
    assert not flows(FRIEND, pods["gateway"], 8080) and not flows(STRANGER, pods["gateway"], 8080)
    assert flows(pods["gateway"], UPSTREAM, 443) and not flows(pods["gateway"], INTERNET, 443)
    assert not flows(pods["console"], UPSTREAM, 443)
    assert all(flows(pods[name], INTERNET, 5432) for name in ("gateway", "console", "migration"))


def test_clients_from_outside_reach_the_api_alone() -> None:
    documents = rendered("--values", values_file("everything"))
    (ingress,) = of_kind(documents, "Ingress")
    assert [path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]] == ["/v1"]
    (route,) = of_kind(documents, "HTTPRoute")
    assert [one["path"]["value"] for rule in route["spec"]["rules"] for one in rule["matches"]] == ["/v1"]
    assert all(
        "console" not in one["spec"]["selector"].get("app.kubernetes.io/component", "")
        for one in of_kind(documents, "Service")
    )
