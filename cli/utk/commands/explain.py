"""utk explain: what a code means, which rule is behind it, and how to get past it."""

from typing import Annotated, Any

import typer

from ultrathink_api.errors import CODES, Refused
from utk import exits, output
from utk.console import console
from utk.examples import EXAMPLES
from utk.options import Output

RANGES = {
    "UTK01": "the job's text",
    "UTK02": "data and model",
    "UTK03": "the store of checkpoints",
    "UTK04": "the run itself",
    "UTK05": "the cluster",
    "UTK06": "the command line",
}


def main(
    code: Annotated[str, typer.Argument(metavar="CODE", help="A code, as UTK0107.", show_default=False)],
    shape: Output = "text",
) -> None:
    """Explain a code. Shapes (-o): text, json, yaml, jsonpath=."""
    output.allow(shape, "text", "json", "jsonl", "yaml", output.JSONPATH)
    value = explanation(code)
    output.show(shape, value, text=lambda: _text(value))


def explanation(word: str) -> dict[str, Any]:
    """All that is known of a code, or of its name. Raises Refused UTK0608."""
    import difflib

    from ultrathink.reports import report
    from ultrathink_api import cures
    from ultrathink_api.errors import Problem
    from ultrathink_api.rules import RULES, TRANSITIONS

    by_name = {entry.name.lower(): entry for entry in CODES.values()}
    entry = CODES.get(word.upper()) or by_name.get(word.lower())
    if entry is None:
        close = difflib.get_close_matches(word.upper(), CODES, n=1, cutoff=0.5)
        fix = f"did you mean {close[0]}?" if close else "codes look like UTK0107"
        raise Refused.of("UTK0608", field=word, message=f"there is no code {word}", fix=fix)
    rules = [
        {"field": rule.field, "message": rule.message, "fix": rule.fix, "cel": rule.cel}
        for rule in (*RULES, *TRANSITIONS)
        if rule.code == entry.code
    ]
    example = EXAMPLES.get(entry.code)
    exit_code = exits.of(Problem(code=entry.code, field="", message="", fix=""))
    return report(
        "Explanation",
        code=entry.code,
        name=entry.name,
        title=entry.title,
        about=RANGES[entry.code[:5]],
        fix=cures.of_code(entry.code),
        exitCode=exit_code,
        rules=rules,
        **({"example": {"wrong": example[0], "right": example[1]}} if example else {}),
    )


def _text(value: dict[str, Any]) -> None:
    console.print(f"{console.paint(value['code'], 'bold', console.out)} {value['name']}: {value['title']}.")
    console.print(f"It is about {value['about']}; utk ends with exit code {value['exitCode']}.")
    if not value["rules"]:
        console.print(f"\n  fix    {value['fix']}")
    for rule in value["rules"]:
        console.print()
        console.print(f"  field  {rule['field']}")
        console.print(f"  rule   {rule['message']}")
        console.print(f"  fix    {rule['fix']}")
        console.print(f"  CEL    {rule['cel']}")
    for word, color in (("wrong", "red"), ("right", "green")):
        if "example" in value:
            console.print(f"\n{console.paint(word, color, console.out)}:")
            for line in value["example"][word].splitlines():
                console.print(f"  {line}")
