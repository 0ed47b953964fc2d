"""Every example that utk explain shows is what it says: the wrong one is refused with its code, the right one fits."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ultrathink import Job
from utk.examples import EXAMPLES

QUICKSTART = Path(__file__).parents[3] / "manifests" / "examples" / "quickstart.yaml"


def problems(fragment: str) -> list[str]:
    job: dict[str, Any] = yaml.safe_load(QUICKSTART.read_text())
    job["spec"] |= yaml.safe_load(fragment)
    return [problem.code for problem in Job.from_dict(job).validate()]


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_is_what_it_says(code: str) -> None:
    wrong, right = EXAMPLES[code]
    assert code in problems(wrong)
    assert problems(right) == []
