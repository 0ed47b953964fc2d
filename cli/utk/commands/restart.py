"""utk restart: saves, and begins one new attempt from there."""

from utk.commands._change import Change, Where, apply, seen
from utk.commands._cluster import Raw
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
    """Save, then begin one new attempt, which is not counted against the budget.

    Shapes (-o): text, json, yaml, name, jsonpath=
    """
    from ultrathink_store.job import utc_now

    where = Where(namespace, context, kubeconfig, dry_run, wait, timeout, shape)
    change = Change("restart", "restartedAt", utc_now(), "to be restarted: it saves first", _began_anew)
    return apply(name, change, where)


def _began_anew(before: Raw, raw: Raw) -> bool:
    def attempt(job: Raw) -> int:
        return int(((job.get("status") or {}).get("attempt") or {}).get("number") or 0)

    phase = (raw.get("status") or {}).get("phase")
    return seen(raw) and phase == "Running" and attempt(raw) > attempt(before)
