"""What the API server refuses, in our words: verb, resource and namespace, and the command that shows or mends it."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ultrathink_api import API_GROUP
from ultrathink_api.errors import CODES, Problem, Refused
from ultrathink_api.job import PLURAL

RESOURCE = f"{PLURAL}.{API_GROUP}"
CHART = "charts/ultrathink"
RELEASE = "ultrathink"
RELEASE_NAMESPACE = "ultrathink"
INSTALL = f"helm install {RELEASE} {CHART} --namespace {RELEASE_NAMESPACE} --create-namespace"
UPGRADE = f"helm upgrade {RELEASE} {CHART} --namespace {RELEASE_NAMESPACE} --reset-then-reuse-values"

_OURS = re.compile(r"(UTK\d{4}) (.*?)(?: \(fix: (.*?)\))?$", re.DOTALL)


@contextmanager
def asking(verb: str, namespace: str, name: str = "", resource: str = RESOURCE) -> Iterator[None]:
    """Turns every failure of the request inside into a refusal."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        raise refusal(error.status or 0, error.body, verb, namespace, name, resource) from error
    except (HTTPError, OSError) as error:
        raise unreachable(error) from error


def refusal(status: int, body: Any, verb: str, namespace: str, name: str, resource: str) -> Refused:
    """The refusal behind an answer that is an error."""
    said = _status(body)
    message = str(said.get("message") or body or f"status {status}").strip()
    details = said.get("details") or {}
    where = f"{resource} in {namespace}" if namespace else f"{resource} in all namespaces"
    match status:
        case 401:
            return Refused.of(
                "UTK0504",
                field="kubeconfig",
                message=f"the API server does not accept these credentials: {message}",
                fix="sign in again, then try: kubectl auth whoami",
            )
        case 403 if said.get("reason") == "Forbidden" and "UTK" not in message and "cannot" in message:
            return _forbidden(verb, namespace, resource, where, message)
        case 404:
            return _missing(details, message, namespace, name, resource)
        case 409:
            return _conflict(said, message, name)
        case 400 | 403 | 422:
            return _admission(said, message)
        case _:
            return Refused.of(
                "UTK0511",
                message=f"{verb} {where}: the API server answered {status}: {message}",
                fix="try again; kubectl get --raw /readyz tells whether the API server is well",
            )


def unreachable(error: Exception) -> Refused:
    """Nobody answered."""
    reason = getattr(error, "reason", None) or error
    return Refused.of(
        "UTK0503",
        field="kubeconfig",
        message=f"the API server does not answer: {str(reason).splitlines()[0]}",
        fix="kubectl cluster-info shows the address; check VPN and cluster, or train right here: utk run --local FILE",
    )


def not_found(namespace: str, name: str, known: list[str]) -> Refused:
    """There is no job of that name."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    fix = f"did you mean {close[0]}?" if close else f"utk list -n {namespace} shows what there is"
    return Refused.of("UTK0507", field=name, message=f"there is no job {name} in namespace {namespace}", fix=fix)


def unwatched(namespace: str) -> Problem:
    """Nobody has taken notice of a job."""
    return Problem(
        code="UTK0509",
        field=f"namespace {namespace}",
        message=f"the job is stored, but no operator has taken notice of it: no operator watches namespace {namespace}",
        why="an operator acts only in the namespaces that its release names, and only while it runs",
        fix=f"{UPGRADE} --set 'watchNamespaces={{{namespace}}}' (list those that it watches already, too); "
        f"kubectl get pods -n {RELEASE_NAMESPACE} shows whether it runs",
    )


def silent(namespace: str) -> Problem:
    """The operator that once saw a job says nothing to what was changed in it."""
    return replace(
        unwatched(namespace),
        message="the change is stored, but the operator does not answer; it is made as soon as one does",
        fix=f"kubectl get pods -n {RELEASE_NAMESPACE} shows whether it runs, "
        f"helm get values {RELEASE} -n {RELEASE_NAMESPACE} whether it still watches namespace {namespace}",
    )


def _status(body: Any) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (TypeError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _forbidden(verb: str, namespace: str, resource: str, where: str, message: str) -> Refused:
    return Refused.of(
        "UTK0505",
        field=f"{verb} {where}",
        message=f"you may not {verb} {where}",
        why=message,
        fix=role_to_ask_for((verb,), namespace, resource),
    )


def role_to_ask_for(verbs: Sequence[str], namespace: str, resource: str) -> str:
    """The command that shows what is lacking, and the Role that would give it."""
    plural, _, group = resource.partition(".")
    scope = f"-n {namespace}" if namespace else "-A"
    said = ", ".join(f'"{verb}"' for verb in verbs)
    return (
        f"kubectl auth can-i {verbs[0]} {resource} {scope} shows it; ask for a Role with "
        f'{{apiGroups: ["{group}"], resources: ["{plural}"], verbs: [{said}]}}'
    )


def _missing(details: dict[str, Any], message: str, namespace: str, name: str, resource: str) -> Refused:
    if details.get("kind") == "namespaces":
        return Refused.of(
            "UTK0512",
            field=f"namespace {namespace}",
            message=f"there is no namespace {namespace}",
            fix=f"kubectl create namespace {namespace}, or name another with -n",
        )
    if resource == RESOURCE and not details.get("name"):
        return Refused.of(
            "UTK0506",
            field=RESOURCE,
            message="the cluster does not know UltraThinkJob: its CRDs are not installed",
            fix=INSTALL,
        )
    if resource == RESOURCE:
        return not_found(namespace, name, [])
    return Refused.of("UTK0511", field=name, message=message, fix="try again; it has just gone")


def _conflict(said: dict[str, Any], message: str, name: str) -> Refused:
    causes = (said.get("details") or {}).get("causes") or []
    fields = ", ".join(sorted({str(cause.get("field", "")).lstrip(".") for cause in causes} - {""}))
    return Refused.of(
        "UTK0508",
        field=fields or name,
        message=message.splitlines()[0],
        why="each field of a job belongs to whoever set it last",
        fix="leave these fields as they are, or take them over: "
        "kubectl apply --server-side --field-manager=utk --force-conflicts -f FILE",
    )


def _admission(said: dict[str, Any], message: str) -> Refused:
    causes = (said.get("details") or {}).get("causes") or [{"message": message}]
    problems = []
    for cause in causes:
        text = str(cause.get("message") or message)
        ours = _OURS.search(text)
        code = ours[1] if ours and ours[1] in CODES else "UTK0510"
        problems.append(
            Problem(
                code=code,
                field=str(cause.get("field") or ""),
                message=ours[2] if ours else text,
                fix=(ours[3] if ours and ours[3] else "correct the file and submit it again"),
            )
        )
    return Refused(*dict.fromkeys(problems))
