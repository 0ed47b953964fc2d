"""Fixtures of the tests that talk to a real Kubernetes API server."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testbed.apiserver import ControlPlane


@pytest.fixture(scope="session")
def control_plane() -> Iterator["ControlPlane"]:
    """etcd and kube-apiserver alone: nothing acts on what a test stores, so the test can play the controllers."""
    yield from _serve(controllers=False)


@pytest.fixture(scope="session")
def control_plane_with_controllers() -> Iterator["ControlPlane"]:
    """With kube-controller-manager: garbage collection, StatefulSets' pods, ServiceAccounts; still no nodes."""
    yield from _serve(controllers=True)


@pytest.fixture
def namespace(control_plane: "ControlPlane") -> str:
    """A fresh one on `control_plane`; it is left there, for it ends with the session."""
    return control_plane.new_namespace(f"test-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def kubeconfig(control_plane: "ControlPlane") -> Path:
    """The admin's, for `control_plane`."""
    return control_plane.kubeconfig


def _serve(controllers: bool) -> Iterator["ControlPlane"]:
    from testbed.apiserver import ControlPlane
    from testbed.needs import require

    plane = require(ControlPlane(controllers).__enter__)
    yield plane
    plane.__exit__()
