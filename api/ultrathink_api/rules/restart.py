"""Rules about spec.restart: what a rule of the job may say, and which ladders there are."""

from ultrathink_api.causes import USER_ERROR_EXIT_CODE
from ultrathink_api.log_patterns import GRAMMAR, is_pattern
from ultrathink_api.rules.statement import Rule
from ultrathink_api.sections.restart import RuleSpec

_ORDER = ("ranks", "workers", "cluster")
_LADDERS = (_ORDER, ("ranks", "workers"), ("workers", "cluster"), ("workers",))


def _retries_user_error(rule: RuleSpec) -> bool:
    named = USER_ERROR_EXIT_CODE in (rule.when.exit_codes or ()) or "UserError" in (rule.when.cause or ())
    return named and rule.do != "Fail"


def _names_something(rule: RuleSpec) -> bool:
    when = rule.when
    return when.exit_codes is not None or when.cause is not None or when.log is not None


RESTART: tuple[Rule, ...] = (
    Rule(
        code="UTK0170",
        at="spec.restart",
        field="spec.restart.rules",
        cel="!has(self.rules) || self.rules.all(r, has(r.when.exitCodes) || has(r.when.cause) || has(r.when.log))",
        holds=lambda restart: all(map(_names_something, restart.rules)),
        message="a rule says of no failure that it is the one",
        fix="give when at least one of exitCodes, cause and log",
    ),
    Rule(
        code="UTK0171",
        at="spec.restart",
        field="spec.restart.rules",
        cel="!has(self.rules) || self.rules.all(r, r.do == 'Fail' || "
        f"((!has(r.when.exitCodes) || !({USER_ERROR_EXIT_CODE} in "
        "r.when.exitCodes)) && (!has(r.when.cause) || !('UserError' in r.when.cause))))",
        holds=lambda restart: not any(map(_retries_user_error, restart.rules)),
        message=f"exit code {USER_ERROR_EXIT_CODE} and cause UserError say that the job itself is wrong, so they are "
        "never retried",
        fix="write do: Fail, or end ranks with another exit code",
    ),
    Rule(
        code="UTK0172",
        at="spec.restart",
        field="spec.restart.rules",
        cel=f"!has(self.rules) || self.rules.all(r, !has(r.when.log) || r.when.log.matches(r'{GRAMMAR}'))",
        holds=lambda restart: all(rule.when.log is None or is_pattern(rule.when.log) for rule in restart.rules),
        message="when.log is no pattern that is matched in linear time",
        fix=r"use text, . \d \w \s [a-z] with * + or ? behind them, and (one|other) once, not repeated and not nested",
    ),
    Rule(
        code="UTK0173",
        at="spec.restart",
        field="spec.restart.ladder",
        cel=f"!has(self.ladder) || self.ladder in {[list(ladder) for ladder in _LADDERS]}",
        holds=lambda restart: restart.ladder in _LADDERS,
        message="a ladder has its rungs in the order ranks, workers, cluster, each once, and always workers",
        fix="write ladder: [ranks, workers, cluster], and leave out ranks or cluster",
    ),
)
