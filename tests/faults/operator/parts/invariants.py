"""The invariants that no order of events may break, I1 to I12, as functions of what was seen. Pure."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]
TERMINAL = ("Succeeded", "Failed")
RATE, WINDOW_S = 10.0, 10.0
"""No more than so many requests a second, on behalf of one job, over this long."""
JOB_UID = "ultrathink.io/job-uid"
CLUSTER = "ultrathink.io/cluster"


def of_event(
    plural: str, kind: str, old: Json | None, new: Json, sets: Sequence[Json], forbidden: Sequence[str]
) -> list[str]:
    """What one event shows to be wrong."""
    found = [*_no_secret(plural, new, forbidden)]
    if kind == "DELETED":
        return found
    if plural == "ultrathinkjobs":
        found += _of_job(old or {}, new)
    elif plural == "statefulsets":
        found += [*_owned(plural, new), *_one_cluster(sets)]
    elif plural not in ("pods", "events"):
        found += _owned(plural, new)
    return found


def of_calls(calls: Iterable[Any]) -> list[str]:
    """What the operator's own requests show: a write that changed nothing, a flood."""
    made = list(calls)
    found = [f"I6: {call} changed nothing: {json.dumps(call.body)[:300]}" for call in made if _changed_nothing(call)]
    found += _before_intent(made)
    times = [call.at for call in made if call.plural != "leases" and not call.watches]
    most = int(RATE * WINDOW_S)
    found += [
        f"I12: {most} requests within {late - early:.1f} s"
        for early, late in zip(times, times[most:], strict=False)
        if late - early < WINDOW_S
    ][:1]
    return found


def _before_intent(calls: Iterable[Any]) -> Iterable[str]:
    """The number of a cluster is written before any of its objects is made, so that a late one is known as such."""
    intended: dict[str, int] = {}
    for call in calls:
        meta = (call.body or {}).get("metadata") or {}
        if call.method == "PATCH" and call.plural == "ultrathinkjobs" and call.subresource == "status":
            number = ((call.body or {}).get("status", {}).get("cluster") or {}).get("number", 0)
            intended[meta["uid"]] = max(number, intended.get(meta["uid"], 0))
        elif call.method == "POST" and CLUSTER in meta.get("labels", {}):
            labels = meta["labels"]
            if int(labels[CLUSTER]) > intended.get(labels[JOB_UID], 0):
                yield f"I1: {call} came before the status named cluster {labels[CLUSTER]}"


def of_log(text: str, forbidden: Sequence[str]) -> list[str]:
    return ["I11: the operator's log holds a secret value" for secret in forbidden if secret in text]


def _of_job(old: Json, new: Json) -> Iterable[str]:
    was, now = old.get("status") or {}, new.get("status") or {}
    generation = new["metadata"]["generation"]
    before, after = _attempt(was), _attempt(now)
    if after < before:
        yield f"I2: attempt {before} became {after}"
    if (was.get("cluster") or {}).get("number", 0) > (now.get("cluster") or {}).get("number", 0):
        yield f"I2: cluster {was['cluster']} became {now.get('cluster')}"
    if _step(now) < _step(was) and after <= before:
        yield f"I3: step {_step(was)} became {_step(now)} within attempt {after}"
    checkpoint, earlier = now.get("checkpoint") or {}, was.get("checkpoint") or {}
    if earlier and checkpoint.get("step", -1) < earlier["step"]:
        yield f"I4: checkpoint {earlier['step']} became {checkpoint.get('step')}"
    if checkpoint and not checkpoint.get("verified"):
        yield f"I4: checkpoint {checkpoint['step']} is told but was not verified"
    if was.get("phase") in TERMINAL and now.get("phase") != was["phase"]:
        yield f"I7: {was['phase']} became {now.get('phase')}"
    yield from _generations(was, now, generation)
    goodput = now.get("goodput")
    if goodput and abs(sum(goodput["seconds"].values()) - goodput["seconds"].get("wall", 100.0)) > 0.5:
        yield f"I9: {goodput['seconds']} do not sum up"


def _generations(was: Json, now: Json, generation: int) -> Iterable[str]:
    seen, earlier = now.get("observedGeneration", 0), was.get("observedGeneration", 0)
    if seen > generation or seen < earlier:
        yield f"I8: observedGeneration {earlier} became {seen} at generation {generation}"
    known = {c["type"]: c.get("observedGeneration", 0) for c in was.get("conditions", ())}
    for one in now.get("conditions", ()):
        of = one.get("observedGeneration", 0)
        if of > generation or of < known.get(one["type"], 0):
            yield f"I8: {one['type']} speaks of generation {of}, before of {known.get(one['type'])}"


def _one_cluster(sets: Sequence[Json]) -> Iterable[str]:
    alive: dict[str, set[str]] = {}
    for one in sets:
        labels = one["metadata"].get("labels", {})
        if JOB_UID in labels and not one["metadata"].get("deletionTimestamp"):
            alive.setdefault(labels[JOB_UID], set()).add(labels[CLUSTER])
    for uid, numbers in alive.items():
        if len(numbers) > 1:
            yield f"I1: job {uid} has clusters {sorted(numbers)} at once"


def _owned(plural: str, one: Json) -> Iterable[str]:
    uid = one["metadata"].get("labels", {}).get(JOB_UID)
    owners = [o["uid"] for o in one["metadata"].get("ownerReferences", ()) if o.get("controller")]
    if uid and owners != [uid]:
        yield f"I5: {plural}/{one['metadata']['name']} is owned by {owners}, not by {uid}"


def _no_secret(plural: str, one: Json, forbidden: Sequence[str]) -> Iterable[str]:
    if plural != "secrets":
        text = json.dumps(one)
        yield from (f"I11: {plural}/{one['metadata']['name']} shows a secret value" for s in forbidden if s in text)


def _changed_nothing(call: Any) -> bool:
    if call.method != "PATCH" or call.status != 200 or not call.answer or not call.body:
        return False
    meta = call.answer["metadata"]
    if meta.get("deletionTimestamp") and not meta.get("finalizers"):
        return False  # it was the last thing that held a deleted object: the answer is that object's last version
    return bool(call.body["metadata"].get("resourceVersion") == meta["resourceVersion"])


def _attempt(status: Json) -> int:
    return int((status.get("attempt") or {}).get("number", 0))


def _step(status: Json) -> int:
    return int((status.get("progress") or {}).get("step", 0))
