"""`python -m ultrathink_operator.check`: what `helm test` asks of an installation, and how to mend what is wrong."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes import client, config

from ultrathink_api import API_GROUP, API_VERSION, GROUP_VERSION
from ultrathink_api.job import KIND, PLURAL
from ultrathink_operator import rights
from ultrathink_operator.settings import ALL_NAMESPACES

PATIENCE_S = 10.0
JOB: Mapping[str, Any] = {
    "apiVersion": GROUP_VERSION,
    "kind": KIND,
    "metadata": {"name": "check"},
    "spec": {
        "model": {"preset": "moe-tiny"},
        "data": {"uri": "builtin://stories"},
        "training": {"steps": 1},
        "workers": {"count": 1},
    },
}
WRONG = {**JOB, "spec": {**JOB["spec"], "training": {"steps": 1, "tokens": 1}}}
WRONG_BY = "UTK0110"
"""The rule that WRONG breaks."""

Get = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `wrong` says what is the matter and how it is put right."""

    what: str
    wrong: str = ""


def findings(
    api: client.ApiClient, get: Get, *, home: str, watched: tuple[str, ...], account: str
) -> Iterator[Finding]:
    """All that an installation needs, from the outside in. `get` reads a path of the operator's port."""
    for namespace in watched:
        yield _takes_jobs(api, namespace)
        yield _refuses_what_is_wrong(api, namespace)
        yield _may(api, namespace, f"system:serviceaccount:{home}:{account}", rights.IN_WATCHED_NAMESPACES)
    yield _may(api, home, f"system:serviceaccount:{home}:{account}", rights.IN_OWN_NAMESPACE)
    yield _answers(get, "/readyz", "ok", "see the log of the operator's pod")
    yield _answers(get, "/metrics", "ultrathink_", "see the log of the operator's pod")


def _takes_jobs(api: client.ApiClient, namespace: str) -> Finding:
    what = f"jobs can be created in {namespace}"
    error = _dry_run(api, namespace, JOB)
    if error is None:
        return Finding(what)
    if error.status == 404:
        return Finding(
            what, "the CRDs or the namespace are missing: helm upgrade --set crds.install=true, or create it"
        )
    return Finding(what, f"the API server refused the smallest job: {error.body}")


def _refuses_what_is_wrong(api: client.ApiClient, namespace: str) -> Finding:
    what = f"a wrong job is refused in {namespace}"
    error = _dry_run(api, namespace, WRONG)
    if error is not None and WRONG_BY in str(error.body):
        return Finding(what)
    return Finding(what, "the CRDs are older than the operator, for their rules are missing: upgrade them")


def _dry_run(api: client.ApiClient, namespace: str, job: Mapping[str, Any]) -> client.ApiException | None:
    try:
        client.CustomObjectsApi(api).create_namespaced_custom_object(
            API_GROUP, API_VERSION, namespace, PLURAL, job, dry_run="All", _request_timeout=PATIENCE_S
        )
    except client.ApiException as error:
        return error
    return None


def _may(api: client.ApiClient, namespace: str, user: str, wanted: tuple[rights.Right, ...]) -> Finding:
    what = f"the operator has its rights in {namespace}"
    missing = [
        f"{verb} {right.resource}{'.' + right.group if right.group else ''}"
        for right in wanted
        for verb in right.verbs
        if not _allowed(api, namespace, user, right, verb)
    ]
    return Finding(what, f"{user} lacks: {', '.join(missing)} (helm upgrade, or rbac.create)" if missing else "")


def _allowed(api: client.ApiClient, namespace: str, user: str, right: rights.Right, verb: str) -> bool:
    resource, _, subresource = right.resource.partition("/")
    asked = {"namespace": namespace, "verb": verb, "group": right.group, "resource": resource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "LocalSubjectAccessReview",
        "metadata": {"namespace": namespace},
        "spec": {"user": user, "resourceAttributes": {**asked, "subresource": subresource}},
    }
    answer = client.AuthorizationV1Api(api).create_namespaced_local_subject_access_review(
        namespace, review, _request_timeout=PATIENCE_S
    )
    return bool(answer.status.allowed)


def _answers(get: Get, path: str, word: str, fix: str) -> Finding:
    what = f"the operator answers {path}"
    try:
        text = get(path)
    except OSError as error:
        return Finding(what, f"{error} ({fix})")
    return Finding(what, "" if word in text else f"it says: {text[:200]} ({fix})")


def main() -> int:
    """0 if nothing is the matter."""
    config.load_incluster_config()
    home, url = os.environ["ULTRATHINK_NAMESPACE"], os.environ["ULTRATHINK_OPERATOR_URL"]
    named = os.environ["ULTRATHINK_WATCH_NAMESPACES"]
    watched = (home,) if named == ALL_NAMESPACES else tuple(named.split(","))

    def get(path: str) -> str:
        try:
            with urllib.request.urlopen(url + path, timeout=PATIENCE_S) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:  # why it is not ready stands in the body
            return error.read().decode()

    account, wrong = os.environ["ULTRATHINK_ACCOUNT"], 0
    for finding in findings(client.ApiClient(), get, home=home, watched=watched, account=account):
        print(f"{'WRONG' if finding.wrong else 'ok   '} {finding.what}{': ' if finding.wrong else ''}{finding.wrong}")
        wrong += bool(finding.wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
