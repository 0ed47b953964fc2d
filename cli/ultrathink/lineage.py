"""Where runs come from: finds what an attempt was made from, and writes the same job again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ultrathink.models import given
from ultrathink_api import API_GROUP, GROUP_VERSION
from ultrathink_api.errors import Refused
from ultrathink_api.job import KIND, MAX_NAME, JobSpec, UltraThinkJob
from ultrathink_api.validate import check
from ultrathink_planner import plan
from ultrathink_store import Epoch, JobStore, StorageSettings, layout, listing, open_store
from ultrathink_store.checkpoint import Corrupt
from ultrathink_store.lineage import Lineage, lineage
from ultrathink_store.records import Unreadable

AGAIN = "-again"
"""Behind the name: under the old one it would be the old job."""
ASKED_OF_THE_RUN = ("suspend", "cancel", "restartedAt")
"""What was said to the job as it ran."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A job that starts as an attempt of another did, and what it cannot say."""

    job: dict[str, Any]
    run: str
    """The folder of the run."""
    attempt: int
    notes: tuple[str, ...]


def reproduced(uri: str, *, uid: str = "", attempt: int = 1, settings: StorageSettings | None = None) -> Reproduction:
    """The job at a checkpoint.uri, a job's folder, a run's folder or a checkpoint; `uid` says which run of it.

    Raises Refused UTK0320 where that is not recorded.
    """
    job = _run(uri, uid, settings)
    where = f"{job.store.uri}/{job.uid}"
    epochs = job.epochs()
    chosen = next((epoch for epoch in epochs if epoch.number == attempt), None)
    if chosen is None:
        known = f"it has attempts 1 to {epochs[-1].number}" if epochs else "it has not begun"
        raise _unknown(f"{where} has no attempt {attempt}: {known}", "name another with --attempt, or another run")
    found = _lineage(where, chosen)
    if found is None:
        raise _unknown(
            f"attempt {attempt} of {where} does not say what it was made from",
            "it was made by an older version: write the job by hand; utk checkpoints ls shows what it saved",
        )
    written = _written(job, chosen, found)
    notes = [*_plan_notes(written.spec, found), *_run_notes(chosen, epochs, found, where)]
    fingerprint = _data_fingerprint(job)
    if fingerprint is None and written.spec.data.fingerprint is None:
        notes.append("no checkpoint says which data were read: they are named by their URI alone")
    raw = _plain(_unasked(written.dump()["spec"]))
    if fingerprint is not None:
        raw["data"]["fingerprint"] = fingerprint
    rows = chosen.start.detail.get("microBatchSequences")
    if isinstance(rows, int):  # memory was short before it: the same step in smaller pieces
        raw["training"]["microBatchSequences"] = rows
    annotations = _annotations(found, f"{where}/epoch-{attempt}")
    metadata = {"name": written.metadata.name, "annotations": annotations}
    said = {"apiVersion": written.api_version, "kind": written.kind, "metadata": metadata, "spec": raw}
    return Reproduction(said, where, attempt, tuple(notes))


def _run(uri: str, uid: str, settings: StorageSettings | None) -> JobStore:
    one = layout.address(uri)
    if one is not None:
        return JobStore(open_store(one.prefix, settings), uid or one.uid, read_only=True)
    folder, _, last = uri.rstrip("/").rpartition("/")
    if not uid and layout.is_uid(last) and "://" in folder:
        above = JobStore(open_store(folder, settings), last, read_only=True)
        if above.ledger.owner() is not None and above.ledger.starts(last):
            return above
    jobs = list(listing.jobs(open_store(uri, settings)))
    if not jobs:
        raise _unknown(f"there is no job below {uri}", "name a job's checkpoint.uri, its folder, or one checkpoint")
    if len(jobs) > 1:
        raise Refused.of(
            "UTK0604",
            field="utk reproduce",
            message=f"{uri} does not say which job: {', '.join(name for name, _ in jobs[:5])}",
            fix=f"utk reproduce {uri.rstrip('/')}/{jobs[0][0]}",
        )
    job = jobs[0][1]
    return JobStore(job.store, uid, read_only=True) if uid else job


def _lineage(where: str, epoch: Epoch) -> Lineage | None:
    try:
        return lineage(epoch.start)
    except Unreadable as error:
        raise _unknown(
            f"what attempt {epoch.number} of {where} was made from cannot be read: {error}",
            "restore its START.json, or name another attempt with --attempt",
        ) from error


def _written(job: JobStore, epoch: Epoch, found: Lineage) -> UltraThinkJob:
    """The job, as this version reads it. Raises Refused with what it no longer takes."""
    spec = _unasked(found.spec)
    parent = epoch.start.parent
    spec["resume"] = {"from": parent.uri if parent else "none"}
    name = job.store.uri.rpartition("/")[2][: MAX_NAME - len(AGAIN)].rstrip("-.") + AGAIN
    written, problems = check({"apiVersion": GROUP_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec})
    if written is None:
        raise Refused(*problems)
    return written


def _plan_notes(spec: JobSpec, found: Lineage) -> Iterator[str]:
    """Whether this version makes the same plan of it."""
    try:
        made = plan(spec, given(spec.model)).digest
    except Refused as refused:
        yield f"here it cannot be planned: {refused.problem}"
        return
    if made != found.plan_digest:
        version = found.versions.get("ultrathink", "unknown")
        yield f"UltraThink {version} planned it as {found.plan_digest}, this one as {made}: steps may differ"


def _run_notes(chosen: Epoch, epochs: list[Epoch], found: Lineage, where: str) -> Iterator[str]:
    if found.image:
        yield f"it ran in image {found.image}: name it in the job's runtime"
    skips = chosen.start.detail.get("skips")
    if skips:
        yield f"attempt {chosen.number} left out rows {skips} of the data, which a new job reads first"
    for later in epochs[epochs.index(chosen) + 1 :]:
        other = _lineage(where, later)
        if other is not None and other.plan_digest != found.plan_digest:
            yield f"from attempt {later.number} on the run had another plan: --attempt {later.number} writes that one"
            return


def _data_fingerprint(job: JobStore) -> str | None:
    """What the newest checkpoint of the run says of its data."""
    for ref in job.chain().checkpoints():
        if not job.is_ours(ref) or ref.uid != job.uid:
            continue
        try:
            data = job.load_manifest(ref).state.get("data")
        except Corrupt:
            continue
        cursor = data.get("cursor") if isinstance(data, dict) else None
        fingerprint = cursor.get("fingerprint") if isinstance(cursor, dict) else None
        return fingerprint if isinstance(fingerprint, str) else None
    return None


def _annotations(found: Lineage, start: str) -> dict[str, str]:
    said = {
        "reproduces": start,
        "spec-digest": f"sha256:{found.spec_digest}",
        "plan-digest": found.plan_digest,
        "image": found.image,
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(found.versions.items())),
    }
    return {f"{API_GROUP}/{name}": value for name, value in said.items() if value}


def _unasked(spec: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name not in ASKED_OF_THE_RUN}


def _plain(spec: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty: it says nothing."""
    kept = {name: _plain(value) if isinstance(value, dict) else value for name, value in spec.items()}
    return {name: value for name, value in kept.items() if value not in ({}, [])}


def _unknown(message: str, fix: str) -> Refused:
    return Refused.of("UTK0320", field="utk reproduce", message=message, fix=fix)
