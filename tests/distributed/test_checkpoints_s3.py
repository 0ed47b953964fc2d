"""The same on a real S3 server: ranks that were forked save beside training and restore on another layout."""

from typing import TYPE_CHECKING

import pytest

from distributed.jobs import attempt, job_store, patient
from distributed.layouts import EXPERTS, LAYOUTS, job_plan

if TYPE_CHECKING:
    from testbed.s3 import S3Server


def test_a_run_in_a_bucket_goes_on_where_it_was(
    s3_server: "S3Server", s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.env().items():
        monkeypatch.setenv(name, value)
    place = f"s3://{s3_bucket}/runs"
    first, second = (
        job_plan(LAYOUTS[name], model={"moe": EXPERTS, "layers": 2}, steps=4)
        for name in ("data 2", "pipeline 2, data 2")
    )

    told = attempt(
        first,
        place,
        1,
        prepare=patient,
        on_record=lambda record, control: setattr(control, "stop", record.get("step") == 1),
    )
    assert told.finishes == [("stopped", 2)] * 2
    rest = attempt(second, place, 2)
    assert [record["step"] for record in rest.of("restored")] == [2]
    assert list(rest.losses) == [3, 4]

    newest = job_store(place).find("latest")
    assert newest.step == 4
    assert newest.uri.startswith(place)
    assert job_store(place).verify(newest).ok
