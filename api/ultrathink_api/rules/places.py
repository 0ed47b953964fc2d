"""Rules about names and addresses: of the job, of its checkpoints, of where it starts."""

import re

from ultrathink_api.job import MAX_NAME
from ultrathink_api.rules.statement import Rule

NAME = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
CHECKPOINT_URI = "^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_./=-]*)?|file:///[A-Za-z0-9_./ =~+-]*)$"
CLIMBS = "(^|/)\\.\\.(/|$)"
EMPTY_PART = "([^:/]/|:///)/+[^/]|/\\.(/|$)"
"""Of a path: nothing between two slashes, or a dot alone. The store names no such folder."""
RESUME = "^(latest|none|[a-z]([-a-z0-9]*[a-z0-9])?@[0-9]+|(s3|file)://.+)$"


def _in_cel(pattern: str) -> str:
    return pattern.replace(chr(92), chr(92) * 2)


PLACES: tuple[Rule, ...] = (
    Rule(
        code="UTK0109",
        at="",
        field="metadata.name",
        cel=f"self.metadata.name.size() <= {MAX_NAME} && self.metadata.name.matches('{NAME}')",
        holds=lambda job: len(job.metadata.name) <= MAX_NAME and bool(re.search(NAME, job.metadata.name)),
        message=f"the name must match {NAME} and have at most {MAX_NAME} characters",
        fix="choose a shorter name of lower-case letters, digits and dashes that starts with a letter",
    ),
    Rule(
        code="UTK0123",
        at="spec.checkpoint",
        field="spec.checkpoint.uri",
        cel=f"!has(self.uri) || (self.uri.matches('{CHECKPOINT_URI}') && !self.uri.matches('{_in_cel(CLIMBS)}'))",
        holds=lambda checkpoint: (
            checkpoint.uri is None
            or (bool(re.search(CHECKPOINT_URI, checkpoint.uri)) and not re.search(CLIMBS, checkpoint.uri))
        ),
        message="checkpoint.uri must be s3://bucket/prefix or file:///folder, without '..'",
        fix="write it like s3://runs/team-a, or leave it out to use the runtime's storage",
    ),
    Rule(
        code="UTK0190",
        at="spec.checkpoint",
        field="spec.checkpoint.uri",
        cel=f"!has(self.uri) || !self.uri.matches('{_in_cel(EMPTY_PART)}')",
        holds=lambda checkpoint: checkpoint.uri is None or not re.search(EMPTY_PART, checkpoint.uri),
        message="checkpoint.uri holds an empty part, or a dot alone",
        fix="write it like s3://runs/team-a, with one slash between two names",
    ),
    Rule(
        code="UTK0191",
        at="spec.resume",
        field="spec.resume.from",
        cel=f"!has(self.from) || !self.from.contains('://') || !self.from.matches('{_in_cel(CLIMBS)}')",
        holds=lambda resume: resume.from_ is None or "://" not in resume.from_ or not re.search(CLIMBS, resume.from_),
        message="resume.from climbs out of its folder by '..'",
        fix="write the whole URI of the checkpoint",
    ),
    Rule(
        code="UTK0124",
        at="spec.resume",
        field="spec.resume.from",
        cel=f"!has(self.from) || self.from.matches('{RESUME}')",
        holds=lambda resume: resume.from_ is None or bool(re.search(RESUME, resume.from_)),
        message="resume.from must be latest, none, <job>@<step> or the URI of a checkpoint",
        fix="write resume: {from: latest}",
    ),
)
