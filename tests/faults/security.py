"""Writes docs/security.md from the same report: what somebody tries, and whether it failed closed."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from faults.negatives import NEGATIVES
from faults.page import Record, newest, told, verdict, waiting
from faults.plugin import REPORT, ROOT, SECURITY, read

HEAD = (Path(__file__).parent / "security_head.md").read_text()


def row(name: str, records: Sequence[Record], not_run: Sequence[str] = ()) -> str:
    """One line of the table."""
    functions = dict.fromkeys(record["test"].rpartition("::")[2].partition("[")[0] for record in records)
    tests = told(list(functions), not_run)
    commits = ", ".join(dict.fromkeys(record["commit"] for record in records)) or "-"
    return f"| {name} | {NEGATIVES[name]} | {tests} | {verdict(records)} | {commits} |"


def page(records: Sequence[Record], not_run: Mapping[str, Sequence[str]] | None = None) -> str:
    """The whole file."""
    by_name = newest(records)
    rows = [row(name, by_name.get(name, []), (not_run or {}).get(name, ())) for name in NEGATIVES]
    passed = sum("| pass |" in line for line in rows)
    return f"{HEAD}{chr(10).join(rows)}\n\n{passed} of {len(NEGATIVES)} pass.\n"


def main(arguments: Sequence[str]) -> int:
    """`python -m faults.security [REPORT]`."""
    report = Path(arguments[0]) if arguments else ROOT / REPORT
    (ROOT / SECURITY).write_text(page(read(report), waiting()))
    print(f"{SECURITY} from {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
