"""What the operator may do, verb by verb: who holds its token can do this and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest

Objects = list[dict[str, Any]]
Render = Callable[..., Objects]
One = Callable[..., dict[str, Any]]

WHERE_IT_WATCHES = {
    ("ultrathink.io", "ultrathinkjobs"): "get list watch patch",
    ("ultrathink.io", "ultrathinkjobs/status"): "patch",
    ("ultrathink.io", "ultrathinkruntimes"): "list watch",
    ("apps", "statefulsets"): "get list watch create patch delete",
    ("", "services"): "get list watch create delete",
    ("", "pods"): "get list watch delete",
    ("", "configmaps"): "get create delete",
    ("", "secrets"): "create",
    ("", "events"): "list",
    ("networking.k8s.io", "networkpolicies"): "get create delete",
    ("policy", "poddisruptionbudgets"): "get create delete",
}
AT_HOME = {("coordination.k8s.io", "leases"): "get create update"}


def granted(role: dict[str, Any]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for rule in role["rules"]:
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert (group, resource) not in found, f"{resource} is granted twice"
                found[group, resource] = " ".join(rule["verbs"])
    return found


def test_it_may_do_exactly_this_where_it_watches(render: Render, one: One) -> None:
    assert granted(one(render(), "Role", "release-operator")) == WHERE_IT_WATCHES


def test_it_may_hold_its_lease_at_home(render: Render, one: One) -> None:
    role = one(render('watchNamespaces=["team-a"]'), "Role", "release-operator-lease")
    assert (role["metadata"]["namespace"], granted(role)) == ("home", AT_HOME)


@pytest.mark.parametrize("scope", ["namespaced", "cluster"])
def test_nobody_is_granted_a_wildcard_or_a_look_into_secrets_or_a_pod_of_his_own(render: Render, scope: str) -> None:
    for role in (o for o in render(f'scope="{scope}"') if o["kind"] in ("Role", "ClusterRole")):
        rights = {(resource, verb) for (_, resource), verbs in granted(role).items() for verb in verbs.split()}
        assert not [right for right in rights if "*" in right]
        assert {verb for resource, verb in rights if resource == "secrets"} <= {"create"}
        assert ("pods", "create") not in rights
        assert not [resource for resource, _ in rights if resource.startswith("pods/")]
        assert not rights & {
            (kind, verb) for kind in ("roles", "rolebindings") for verb in ("create", "bind", "escalate")
        }


def test_what_the_code_asks_for_is_what_the_chart_grants(render: Render, one: One) -> None:
    from ultrathink_operator import rights

    objects = render()
    assert one(objects, "Role", "release-operator")["rules"] == rights.rules(rights.IN_WATCHED_NAMESPACES)
    assert one(objects, "Role", "release-operator-lease")["rules"] == rights.rules(rights.IN_OWN_NAMESPACE)


@pytest.mark.fault("N23")
def test_each_watched_namespace_has_its_role_and_nothing_is_cluster_wide(render: Render) -> None:
    objects = render('watchNamespaces=["team-a", "team-b"]', "crds.install=false")
    roles = [o for o in objects if o["kind"] == "Role" and o["metadata"]["name"] == "release-operator"]
    bindings = [o for o in objects if o["kind"] == "RoleBinding" and o["metadata"]["name"] == "release-operator"]
    assert [o["metadata"]["namespace"] for o in roles] == ["team-a", "team-b"]
    assert [o["metadata"]["namespace"] for o in bindings] == ["team-a", "team-b"]
    for binding in bindings:
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "release-operator", "namespace": "home"}]
        assert binding["roleRef"]["kind"] == "Role"
    assert not [o["kind"] for o in objects if o["kind"].startswith("Cluster")]


def test_by_default_the_namespace_of_the_release_is_watched(render: Render, one: One) -> None:
    objects = render()
    assert one(objects, "Role", "release-operator")["metadata"]["namespace"] == "home"
    assert environment(one(objects, "Deployment"))["ULTRATHINK_WATCH_NAMESPACES"] == "home"


def test_scope_cluster_takes_one_cluster_role_instead(render: Render, one: One) -> None:
    objects = render('scope="cluster"')
    role, binding = one(objects, "ClusterRole"), one(objects, "ClusterRoleBinding")
    assert granted(role) == WHERE_IT_WATCHES
    assert binding["roleRef"]["name"] == role["metadata"]["name"] == "home-release-operator"
    assert [o["metadata"]["name"] for o in objects if o["kind"] == "Role"] == ["release-operator-lease"]
    assert environment(one(objects, "Deployment"))["ULTRATHINK_WATCH_NAMESPACES"] == "*"


def test_without_rbac_nothing_is_granted(render: Render) -> None:
    kinds = {o["kind"] for o in render("rbac.create=false")}
    assert not {kind for kind in kinds if "Role" in kind}


def environment(deployment: dict[str, Any]) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value") for entry in container["env"]}
