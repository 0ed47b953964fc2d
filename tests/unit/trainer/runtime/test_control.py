"""`/v1` over a real socket: who is let in, what workers are told, and that no event is lost or doubled."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ultrathink_api import protocol
from ultrathink_api.causes import Cause
from ultrathink_api.protocol import Command, Member, StopRequest, StopView
from ultrathink_trainer.runtime.client import Client, Unreachable
from ultrathink_trainer.supervisor import events as ev
from ultrathink_trainer.supervisor import server
from ultrathink_trainer.supervisor.gate import SILENCE_SECONDS, Gate
from ultrathink_trainer.supervisor.service import ControlService, Limited, View
from unit.trainer.runtime.parts.configs import SPEC, config

TOKEN = "secret"


class Control:
    """A served control port and what it left for the supervisor's loop."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.gate = Gate(self.events.append)
        self.config = config()
        self.service = ControlService(self.config, "incarnation-1", self.gate, self.events.append)
        self.port = server.serve_control(self.service, TOKEN, "127.0.0.1", 0)

    def client(self, token: str = TOKEN) -> Client:
        return Client("127.0.0.1", self.port, token, timeout=10)

    def post(self, **member: Any) -> Command:
        body = Member(node="w-0", worker="a", **member)
        return Command.model_validate(self.client().post(protocol.ATTEMPT_PATH, body))


@pytest.fixture
def control() -> Iterator[Control]:
    yield Control()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def event(seq: int, kind: str = "idle") -> dict[str, Any]:
    return {"seq": seq, "kind": kind, "epoch": 1}


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x"])
def test_without_the_token_nothing_is_told(control: Control, token: str) -> None:
    with pytest.raises(Unreachable, match="401"):
        control.client(token).get(protocol.INFO_PATH)


def test_kubelet_who_has_no_token_learns_that_it_serves_and_nothing_else(control: Control) -> None:
    assert control.client("").get(protocol.HEALTH_PATH) == {}


def test_info_names_this_incarnation(control: Control) -> None:
    info = control.client().get(protocol.INFO_PATH)
    assert (info["incarnation"], info["attempt"], info["state"]) == ("incarnation-1", 0, "starting")


def test_progress_says_what_is_waited_for(control: Control) -> None:
    assert control.client().get(protocol.PROGRESS_PATH)["message"] == "0 of 1 nodes are ready"


@pytest.mark.parametrize(("path", "status"), [("/v1/nothing", 404), (protocol.ATTEMPT_PATH, 400)])
def test_what_makes_no_sense_is_refused(control: Control, path: str, status: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", control.port, timeout=10)
    connection.request("POST", path, b'{"node": 5}', {"Authorization": protocol.bearer(TOKEN)})
    response = connection.getresponse()
    assert response.status == status
    assert "error" in json.loads(response.read())


def test_an_event_sent_twice_happens_once(control: Control) -> None:
    assert control.post(agent="x", events=(event(1), event(2))).acked == 2
    assert control.post(agent="x", events=(event(2), event(3))).acked == 3
    idle = [e for e in control.events if isinstance(e, ev.NodeIdle)]
    assert len(idle) == 3


def test_another_process_of_the_agent_counts_anew(control: Control) -> None:
    control.post(agent="x", events=(event(1),))
    control.post(agent="y", events=(event(1),))
    assert len([e for e in control.events if isinstance(e, ev.NodeIdle)]) == 2


def test_a_worker_joins_once_and_again_only_when_something_changed(control: Control) -> None:
    control.post(agent="x", ready=False)
    control.post(agent="x", ready=False)
    control.post(agent="x", ready=True)
    joined = [(e.agent, e.ready) for e in control.events if isinstance(e, ev.Joined)]
    assert joined == [("x", False), ("x", True)]


def test_a_waiting_poll_tells_nothing_of_the_agent(control: Control) -> None:
    control.post(agent="x", ready=True)
    control.post(agent="x", ready=False, order=-1, wait_seconds=0.01)
    assert [e.ready for e in control.events if isinstance(e, ev.Joined)] == [True]


def test_an_order_ends_the_wait(control: Control) -> None:
    control.post(agent="x", ready=True)
    answers: list[Command] = []
    waiting = threading.Thread(target=lambda: answers.append(control.post(agent="x", order=0, wait_seconds=30)))
    waiting.start()
    control.gate.order("a", Command(order=0, do="stop", epoch=4, save=True))
    waiting.join(10)
    assert (answers[0].do, answers[0].epoch, answers[0].save) == ("stop", 4, True)


def test_a_worker_that_hangs_up_is_gone_at_once_and_is_sent_away_if_it_comes_back(control: Control) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", control.port, timeout=10)
    body = Member(node="w-0", worker="a", order=0, wait_seconds=30).model_dump_json(by_alias=True)
    connection.request("POST", protocol.ATTEMPT_PATH, body, {"Authorization": protocol.bearer(TOKEN)})
    connection.close()
    until(lambda: ev.Left("a") in control.events)
    assert control.post(agent="x").do == "regroup"


def test_a_silent_worker_is_gone() -> None:
    now = [0.0]
    events: list[object] = []
    gate = Gate(events.append, clock=lambda: now[0])
    gate.exchange(Member(node="w-0", worker="a"), lambda: True)
    now[0] = SILENCE_SECONDS + 1
    gate.look()
    assert events[-1] == ev.Left("a")


def test_when_all_is_over_everybody_is_told(control: Control) -> None:
    control.gate.end_all()
    assert control.post(agent="x").do == "end"


def test_a_stop_is_taken_and_confirmed_only_when_nothing_runs(control: Control) -> None:
    answer = control.client().post(protocol.STOP_PATH, protocol.StopRequest(reason="Suspended"))
    assert answer["confirmed"] is False
    assert any(isinstance(e, ev.StopAsked) for e in control.events)


def test_a_stop_that_deletes_is_confirmed_only_when_the_loop_has_heard_of_it_and_all_is_gone(control: Control) -> None:
    service = control.service
    service.stop(StopRequest())
    service.view = View(state="stopped", quiet=True)
    assert service.progress().stop == StopView(reason=Cause.SUSPENDED, confirmed=True)
    deleting = StopView(reason=Cause.SUSPENDED, confirmed=False, delete_checkpoints=True)
    assert service.stop(StopRequest(delete_checkpoints=True)) == deleting
    service.view = View(state="stopped", quiet=False, deleting=True)
    assert service.stop(StopRequest()) == deleting
    service.view = View(state="stopped", quiet=True, deleting=True)
    assert service.progress().stop == deleting.model_copy(update={"confirmed": True})


def test_the_budget_changes_in_place_and_the_model_does_not(control: Control) -> None:
    spec = {**SPEC, "restart": {"budget": {"max": 1}}}
    change = protocol.SpecChange(generation=2, spec=spec)
    answer = control.client().post(protocol.SPEC_PATH, change)
    assert answer == {"generation": 2, "effect": "inPlace"}
    assert any(isinstance(e, Limited) and e.limits.most == 1 for e in control.events)
    asked = {**spec, "restartedAt": "2026-01-02T00:00:00Z"}
    answer = control.client().post(protocol.SPEC_PATH, protocol.SpecChange(generation=3, spec=asked))
    assert answer == {"generation": 3, "effect": "inPlace"}
    assert control.events[-1] == ev.RestartAsked("2026-01-02T00:00:00Z")
    wider = protocol.SpecChange(generation=4, spec={**spec, "workers": {"count": 4}})
    assert control.client().post(protocol.SPEC_PATH, wider) == {"generation": 3, "effect": "newCluster"}


@pytest.mark.parametrize(
    ("health", "effect"),
    [({"hang": 40}, "inPlace"), ({"rollbacks": 5}, "inPlace"), ({"nonFiniteSkips": 0}, "newCluster")],
)
def test_of_health_only_what_ranks_do_not_read_changes_in_place(
    control: Control, health: dict[str, int], effect: str
) -> None:
    change = protocol.SpecChange(generation=2, spec={**SPEC, "health": health})
    assert control.client().post(protocol.SPEC_PATH, change)["effect"] == effect


def test_tokens_are_read_from_files(tmp_path: Path) -> None:
    from ultrathink_trainer.runtime.client import read_token

    (tmp_path / "control").write_text("abc\n")
    assert read_token(str(tmp_path), "control") == "abc"
