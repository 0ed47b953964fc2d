"""From a kubeconfig to a client, as kubectl finds it; what stands in the way is said with the way around it."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultrathink_api.errors import Refused

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

DEFAULT_KUBECONFIG = "~/.kube/config"
CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 30.0
FIRST_ERROR = 400
IN_CLUSTER = "KUBERNETES_SERVICE_HOST"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Whom we speak to, and the namespace that is meant where none is said."""

    api: "ApiClient"
    namespace: str

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Any:
        """One request and its JSON. Raises ApiException for an answer that is an error."""
        response = self._send(method, path, query, REQUEST_SECONDS, body, content_type)
        return json.loads(response.data)

    def stream(self, path: str, query: Mapping[str, str], idle_seconds: float) -> Any:
        """A GET whose answer is read as it comes. Raises ApiException for an answer that is an error."""
        return self._send("GET", path, query, idle_seconds)

    def time(self) -> datetime:
        """The API server's own clock, to the second."""
        said: str = self._send("GET", "/version", None, REQUEST_SECONDS).headers["Date"]
        return parsedate_to_datetime(said)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        read_seconds: float,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Any:
        from kubernetes.client import ApiException

        request = self.api.param_serialize(
            method,
            path,
            query_params=[*(query or {}).items()],
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        response = self.api.call_api(*request, _request_timeout=(CONNECT_SECONDS, read_seconds)).response
        if response.status >= FIRST_ERROR:
            error = ApiException(status=response.status, reason=response.reason)
            error.body = response.data.decode("utf-8", "replace")
            raise error
        return response


def connect(
    namespace: str = "", context: str = "", kubeconfig: str = "", environ: Mapping[str, str] | None = None
) -> Cluster:
    """The cluster that kubectl would speak to."""
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings of retries would stand in our output
    environ = os.environ if environ is None else environ
    settings = Configuration()
    settings.retries = False
    files = kubeconfig or environ.get("KUBECONFIG") or str(Path(DEFAULT_KUBECONFIG).expanduser())
    if not any(Path(name).expanduser().is_file() for name in files.split(os.pathsep) if name):
        if environ.get(IN_CLUSTER) and not kubeconfig:
            try:
                config.load_incluster_config(client_configuration=settings)
            except config.ConfigException as error:  # a pod without a token of its own
                raise _no_kubeconfig(files) from error
            return Cluster(ApiClient(settings), namespace or _own_namespace())
        raise _no_kubeconfig(files)
    try:
        config.load_kube_config(files, context or None, client_configuration=settings, persist_config=False)
        contexts, active = config.list_kube_config_contexts(files)
    except (config.ConfigException, OSError, ValueError, TypeError) as error:
        raise _unfit(files, context, error) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "yaml":
            raise
        raise _unfit(files, context, error) from error
    chosen = next((c for c in contexts if c["name"] == context), None) if context else active
    home = (chosen or {}).get("context", {}).get("namespace")
    return Cluster(ApiClient(settings), namespace or home or "default")


def _own_namespace() -> str:
    path = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return path.read_text().strip() if path.is_file() else "default"


def _no_kubeconfig(files: str) -> Refused:
    return Refused.of(
        "UTK0501",
        field=files,
        message="there is no kubeconfig, so no cluster to speak to",
        fix="name one with --kubeconfig or KUBECONFIG; or make a cluster, which writes one (kind create cluster); "
        "or train right here: utk run --local FILE",
    )


def _unfit(files: str, context: str, error: Exception) -> Refused:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Refused.of(
        "UTK0502",
        field=f"--context {context}" if context else files,
        message=f"the kubeconfig {files} cannot be used: {said}",
        fix="kubectl config get-contexts shows what there is",
    )
