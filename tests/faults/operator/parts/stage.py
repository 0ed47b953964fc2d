"""One namespace with an operator of its own behind a proxy, an observer, and stand-ins: where a life is played."""

import asyncio
import json
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from faults.operator.parts import invariants
from faults.operator.parts.direct import Direct, Json, path
from faults.operator.parts.observer import Observer
from faults.operator.parts.proxy import Call, Proxy
from faults.operator.parts.replica import KEY, Replica
from faults.operator.parts.standins import Kubelet, Supervisor
from testbed import kubeconfigs
from ultrathink_api import protocol
from ultrathink_operator import kinds, rights

ACCOUNT = "ultrathink-operator"
WATCHES = len(kinds.WATCHED)
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"
SPEC: Json = {
    "model": {"preset": "moe-tiny"},
    "data": {"uri": "builtin://stories"},
    "training": {"steps": 200},
    "workers": {"count": 2},
}


class Stage:
    """What a life is played with; made by `stage()`."""

    def __init__(self, api: Direct, world: Observer, kubelet: Kubelet, namespace: str, folder: Path) -> None:
        self.api, self.world, self.kubelet, self.namespace, self.folder = api, world, kubelet, namespace, folder
        self.proxy: Proxy
        self.operator: Replica
        self.account: Path
        self.killed = asyncio.Event()
        self._revivals: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """Start the operator, and wait until it watches all that it watches."""
        await self.operator.start()
        await self.world.until(lambda: sum(c.watches for c in self.proxy.calls) >= WATCHES, "the operator to watch")

    async def kill_and_revive(self) -> None:
        """The operator dies now; another one starts as soon as the dead one's call is out of the world."""
        await self.operator.kill()
        task = asyncio.create_task(self.operator.start())
        self._revivals.add(task)
        self.killed.set()

    async def submit(self, name: str, **changes: Any) -> Json:
        body = {
            "apiVersion": "ultrathink.io/v1alpha1",
            "kind": "UltraThinkJob",
            "metadata": {"name": name},
            "spec": {**SPEC, **changes},
        }
        made = await self.api.create(path(self.namespace, "ultrathinkjobs"), body)
        uid = made["metadata"]["uid"]
        self.world.forbidden += tuple(
            protocol.token(KEY, uid, use) for use in (protocol.CONTROL_TOKEN, protocol.RAY_TOKEN)
        )
        return made

    async def patch(self, name: str, change: Json) -> Json:
        return await self.api.patch(path(self.namespace, "ultrathinkjobs", name), change)

    async def delete(self, name: str, plural: str = "ultrathinkjobs") -> None:
        await self.api.delete(path(self.namespace, plural, name))

    async def phase(self, name: str, wanted: str, deadline_s: float = 90.0) -> None:
        await self.world.until(lambda: self.world.status(name).get("phase") == wanted, f"{name} {wanted}", deadline_s)

    async def supervisor(self, cluster: int = 1) -> Supervisor:
        found: Supervisor = await self.world.until(lambda: self.kubelet.supervisor(cluster), f"head of {cluster}")
        return found

    async def running(self, name: str, step: int = 10) -> Supervisor:
        """From nothing to training."""
        await self.submit(name)
        head = await self.supervisor()
        head.train(step)
        await self.phase(name, "Running")
        return head

    async def gone(self, name: str) -> None:
        """The job and all that it made."""
        await self.world.until(lambda: not self.world.left(), f"nothing left of {name}")

    def broken(self) -> list[str]:
        """All that was seen and must never be."""
        log = self.operator.log.read_text(errors="replace")
        return [
            *self.world.broken,
            *invariants.of_calls(self.proxy.calls),
            *invariants.of_log(log, self.world.forbidden),
        ]

    def check(self) -> None:
        """Fails with everything that was seen and must never be."""
        broken = self.broken()
        assert not broken, "\n".join(broken)

    def writes(self, plural: str = "", method: str = "") -> list[Call]:
        """The operator's own, so far."""
        made = self.proxy.mutations
        return [c for c in made if (c.plural == plural or not plural) and (c.method == method or not method)]

    async def quiet(self, seconds: float) -> None:
        """Until the operator has written nothing for so long."""
        last = -1
        while last != (last := len(self.proxy.mutations)):
            await asyncio.sleep(seconds)


@asynccontextmanager
async def stage(plane: Any, start: bool = True, pace: dict[str, float] | None = None) -> AsyncIterator[Stage]:
    """A fresh namespace on a running control plane; an AssertionError brings the operator's log with it."""
    namespace = f"f-{uuid.uuid4().hex[:8]}"
    folder = Path(tempfile.mkdtemp(prefix="utk-faults-"))
    try:
        async with AsyncExitStack() as parts:
            api = await parts.enter_async_context(Direct(plane.kubeconfig))
            account = await _account(api, namespace, folder, plane)
            world = await parts.enter_async_context(Observer(api, namespace, [KEY.decode()]))
            kubelet = await parts.enter_async_context(Kubelet(api, world, KEY))
            made = Stage(api, world, kubelet, namespace, folder)
            made.account = account
            kill: Callable[[], Awaitable[None]] = made.kill_and_revive
            made.proxy = await parts.enter_async_context(Proxy(api.server, api.trust, kill))
            made.operator = Replica(folder, namespace, made.proxy.url, account, pace=pace)
            parts.push_async_callback(made.operator.kill)
            if start:
                await made.begin()
            try:
                yield made
            except AssertionError as error:
                raise AssertionError(f"{error}\n{made.operator.said()}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _account(api: Direct, namespace: str, folder: Path, plane: Any) -> Path:
    """The operator's own, with exactly the rights that it says it uses."""
    await api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    core = f"/api/v1/namespaces/{namespace}"
    await api.create(f"{core}/serviceaccounts", {"metadata": {"name": ACCOUNT}})
    table = rights.rules((*rights.IN_WATCHED_NAMESPACES, *rights.IN_OWN_NAMESPACE))
    await api.create(f"{RBAC}/{namespace}/roles", {"metadata": {"name": ACCOUNT}, "rules": table})
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
    binding = {"metadata": {"name": ACCOUNT}, "roleRef": role, "subjects": [subject]}
    await api.create(f"{RBAC}/{namespace}/rolebindings", binding)
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
    token = await api.create(f"{core}/serviceaccounts/{ACCOUNT}/token", asked)
    user = kubeconfigs.by_token(token["status"]["token"])
    return kubeconfigs.write(folder / "account.kubeconfig", api.server, plane.ca, user, namespace)


def dumped(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True)
