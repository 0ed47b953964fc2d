"""What utk doctor makes of answers: too old, apart in time, other fields; and that its numbers are the chart's."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ultrathink.cluster import preflight, schema

CHARTS = Path(__file__).parents[3] / "charts"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class Answers:
    """A cluster of prepared answers."""

    said: dict[str, Any]
    at: datetime = NOW
    namespace: str = "a"
    api: Any = field(default_factory=lambda: SimpleNamespace(configuration=SimpleNamespace(host="https://c")))

    def request(self, method: str, path: str, query: Any = None, body: Any = None) -> Any:
        return self.said[path]

    def time(self) -> datetime:
        return self.at


def server(minor: str, at: datetime = NOW) -> list[preflight.Check]:
    version = {"major": "1", "minor": minor, "gitVersion": f"v1.{minor}.0"}
    return list(preflight._server(Answers({"/version": version}, at), NOW))  # type: ignore[arg-type]


@pytest.mark.parametrize(("minor", "state"), [("29", "fail"), ("30", "ok"), ("34", "ok"), ("31+", "ok")])
def test_an_old_kubernetes_will_not_do(minor: str, state: str) -> None:
    (check,) = server(minor)
    assert check.state == state


def test_the_oldest_kubernetes_is_the_charts() -> None:
    for chart in CHARTS.glob("*/Chart.yaml"):
        oldest = ".".join(map(str, preflight.OLDEST_KUBERNETES))
        assert yaml.safe_load(chart.read_text())["kubeVersion"] == f">={oldest}.0-0"


def test_clocks_that_are_apart_are_a_warning() -> None:
    assert [check.name for check in server("34", NOW - timedelta(seconds=20))] == ["server"]
    _, clock = server("34", NOW + timedelta(seconds=90))
    assert (clock.name, clock.state) == ("clock", "warn") and "90 s" in clock.message


def test_what_the_operators_deployment_says_is_found_by_name() -> None:
    operator = (CHARTS / "ultrathink" / "templates" / "deployment.yaml").read_text()
    assert f"name: {preflight.WATCHED}\n" in operator and f"name: {preflight.LEASE}\n" in operator


def test_the_fields_of_a_schema_are_those_below_spec() -> None:
    spec = {"properties": {"a": {"properties": {"b": {}}}, "many": {"items": {"properties": {"c": {}}}}}}
    kinds = [{"group": "ultrathink.io", "kind": "UltraThinkJob", "version": "v1alpha1"}]
    job = {"x-kubernetes-group-version-kind": kinds, "properties": {"spec": spec, "status": {"properties": {"d": {}}}}}
    document = {"components": {"schemas": {"list": {}, "job": job}}}
    assert schema.served(document) == {"spec.a", "spec.a.b", "spec.many", "spec.many.c"}
    assert schema.served({}) == frozenset()


def test_our_own_fields_are_known() -> None:
    assert {"spec.workers.count", "spec.model.moe.experts", "spec.data.mixture.weight"} <= schema.known()
