"""What NetworkPolicies let through between pods of one namespace, by the rules of networking.k8s.io/v1.

Peers of other namespaces are told by the namespace's labels. An address block is a peer of its own, given as `cidr`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod by its labels and those of its namespace, or an address outside."""

    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: Mapping[str, str] = field(default_factory=dict)
    ours: bool = True
    cidr: str = ""


def matches(selector: Document, labels: Mapping[str, str]) -> bool:
    """A label selector; an empty one takes everything."""
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    for one in selector.get("matchExpressions", ()):
        assert one["operator"] == "In"
        if labels.get(one["key"]) not in one["values"]:
            return False
    return True


def lets_through(
    policies: Sequence[Document],
    source: End,
    target: End,
    port: int,
    *,
    names: Mapping[str, int],
    protocol: str = "TCP",
) -> bool:
    """Whether a connection may be made; `names` are the target's named ports."""
    out = _allowed(policies, source, target, "Egress", port, names, protocol)
    return out and _allowed(policies, target, source, "Ingress", port, names, protocol)


def _allowed(
    policies: Sequence[Document],
    pod: End,
    other: End,
    direction: str,
    port: int,
    names: Mapping[str, int],
    protocol: str,
) -> bool:
    if not pod.ours:
        return True
    own = [
        one["spec"]
        for one in policies
        if direction in one["spec"]["policyTypes"] and matches(one["spec"]["podSelector"], pod.labels)
    ]
    peers = "from" if direction == "Ingress" else "to"
    rules = [rule for spec in own for rule in spec.get(direction.lower()) or ()]
    return not own or any(
        _port(rule.get("ports"), port, names, protocol) and _peer(rule.get(peers), other) for rule in rules
    )


def _port(ports: Sequence[Document] | None, port: int, names: Mapping[str, int], protocol: str) -> bool:
    return not ports or any(
        one.get("protocol", "TCP") == protocol and names.get(str(one["port"]), one["port"]) == port for one in ports
    )


def _peer(peers: Sequence[Document] | None, other: End) -> bool:
    if not peers:
        return True
    for one in peers:
        if "ipBlock" in one:
            found = one["ipBlock"]["cidr"] == other.cidr
        elif other.cidr:
            found = False
        elif "namespaceSelector" in one:
            found = matches(one["namespaceSelector"], other.namespace)
            found = found and matches(one.get("podSelector", {}), other.labels)
        else:
            found = other.ours and matches(one["podSelector"], other.labels)
        if found:
            return True
    return False
