"""utk resume: a suspended job goes on from its last checkpoint."""

from utk.commands._change import Change, Where, apply, phase_in
from utk.options import Context, DryRun, Kubeconfig, Name, Namespace, Output, Timeout, Wait


def main(
    name: Name,
    wait: Wait = False,
    timeout: Timeout = "",
    dry_run: DryRun = "none",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """Let a suspended job go on, on a new cluster. Shapes (-o): text, json, yaml, name, jsonpath="""
    where = Where(namespace, context, kubeconfig, dry_run, wait, timeout, shape)
    change = Change("resume", "suspend", False, "to go on from its last checkpoint", phase_in("Running"))
    return apply(name, change, where)
