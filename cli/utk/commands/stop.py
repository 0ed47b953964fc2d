"""utk stop: a checkpoint, then all pods go; utk resume goes on from there."""

from utk.commands._change import Change, Where, apply, phase_in
from utk.options import Context, DryRun, Kubeconfig, Name, Namespace, Output, Timeout, Wait


def main(
    name: Name,
    wait: Wait = True,
    timeout: Timeout = "",
    dry_run: DryRun = "none",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Suspend a job: it saves, then gives its pods back. Shapes (-o): text, json, yaml, name, jsonpath="""
    where = Where(namespace, context, kubeconfig, dry_run, wait, timeout, shape)
    change = Change("stop", "suspend", True, "to be suspended: it saves first", phase_in("Suspended"))
    return apply(name, change, where)
