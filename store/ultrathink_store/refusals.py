"""Why a job's folder says no, in one place and one tone."""

from collections.abc import Sequence

from ultrathink_api.errors import Refused
from ultrathink_store.backend import FIELD, Store

RESUME_FIELD = "spec.resume.from"


def corrupt_record(store: Store, key: str, reason: str) -> Refused:
    return Refused.of(
        "UTK0313",
        field=FIELD,
        message=f"{store.uri}/{key} cannot be read: {reason}",
        fix="restore that object, or create the job again with resume.from: none",
        why="without it nobody can tell which checkpoints belong to this run, and guessing could lose or mix them",
    )


def broken_chain(message: str) -> Refused:
    return Refused.of(
        "UTK0313",
        field=FIELD,
        message=message,
        fix="restore the START.json of that attempt, or create the job again with resume.from: none",
        why="without it nobody can tell which checkpoints belong to this run, and guessing could lose or mix them",
    )


def superseded(message: str) -> Refused:
    return Refused.of(
        "UTK0315", message=message, fix="stop this attempt; the newer one goes on", why="two writers would mix two runs"
    )


def checkpoint_missing(message: str) -> Refused:
    return Refused.of("UTK0312", field=RESUME_FIELD, message=message, fix="see `utk checkpoints ls` for what there is")


def checkpoint_in_use(message: str, fix: str) -> Refused:
    return Refused.of("UTK0319", message=message, fix=fix)


def checkpoint_corrupt(uri: str, broken: Sequence[str]) -> Refused:
    return Refused.of(
        "UTK0311",
        field=FIELD,
        message=f"no checkpoint below {uri} is valid: {'; '.join(broken[:5])}",
        fix="restore one from a copy, or create the job again with resume.from: none to start from scratch on purpose",
    )


def checkpoints_exist(uri: str, owner: str) -> Refused:
    return Refused.of(
        "UTK0310",
        field=RESUME_FIELD,
        message=f"{uri} already belongs to another job of this name, with uid {owner}",
        fix="say resume.from: latest to go on, none to start from scratch, or which checkpoint; or rename the job",
        why="two jobs in one folder would mix their checkpoints, and starting from scratch would hide the old ones",
    )


def resume_unfit(text: str, why: str) -> Refused:
    return Refused.of(
        "UTK0124",
        field=RESUME_FIELD,
        message=f"{text!r} cannot be understood: {why}",
        fix="write latest, none, JOB@STEP or the URI of a checkpoint",
    )


def foreign(uri: str, base: str) -> Refused:
    return Refused.of(
        "UTK0314",
        field=RESUME_FIELD,
        message=f"{uri} lies below {base} in the folder of another namespace",
        fix="copy that checkpoint into a place of your own and name the copy",
        why="jobs of one bucket share its credentials, so the namespace is the only border between them",
    )
