"""Each program is built once for its version and platform, and never taken from another's place."""

import pytest

from testbed import binaries, paths
from testbed.binaries import PROGRAMS, binary
from testbed.needs import CannotSupply, require


def test_cache_key_names_version_and_platform(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(paths, "go_platform", lambda: "linux-arm64")
    expected = tmp_path / "ultrathink/testbed/bin/linux-arm64/kubectl-v1.36.3/kubectl"
    assert PROGRAMS["kubectl"].path() == expected


def test_program_versions_are_those_that_go_mod_pins() -> None:
    for program in PROGRAMS.values():
        pinned = (binaries.MODULES / program.module / "go.mod").read_text()
        assert f" {program.version}\n" in pinned or f" {program.version} //" in pinned, program.name
        assert program.package in pinned, program.name


def test_assets_folder_wins(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "kube-apiserver").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert binary("kube-apiserver") == tmp_path / "kube-apiserver"


def test_assets_folder_without_the_program_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(CannotSupply, match="has none"):
        binary("etcd")


def test_program_in_the_cache_is_not_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(binaries, "_build", lambda program, output: (output.parent.mkdir(), output.touch()))
    built = binary("helm")
    monkeypatch.setattr(binaries, "_build", lambda *_: pytest.fail("built twice"))
    assert binary("helm") == built


def test_missing_part_is_a_skip_at_home_and_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise CannotSupply("kubelet", "no go command", "install Go")

    monkeypatch.setenv("CI", "false")
    with pytest.raises(pytest.skip.Exception, match="install Go"):
        require(missing)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install Go"):
        require(missing)
