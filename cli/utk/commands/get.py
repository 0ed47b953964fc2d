"""utk get: the object itself, as the API server holds it."""

from utk import output
from utk.commands._cluster import Raw, connect, named
from utk.options import Context, Kubeconfig, Name, Namespace, Output


def main(
    name: Name,
    shape: Output = "yaml",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Show a job's object, as kubectl get does; utk status explains it. Shapes (-o): yaml, json, name, jsonpath=."""
    output.allow(shape, "yaml", "json", "jsonl", "name", output.JSONPATH)
    raw = named(connect(namespace, context, kubeconfig), name)
    output.show(shape, _plain(raw), lambda: None, lambda: f"ultrathinkjob.ultrathink.io/{raw['metadata']['name']}")


def _plain(raw: Raw) -> Raw:
    """Without who set which field, which kubectl leaves out too."""
    metadata = {key: value for key, value in raw["metadata"].items() if key != "managedFields"}
    parts = {key: raw[key] for key in ("spec", "status") if key in raw}
    return {"apiVersion": raw["apiVersion"], "kind": raw["kind"], "metadata": metadata, **parts}
