"""The stories: the same for everyone, in two splits that share none, with an entropy that is known."""

import math
import random
from collections import defaultdict
from itertools import pairwise

import pytest

from ultrathink_trainer.data import grammar
from ultrathink_trainer.data.stories import VOCABULARY, Stories, decode, is_held_out, story

LENGTH = 128


def test_a_row_depends_on_its_seed_and_index_alone() -> None:
    first, second = Stories(seed=1, length=LENGTH), Stories(seed=1, length=LENGTH)
    assert [first.row(i) for i in (5, 3, 5)] == [second.row(i) for i in (5, 3, 5)]
    assert first.row(5) != first.row(6)
    assert first.row(5) != Stories(seed=2, length=LENGTH).row(5)


def test_rows_have_a_label_for_every_position_and_begin_with_a_story() -> None:
    for index in range(20):
        row = Stories(seed=0, length=LENGTH).row(index)
        assert len(row) == LENGTH + 1
        assert VOCABULARY[row[0]] == grammar.START


def test_words_have_ids_below_512_and_can_be_read() -> None:
    assert len(set(VOCABULARY)) == len(VOCABULARY) < 512
    text = decode(Stories(seed=0, length=LENGTH).row(0))
    assert text.count(".") > 5
    assert " lived " in text


def test_no_story_is_in_both_splits() -> None:
    stories = Stories(seed=0, length=2_000)
    for index in range(3):
        assert not any(map(is_held_out, whole_stories(stories.row(index))))
        assert all(map(is_held_out, whole_stories(stories.held_out_row(index))))


def test_held_out_rows_are_the_same_for_every_seed() -> None:
    assert Stories(seed=1, length=LENGTH).held_out_row(4) == Stories(seed=2, length=LENGTH).held_out_row(4)


def test_a_beat_is_known_by_its_first_word() -> None:
    for name, beat in grammar.BEATS.items():
        firsts = [set(words_of(grammar.BEATS[after].line[0])) for after in beat.after.words]
        assert sum(map(len, firsts)) == len(set().union(*firsts)), name


def test_the_entropy_is_that_of_the_joint_distribution_of_a_short_row() -> None:
    labels = 6
    chances: dict[tuple[str, ...], float] = defaultdict(float)
    for words, chance in beginnings(labels + 1):
        chances[words] += chance
    assert math.fsum(chances.values()) == pytest.approx(1.0, abs=1e-9)
    joint = -math.fsum(chance * math.log(chance) for chance in chances.values())
    assert grammar.row_entropy(labels) * labels == pytest.approx(joint, abs=1e-9)


def test_the_entropy_is_what_a_perfect_reader_pays_on_a_long_sample() -> None:
    generator = random.Random(11)
    costs = []
    for _ in range(1_500):
        tokens: list[int] = []
        while len(tokens) <= LENGTH:
            tokens += story(generator)
        costs.append(cost([VOCABULARY[token] for token in tokens[: LENGTH + 1]]) / LENGTH)
    mean = math.fsum(costs) / len(costs)
    deviation = math.sqrt(math.fsum((c - mean) ** 2 for c in costs) / (len(costs) - 1))
    assert abs(mean - grammar.row_entropy(LENGTH)) < 4 * deviation / math.sqrt(len(costs))


def test_held_out_rows_cost_a_perfect_reader_the_same() -> None:
    stories = Stories(seed=0, length=LENGTH)
    costs = [cost([VOCABULARY[token] for token in stories.held_out_row(index)]) / LENGTH for index in range(300)]
    assert math.fsum(costs) / len(costs) == pytest.approx(stories.entropy, rel=0.02)


def whole_stories(row: list[int]) -> list[list[int]]:
    starts = [position for position, token in enumerate(row) if VOCABULARY[token] == grammar.START]
    return [row[first:last] for first, last in pairwise(starts)]


def words_of(slot: grammar.Slot) -> list[str]:
    return [word for row in slot.table.values() for word in row.words]


def chances_of(choice: grammar.Choice) -> list[tuple[str, float]]:
    return list(zip(choice.words, choice.probabilities, strict=True))


def beginnings(count: int) -> list[tuple[tuple[str, ...], float]]:
    """All ways to tell the first words of a story."""
    ways = [((), 1.0, {"": ""}, grammar.OPENING, 0)]
    for _ in range(count):
        longer = []
        for words, chance, said, name, place in ways:
            beat = grammar.BEATS[name]
            slot = beat.line[place]
            for word, probability in chances_of(slot.table[said[slot.given]]):
                known = said | ({slot.name: word} if slot.name else {})
                now = (*words, word), chance * probability, known
                if place + 1 < len(beat.line):
                    longer.append((*now, name, place + 1))
                else:
                    longer += [(now[0], now[1] * p, known, after, 0) for after, p in chances_of(beat.after)]
        ways = longer
    return [(words, chance) for words, chance, *_ in ways]


def cost(words: list[str]) -> float:
    """Nats that a reader who knows the grammar pays for all words but the first, by following it word by word."""
    said, name, place = {"": ""}, grammar.OPENING, 0
    nats = 0.0
    for position, word in enumerate(words):
        slot = grammar.BEATS[name].line[place]
        row = dict(chances_of(slot.table[said[slot.given]]))
        nats -= math.log(row[word]) if position else 0.0
        if slot.name:
            said[slot.name] = word
        place += 1
        if place == len(grammar.BEATS[name].line) and position + 1 < len(words):
            name, chance = following(name, said, words[position + 1])
            nats -= math.log(chance)
            place = 0
    return nats


def following(name: str, said: dict[str, str], word: str) -> tuple[str, float]:
    """The beat that begins with the word, and how likely it was."""
    for after, chance in chances_of(grammar.BEATS[name].after):
        first = grammar.BEATS[after].line[0]
        if word in first.table[said[first.given]].words:
            return after, chance
    raise AssertionError(f"no beat after {name} begins with {word}")
