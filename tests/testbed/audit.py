"""What a ServiceAccount has really asked an API server for, by its audit log, against what its Roles grant."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLICY, LOG = "audit-policy.yaml", "audit.log"
_TEXT = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
"""
NO_RIGHT = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")
"""Everybody may ask what he may do; it takes no Role."""

Right = tuple[str, str, str]
"""(API group, resource or resource/subresource, verb)."""


def write_policy(folder: Path) -> Path:
    """For an API server: requests of ServiceAccounts, but Kubernetes' own."""
    file = folder / POLICY
    file.write_text(_TEXT)
    return file


@dataclass(frozen=True)
class Asked:
    """What one account asked for."""

    granted: frozenset[Right]
    refused: frozenset[Right]


def asked(log: Iterable[str], user: str) -> Asked:
    """By an audit log's lines."""
    granted, refused = set(), set()
    for line in log:
        event = json.loads(line)
        about = event.get("objectRef") or {}
        if event["user"]["username"] != user or "resource" not in about or about["resource"] in NO_RIGHT:
            continue
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        right = (about.get("apiGroup", ""), resource, event["verb"])
        allowed = (event.get("annotations") or {}).get("authorization.k8s.io/decision") != "forbid"
        (granted if allowed else refused).add(right)
    return Asked(frozenset(granted), frozenset(refused))


def grants(roles: Iterable[Mapping[str, Any]]) -> frozenset[Right]:
    """What Roles and ClusterRoles say."""
    return frozenset(
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def report(given: frozenset[Right], seen: Asked) -> tuple[list[str], bool]:
    """Lines for people, and whether there is nothing to complain of."""
    unused, missing = given - seen.granted, seen.refused | (seen.granted - given)
    wild = frozenset(right for right in given if "*" in right)
    lines = [f"{'used':8} {_said(right)}" for right in sorted(given & seen.granted)]
    for word, rights in (("unused", unused), ("missing", missing), ("wildcard", wild)):
        lines += [f"{word:8} {_said(right)}" for right in sorted(rights)]
    lines.append(f"{len(given)} granted, {len(unused)} unused, {len(missing)} missing, {len(wild)} wildcards")
    return lines, not (unused or missing or wild)


def _said(right: Right) -> str:
    group, resource, verb = right
    return f"{verb} {resource}{'.' + group if group else ''}"
