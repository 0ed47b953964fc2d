"""What may be deleted: a pure question about the chain, asked of random histories of attempts."""

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultrathink_store.chain import Chain, Link
from ultrathink_store.records import CheckpointRef, Start
from ultrathink_store.retention import NEWEST, YOUNGEST, Address, Keep, StepFolder, collectable

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = NOW - 2 * YOUNGEST


class World:
    """A random life: attempts that go on from somewhere, save, tear uploads, mark damage and pin."""

    def __init__(self) -> None:
        self.starts: dict[int, Start] = {}
        self.folders: dict[Address, StepFolder] = {}
        self.quarantined: set[Address] = set()

    def attempt(self, parent: Address | None) -> int:
        epoch = len(self.starts) + 1
        named = CheckpointRef(uid="a", epoch=parent[1], step=parent[2]) if parent else None
        self.starts[epoch] = Start(epoch=epoch, parent=named, created_at="then")
        return epoch

    def put(
        self, epoch: int, step: int, *, committed: bool = True, pinned: bool = False, touched: datetime = OLD
    ) -> Address:
        folder = StepFolder("a", epoch, step, committed, pinned, touched)
        self.folders[folder.address] = folder
        return folder.address

    def links(self) -> list[Link]:
        def steps(uid: str, epoch: int) -> list[tuple[int, bool]]:
            found = [f for f in self.folders.values() if f.epoch == epoch and f.committed]
            return [(folder.step, folder.address in self.quarantined) for folder in found]

        refer = lambda uid, epoch, step: CheckpointRef(uid=uid, epoch=epoch, step=step)  # noqa: E731
        return list(Chain("a", lambda uid: self.starts, steps, refer).links())

    @property
    def named(self) -> set[Address]:
        return {("a", s.parent.epoch, s.parent.step) for s in self.starts.values() if s.parent}

    def collect(self, keep: Keep, epoch: int | None = None) -> set[Address]:
        newest = max(self.starts) if epoch is None else epoch
        gone = collectable(self.folders.values(), self.links(), self.named, epoch=newest, keep=keep, now=NOW)
        return {folder.address for folder in gone}


def chained(*steps: int) -> World:
    world = World()
    epoch = world.attempt(None)
    for step in steps:
        world.put(epoch, step)
    return world


def test_the_last_ones_stay() -> None:
    assert chained(10, 20, 30, 40, 50).collect(Keep(last=3)) == {("a", 1, 10), ("a", 1, 20)}


def test_the_two_newest_stay_whatever_is_asked() -> None:
    assert chained(10, 20, 30).collect(Keep(last=0)) == {("a", 1, 10)}


def test_of_each_stretch_the_first_stays_for_good() -> None:
    world = chained(9, 10, 13, 21, 29, 30, 40, 50)
    assert world.collect(Keep(last=2, every_steps=10)) == {("a", 1, 9), ("a", 1, 13), ("a", 1, 29)}


def test_nothing_young_is_deleted() -> None:
    world = chained(20, 30, 40)
    world.put(1, 10, touched=NOW - YOUNGEST + timedelta(seconds=1))
    assert world.collect(Keep(last=2)) == {("a", 1, 20)}


def test_pinned_ones_and_those_that_attempts_started_from_stay() -> None:
    world = chained(10, 20, 30)
    world.put(1, 5, pinned=True)
    epoch = world.attempt(("a", 1, 20))
    for step in (25, 35, 45):
        world.put(epoch, step)
    assert world.collect(Keep(last=2)) == {("a", 1, 10), ("a", 1, 30), ("a", 2, 25)}


def test_torn_and_off_chain_steps_go_but_never_one_that_may_be_on_its_way() -> None:
    world = chained(10, 20, 30)
    world.put(1, 25, committed=False)
    epoch = world.attempt(("a", 1, 20))
    world.put(1, 40)  # a zombie's manifest, written late
    for step, committed in ((22, False), (30, True), (40, False)):
        world.put(epoch, step, committed=committed)
    assert world.collect(Keep(last=10)) == {("a", 1, 25), ("a", 1, 30), ("a", 1, 40), ("a", 2, 22)}


def test_the_damaged_stay_as_evidence_until_enough_is_there() -> None:
    world = chained(10, 20, 30)
    world.quarantined = {("a", 1, 20)}
    assert world.collect(Keep(last=2)) == set()
    world.put(1, 40)
    assert world.collect(Keep(last=2)) == {("a", 1, 10), ("a", 1, 20)}


step_sets = st.lists(
    st.tuples(st.integers(1, 8), st.sampled_from(["good", "good", "good", "torn", "damaged", "pinned", "young"])),
    max_size=5,
    unique_by=lambda made: made[0],
)


@unhurried
@given(st.lists(st.tuples(st.integers(0, 3), step_sets), min_size=1, max_size=6), st.integers(0, 4), st.integers(0, 12))
def test_no_rule_is_broken_over_random_lives(
    attempts: list[tuple[int, list[tuple[int, str]]]], last: int, every: int
) -> None:
    world = World()
    for back, made in attempts:
        valid = [link.ref for link in world.links() if link.state == "committed"] if world.starts else []
        parent = valid[back] if back < len(valid) else None
        epoch = world.attempt(("a", parent.epoch, parent.step) if parent else None)
        for advance, kind in made:
            address = world.put(
                epoch,
                (parent.step if parent else 0) + advance,
                committed=kind != "torn",
                pinned=kind == "pinned",
                touched=NOW if kind == "young" else OLD,
            )
            if kind == "damaged":
                world.quarantined.add(address)
    keep = Keep(last=last, every_steps=every or None)
    before = [link.ref for link in world.links() if link.state == "committed"]
    gone = world.collect(keep)

    assert not gone & world.named, "what a START names stays"
    assert all(not world.folders[address].pinned for address in gone)
    assert all(NOW - world.folders[address].touched >= YOUNGEST for address in gone)
    newest = [("a", ref.epoch, ref.step) for ref in before]
    assert not gone & set(newest[: max(NEWEST, last)])
    epoch = max(world.starts)
    here = [f.step for f in world.folders.values() if f.epoch == epoch and f.committed]
    assert all(a[1] < epoch or a[2] < max(here, default=-1) for a in gone), "what may be on its way stays"

    for address in gone:
        del world.folders[address]
    after = [link.ref for link in world.links() if link.state == "committed"]
    assert after == [ref for ref in before if ("a", ref.epoch, ref.step) not in gone], "the chain leads on as before"
    assert world.collect(keep) == set(), "a second sweep finds nothing"
