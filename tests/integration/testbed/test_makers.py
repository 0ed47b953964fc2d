"""The e2e suite gets the first cluster that works, and images reach it by the way that it has."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed import makers
from testbed.makers import external, kind, processes
from testbed.needs import CannotSupply


@pytest.fixture(autouse=True)
def nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UTK_E2E_KUBECONFIG", "UTK_E2E_HAND_OVER", "UTK_TEST_S3_ENDPOINT", "REGISTRY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("kubeconfig", "docker", "chosen"),
    [("/some/kubeconfig", True, "external"), (None, True, "kind"), (None, False, "processes")],
)
def test_takes_the_first_that_works(
    monkeypatch: pytest.MonkeyPatch, kubeconfig: str | None, docker: bool, chosen: str
) -> None:
    if kubeconfig:
        monkeypatch.setenv("UTK_E2E_KUBECONFIG", kubeconfig)
    monkeypatch.setattr(makers, "docker_answers", lambda: docker)
    for module in (external, kind, processes):
        monkeypatch.setattr(module, "cluster", _naming(module.__name__.rpartition(".")[2]))
    with makers.choose() as cluster:
        assert cluster == chosen


def test_external_cluster_takes_an_s3_server_that_it_reaches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.touch()
    monkeypatch.setenv("UTK_E2E_KUBECONFIG", str(kubeconfig))
    with pytest.raises(CannotSupply, match="UTK_TEST_S3_ENDPOINT"):
        external.cluster().__enter__()
    monkeypatch.setenv("UTK_TEST_S3_ENDPOINT", "http://s3.example:9000")
    with external.cluster() as cluster:
        assert cluster.s3.endpoint == "http://s3.example:9000"


def test_images_are_handed_over_by_the_given_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UTK_E2E_HAND_OVER", f"touch {tmp_path}/{{image}}")
    assert external.hand_over("trainer:1") == "trainer:1"
    assert (tmp_path / "trainer:1").exists()


def test_images_are_handed_over_through_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        def push(self, ref: str, target: str) -> str:
            return target

    monkeypatch.setenv("REGISTRY", "registry.example/team")
    monkeypatch.setattr(external, "engine", Engine)
    assert external.hand_over("localhost/trainer:1") == "registry.example/team/trainer:1"


def test_images_without_a_way_say_which_one_to_open() -> None:
    with pytest.raises(CannotSupply, match="REGISTRY"):
        external.hand_over("trainer:1")


def _naming(name: str):
    @contextmanager
    def cluster():
        yield name

    return cluster
