"""Exit codes: what each one means, and which one a refusal ends with."""

from ultrathink_api.errors import Problem

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
FORBIDDEN = 4
JOB_FAILED = 5
TIMEOUT = 6
INVALID = 7
NOT_FINISHED = 8
CONFLICT = 9
INTERRUPTED = 130

MEANINGS = {
    OK: "it worked",
    FAILED: "the command failed",
    USAGE: "the command line cannot be understood",
    NOT_FOUND: "what was named does not exist",
    FORBIDDEN: "not signed in, or not permitted",
    JOB_FAILED: "the job failed (run --local, submit --wait, wait, logs -f --exit-status)",
    TIMEOUT: "it did not happen in time",
    INVALID: "the job was refused, by its rules or by the cluster",
    NOT_FINISHED: "the job has not come so far yet (wait --timeout 0)",
    CONFLICT: "it exists already, or somebody else has changed it",
    INTERRUPTED: "interrupted with Ctrl-C, nothing lost",
}

_BY_CODE = {
    "UTK0204": CONFLICT,
    "UTK0211": NOT_FOUND,
    "UTK0218": FAILED,
    "UTK0219": USAGE,
    "UTK0302": NOT_FOUND,
    "UTK0303": FORBIDDEN,
    "UTK0304": FORBIDDEN,
    "UTK0310": CONFLICT,
    "UTK0312": NOT_FOUND,
    "UTK0315": CONFLICT,
    "UTK0320": NOT_FOUND,
    "UTK0401": JOB_FAILED,
    "UTK0402": JOB_FAILED,
    "UTK0403": JOB_FAILED,
    "UTK0404": USAGE,
    "UTK0406": NOT_FOUND,
    "UTK0408": JOB_FAILED,
    "UTK0409": JOB_FAILED,
    "UTK0410": INVALID,
    "UTK0412": JOB_FAILED,
    "UTK0501": FORBIDDEN,
    "UTK0502": NOT_FOUND,
    "UTK0504": FORBIDDEN,
    "UTK0505": FORBIDDEN,
    "UTK0506": NOT_FOUND,
    "UTK0507": NOT_FOUND,
    "UTK0508": CONFLICT,
    "UTK0510": INVALID,
    "UTK0512": NOT_FOUND,
    "UTK0513": USAGE,
    "UTK0514": CONFLICT,
    "UTK0515": CONFLICT,
    "UTK0601": NOT_FOUND,
    "UTK0602": USAGE,
    "UTK0603": USAGE,
    "UTK0604": USAGE,
    "UTK0605": USAGE,
    "UTK0607": CONFLICT,
    "UTK0608": NOT_FOUND,
    "UTK0609": TIMEOUT,
}
_BY_RANGE = {"UTK01": INVALID, "UTK02": INVALID}


def of(problem: Problem) -> int:
    """The exit code of a refusal."""
    return _BY_CODE.get(problem.code, _BY_RANGE.get(problem.code[:5], FAILED))
