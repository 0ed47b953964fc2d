"""Every right the operator uses, resource by resource: the chart's Role holds these and no others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on one resource of one API group."""

    group: str
    resource: str
    verbs: tuple[str, ...]


IN_WATCHED_NAMESPACES = (
    Right("ultrathink.io", "ultrathinkjobs", ("get", "list", "watch", "patch")),
    Right("ultrathink.io", "ultrathinkjobs/status", ("patch",)),
    Right("ultrathink.io", "ultrathinkruntimes", ("list", "watch")),
    Right("apps", "statefulsets", ("get", "list", "watch", "create", "patch", "delete")),
    Right("", "services", ("get", "list", "watch", "create", "delete")),
    Right("", "pods", ("get", "list", "watch", "delete")),
    Right("", "configmaps", ("get", "create", "delete")),
    Right("", "secrets", ("create",)),
    Right("", "events", ("list",)),
    Right("networking.k8s.io", "networkpolicies", ("get", "create", "delete")),
    Right("policy", "poddisruptionbudgets", ("get", "create", "delete")),
)

IN_OWN_NAMESPACE = (Right("coordination.k8s.io", "leases", ("get", "create", "update")),)


def rules(rights: tuple[Right, ...]) -> list[dict[str, list[str]]]:
    """As a Role's rules."""
    return [{"apiGroups": [r.group], "resources": [r.resource], "verbs": list(r.verbs)} for r in rights]
