"""Specs at random: command line, operator and a real API server judge alike, and no pod becomes more than the claim.

`make test` takes the first tenth; `make fuzz` takes all.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from integration.api import claim, specs
from ultrathink import Job
from ultrathink_api import API_GROUP, API_VERSION
from ultrathink_api.crd import crds
from ultrathink_api.errors import Refused
from ultrathink_api.job import PLURAL
from ultrathink_api.validate import check
from ultrathink_operator.policies.admission import planned
from vectors.reading import changed

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane

ALL = 20_000
TENTH = ALL // 10
AT_ONCE = 24
SHOWN = 20
FLOATS = ("expected int, got float64", "expected XIntOrString value to be")
"""The API server takes 2.0 for an integer, but where its own rules look; we do everywhere, for it may store one."""
Verdict = tuple[bool, dict[str, Any]]
"""Whether it was accepted, and what the API server holds then or says why not."""


def count() -> int:
    return int(os.environ.get("UTK_FUZZ_SPECS", TENTH))


@pytest.fixture
async def verdicts(control_plane: "ControlPlane", namespace: str) -> AsyncIterator[list[Verdict]]:
    """The API server's, in the order of the specs."""
    import aiohttp

    from testbed.crds import install

    with control_plane.api_client() as api:
        install(api, crds())
        told = api.configuration
    trusted = ssl.create_default_context(cafile=told.ssl_ca_cert)
    trusted.load_cert_chain(told.cert_file, told.key_file)
    url = f"{told.host}/apis/{API_GROUP}/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
    asked = {"dryRun": "All", "fieldValidation": "Strict"}
    found: list[Verdict] = [(False, {})] * count()
    numbers = iter(range(count()))
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE, ssl=trusted)) as session:

        async def worker() -> None:
            for number in numbers:
                body = json.dumps(specs.spec(number))
                async with session.post(url, params=asked, data=body, headers=headers) as answer:
                    said = await answer.json()
                    assert answer.status in (201, 400, 413, 422), (number, answer.status, said)
                    found[number] = answer.status == 201, said

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    yield found


async def test_all_judge_alike_and_no_pod_becomes_more(verdicts: list[Verdict]) -> None:
    smallest = claim.made(*planned(claim.JOB, json.dumps(changed({})["spec"])))
    apart: list[str] = []
    accepted = run = 0
    for number, (by_server, said) in enumerate(verdicts):
        job = specs.spec(number)
        _, problems = check(job)
        if by_server is bool(problems):
            if not by_server and any(words in said["message"] for words in FLOATS):
                continue
            words = "; ".join(map(str, problems)) or said.get("message", "")
            apart.append(f"{number}: the API server {'accepts' if by_server else 'refuses'}, we do not: {words[:400]}")
        if not by_server or problems:
            continue
        accepted += 1
        if job["spec"]["model"].get("from"):
            continue  # a folder of the machine that asks: the command line reads it, a cluster refuses it
        by_command_line = Job.from_dict(job).validate()
        try:
            spec, plan = planned(claim.JOB, json.dumps(said["spec"]))
        except Refused as refused:
            if refused.problems != by_command_line:
                apart.append(f"{number}: the operator says {refused}, the command line {by_command_line}")
            continue
        if by_command_line:
            apart.append(f"{number}: the operator runs what the command line refuses: {by_command_line}")
        run += 1
        apart += [f"{number}: more than the claim: {path}" for path in claim.beyond(claim.made(spec, plan), smallest)]
    assert not apart, "\n".join([f"{len(apart)} of {len(verdicts)}", *apart[:SHOWN]])
    assert accepted > len(verdicts) / 10 and run > len(verdicts) / 20, "too few were worth judging"
    assert accepted < len(verdicts) * 9 / 10, "too few were worth refusing"
