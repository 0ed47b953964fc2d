"""The grammar of the stories: which word can follow, how likely it is, and how much that says in nats.

A story is a chain of beats; a beat is a line of words, some fixed, some drawn. Each drawn word is one token and
the first word of a beat tells which beat it is, so the entropy of every token is known exactly, not estimated.
"""

import math
from bisect import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from . import words

ZIPF_SHIFT = 3
"""Likelihood of the word of rank r falls as 1/(r + shift): some words are common, none is negligible."""


@dataclass(frozen=True)
class Choice:
    """Words with their probabilities."""

    words: tuple[str, ...]
    probabilities: tuple[float, ...]
    cumulative: tuple[float, ...]

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> "Choice":
        total = math.fsum(weights.values())
        probabilities = tuple(weight / total for weight in weights.values())
        return cls(tuple(weights), probabilities, tuple(accumulate(probabilities)))

    def draw(self, uniform: float) -> str:
        return self.words[min(bisect(self.cumulative, uniform), len(self.words) - 1)]

    @property
    def entropy(self) -> float:
        return -math.fsum(p * math.log(p) for p in self.probabilities if p)


@dataclass(frozen=True)
class Slot:
    """A place in a beat: the word is drawn from the row of an earlier word (`given`), and remembered as `name`."""

    name: str
    given: str
    table: Mapping[str, Choice]


NOTHING = ""
"""What a slot is given that depends on no earlier word."""


def zipf(words: Iterable[str]) -> Choice:
    return Choice.of({word: 1 / (rank + ZIPF_SHIFT) for rank, word in enumerate(words)})


def literal(word: str) -> Slot:
    return Slot(NOTHING, NOTHING, {NOTHING: Choice.of({word: 1.0})})


def drawn(name: str, choice: Choice) -> Slot:
    return Slot(name, NOTHING, {NOTHING: choice})


def recalled(name: str, choice: Choice) -> Slot:
    return Slot(NOTHING, name, {word: Choice.of({word: 1.0}) for word in choice.words})


def follows(name: str, given: str, row: Mapping[str, Choice]) -> Slot:
    return Slot(name, given, row)


def _interleaved(groups: Iterable[tuple[str, ...]]) -> list[str]:
    return [word for rank in zip(*groups, strict=True) for word in rank]


NAMES = zipf(_interleaved((words.SHE, words.HE)))
THINGS = zipf(_interleaved(words.THINGS.values()))
PLACES = zipf(_interleaved(words.PLACES.values()))
KINDS = zipf(words.KINDS)
COLORS = zipf(words.COLORS)
_CATEGORY = {thing: category for category, things in words.THINGS.items() for thing in things}


def _sure(mapping: Mapping[str, str]) -> dict[str, Choice]:
    return {key: Choice.of({word: 1.0}) for key, word in mapping.items()}


def _without(name: str) -> Choice:
    weights = dict(zip(NAMES.words, NAMES.probabilities, strict=True))
    del weights[name]
    return Choice.of(weights)


def _by_category(table: Mapping[str, tuple[str, ...]]) -> dict[str, Choice]:
    return {thing: zipf(table[_CATEGORY[thing]]) for thing in THINGS.words}


_pronoun = _sure({name: "she" if name in words.SHE else "he" for name in NAMES.words})
_owner = _sure({name: "her" if name in words.SHE else "his" for name in NAMES.words})

SLOTS = {
    "HERO": drawn("hero", NAMES),
    "$hero": recalled("hero", NAMES),
    "$he": follows(NOTHING, "hero", _pronoun),
    "$his": follows(NOTHING, "hero", _owner),
    "FRIEND": follows("friend", "hero", {name: _without(name) for name in NAMES.words}),
    "$friend": recalled("friend", NAMES),
    "KIND": drawn("kind", KINDS),
    "$kind": recalled("kind", KINDS),
    "TRAIT": drawn(NOTHING, zipf(words.TRAITS)),
    "WHERE": drawn("where", Choice.of(dict.fromkeys(words.PLACES, 1.0))),
    "PLACE": follows("place", "where", {where: zipf(places) for where, places in words.PLACES.items()}),
    "$place": recalled("place", PLACES),
    "ANYWHERE": drawn(NOTHING, PLACES),
    "TIME": drawn(NOTHING, zipf(words.TIMES)),
    "COLOR": drawn("color", COLORS),
    "$color": recalled("color", COLORS),
    "THING": drawn("thing", THINGS),
    "$thing": recalled("thing", THINGS),
    "VERB": follows(NOTHING, "thing", _by_category(words.VERBS)),
    "QUALITY": follows(NOTHING, "thing", _by_category(words.QUALITIES)),
    "MOOD": drawn(NOTHING, zipf(words.MOODS)),
    "MANNER": drawn(NOTHING, zipf(words.MANNERS)),
}
"""What a marked word of a beat's line stands for: CAPITALS draw, $names recall or agree; other words are themselves."""

START = "<story>"
_BEATS: dict[str, tuple[str, dict[str, float]]] = {
    # beat: its line, and how likely each next beat is. No beat recalls what might not have been drawn.
    "start": (START, {"once": 0.5, "there": 0.3, "long": 0.2}),
    "once": ("once a TRAIT KIND named HERO lived WHERE the PLACE", {"with": 1.0}),
    "there": ("there was a TRAIT KIND called HERO , who lived WHERE the PLACE", {"with": 1.0}),
    "long": ("long ago HERO , the TRAIT KIND , lived WHERE the PLACE", {"with": 1.0}),
    "with": ("with $his friend FRIEND .", {"find": 0.7, "dream": 0.3}),
    "find": ("one TIME $hero found a COLOR THING .", {"use": 0.5, "show": 0.3, "say": 0.2}),
    "dream": ("every TIME $hero dreamed of a COLOR THING .", {"use": 0.2, "walk": 0.5, "say": 0.3}),
    "use": ("$he VERB the $thing MANNER .", {"use": 0.15, "show": 0.25, "say": 0.2, "feel": 0.2, "end": 0.2}),
    "show": ("then $hero showed the $color $thing to $friend .", {"feel": 0.5, "say": 0.3, "walk": 0.2}),
    "say": ('" the $thing is QUALITY " , said $friend .', {"use": 0.3, "walk": 0.3, "feel": 0.2, "end": 0.2}),
    "feel": ("this made $friend MOOD .", {"walk": 0.4, "say": 0.2, "use": 0.2, "end": 0.2}),
    "walk": ("so the friends went to the ANYWHERE .", {"use": 0.4, "say": 0.3, "end": 0.3}),
    "end": ("finally $hero the $kind went back to the $place and felt MOOD .", {"start": 1.0}),
}


@dataclass(frozen=True)
class Beat:
    """A line of slots and what comes after it."""

    line: tuple[Slot, ...]
    after: Choice


BEATS: dict[str, Beat] = {
    name: Beat(tuple(SLOTS.get(word) or literal(word) for word in line.split()), Choice.of(after))
    for name, (line, after) in _BEATS.items()
}
OPENING = "start"

VOCABULARY: tuple[str, ...] = (
    START,
    *sorted(
        {word for beat in BEATS.values() for slot in beat.line for row in slot.table.values() for word in row.words}
        - {START}
    ),
)
"""The words by token id: 0 begins a story, the rest are in the order of the alphabet."""


def _marginals() -> dict[str, dict[str, float]]:
    """How likely each value of each remembered word is. It is the same wherever the word is recalled, because what
    comes after a beat never depends on the words drawn."""
    known: dict[str, dict[str, float]] = {NOTHING: {NOTHING: 1.0}}
    for beat in BEATS.values():
        for slot in beat.line:
            if slot.name and slot.name not in known:
                known[slot.name] = _mixed(known[slot.given], slot.table)
    return known


def _mixed(parents: Mapping[str, float], table: Mapping[str, Choice]) -> dict[str, float]:
    mixed: dict[str, float] = {}
    for parent, weight in parents.items():
        for word, probability in zip(table[parent].words, table[parent].probabilities, strict=True):
            mixed[word] = mixed.get(word, 0.0) + weight * probability
    return mixed


def row_entropy(labels: int) -> float:
    """Nats per label of a row that begins with a story and predicts the `labels` tokens after its first: the loss of a
    reader who knows the grammar by heart. Exact: the chance of being at each place of each beat, position by position.
    """
    marginals = _marginals()
    entropy = {
        name: [
            math.fsum(marginals[slot.given][parent] * row.entropy for parent, row in slot.table.items())
            for slot in beat.line
        ]
        for name, beat in BEATS.items()
    }
    at = {(OPENING, 0): 1.0}
    nats = []
    for _ in range(labels):
        after: dict[tuple[str, int], float] = {}
        for (name, place), chance in at.items():
            beat = BEATS[name]
            if place + 1 < len(beat.line):
                steps = [((name, place + 1), 1.0)]
            else:
                nats.append(chance * beat.after.entropy)
                steps = [
                    ((next_name, 0), p) for next_name, p in zip(beat.after.words, beat.after.probabilities, strict=True)
                ]
            for step, probability in steps:
                after[step] = after.get(step, 0.0) + chance * probability
        nats += [chance * entropy[name][place] for (name, place), chance in after.items()]
        at = after
    return math.fsum(nats) / labels
