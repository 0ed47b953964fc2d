"""utk cancel: ends a job for good; its checkpoints stay."""

from utk.commands._change import Change, Where, apply, phase_in
from utk.options import Context, DryRun, Kubeconfig, Name, Namespace, Output, Timeout, Wait, Yes


def main(
    name: Name,
    yes: Yes = False,
    wait: Wait = True,
    timeout: Timeout = "",
    dry_run: DryRun = "none",
    shape: Output = "text",
    namespace: Namespace = "",
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> int:
    """End a job for good: it saves, gives its pods back, and is Failed with reason Cancelled.

    Shapes (-o): text, json, yaml, name, jsonpath=
    """
    where = Where(namespace, context, kubeconfig, dry_run, wait, timeout, shape, yes)
    warning = "It will save, give its pods back, and never go on; its checkpoints stay."
    change = Change("cancel", "cancel", True, "to be cancelled: it saves first", phase_in("Failed"), warning)
    return apply(name, change, where)
