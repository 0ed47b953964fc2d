"""Random schedules of faults, each a pure function of its seed."""

from dataclasses import dataclass
from random import Random

STEPS = 48
RANKS = 4
GAP = 8
"""Steps between two faults: enough for a checkpoint, so that no schedule is a crash loop by itself."""
FIRST, LAST = 6, STEPS - 4
BURST = 3
"""One more non-finite step than a run bears."""
LAYOUTS: dict[str, dict[str, int]] = {
    "data 4": {"data": 4},
    "data 2, tensor 2": {"data": 2, "tensor": 2},
    "pipeline 2, data 2": {"pipeline": 2, "data": 2},
}
RANK_FAULTS = ("kill", "kill", "hang")
STORE_FAULTS = ("slowDown", "full", "denied", "cut", "slow")


@dataclass(frozen=True)
class StoreTrouble:
    """The store errs for some seconds from a step on."""

    kind: str
    step: int
    seconds: float


@dataclass(frozen=True)
class Schedule:
    """What is done to one run."""

    seed: int
    ray: bool
    layout: str
    faults: tuple[str, ...]
    """As `--chaos` writes them, by step."""
    twist: str
    """exact: bit-equal to the undisturbed run; nan: to one that leaves the same rows out; oom: to 1e-10, in fp64."""
    stop: int | None = None
    """The step at which the command is told to stop; it is resumed then."""
    store: StoreTrouble | None = None
    burst: int | None = None
    """The first of the non-finite steps."""

    def __str__(self) -> str:
        words = [*self.faults]
        words += [f"stop@{self.stop}"] if self.stop else []
        words += [f"{self.store.kind} store@{self.store.step} for {self.store.seconds:.1f} s"] if self.store else []
        return f"{'Ray, ' if self.ray else ''}{self.layout}: {', '.join(words)}"


def schedule(seed: int, *, ray: bool) -> Schedule:
    """Two to four faults at steps that lie apart."""
    random = Random(f"chaos {seed} {ray}")  # a generator of its own, alike on every machine
    twist = random.choices(["exact", "nan", "oom"], [6, 2, 1])[0]
    steps = _apart(random, random.randint(2, 4))
    burst, faults = None, []
    if twist == "nan":
        burst = steps.pop(random.randrange(len(steps)))
        faults += [f"nan@{burst + i}" for i in range(BURST)]
    if twist == "oom":
        faults.append(f"oom@{steps.pop()}")
    kinds = [*RANK_FAULTS, "sigterm", "stop", *(["driver"] if ray else [])]
    stop, store = None, None
    if twist == "exact" and random.random() < 0.3:
        store = StoreTrouble(random.choice(STORE_FAULTS), steps.pop(), random.uniform(1, 5))
    for step in steps:
        kind = random.choice(kinds)
        if kind == "stop" and stop is None:
            stop = step
        elif kind in RANK_FAULTS:
            faults.append(f"{kind}:{random.randrange(RANKS)}@{step}")
        else:
            faults.append(f"{'sigterm' if kind == 'stop' else kind}@{step}")
    return Schedule(
        seed=seed,
        ray=ray,
        layout=random.choice(list(LAYOUTS)),
        faults=tuple(sorted(faults, key=step_of)),
        twist=twist,
        stop=stop,
        store=store,
        burst=burst,
    )


def step_of(fault: str) -> int:
    """When it strikes."""
    return int(fault.rpartition("@")[2])


def _apart(random: Random, count: int) -> list[int]:
    """So many steps, GAP or more between any two, in order."""
    slack = LAST - FIRST - GAP * (count - 1)
    offsets = sorted(random.randint(0, slack) for _ in range(count))
    return [FIRST + GAP * i + offset for i, offset in enumerate(offsets)]
