"""The patterns of restart.rules: a small language of regular expressions that is matched in linear time. Pure.

Text, `.`, `\\d \\w \\s`, `[a-z]`, each with `*`, `+` or `?` behind it, and `(one|other)`, which neither repeats nor
nests. So no pattern can make whoever looks for it busy: a line costs its length times the pattern's, whatever they are.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

MOST_CHARACTERS = 200
"""Of a pattern; a line of last words has at most some thousand."""

_CLASS = r"\[\^?(?:\\[dws\]\\^-]|[^\\\[\]^])+\]"
_ATOM = rf"(?:\\[dwsDWS.\\\[\](){{}}|*+?^$/-]|{_CLASS}|[^\\\[\](){{}}|*+?^$])"
_PIECE = rf"{_ATOM}[*+?]?"
_GROUP = rf"\((?:{_PIECE})+(?:\|(?:{_PIECE})+)*\)"
_BRANCH = rf"(?:{_PIECE}|{_GROUP})+"
GRAMMAR = rf"^{_BRANCH}(?:\|{_BRANCH})*$"
"""What a pattern may be, in the regular expressions that Python and the API server have in common."""

Test = Callable[[str], bool]

_SETS: dict[str, Test] = {
    "d": lambda c: c in "0123456789",
    "w": lambda c: c.isalnum() or c == "_",
    "s": str.isspace,
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One character, and how often."""

    test: Test
    repeat: str


@dataclass(frozen=True, slots=True)
class Group:
    """One of several sequences."""

    branches: "tuple[Sequence, ...]"


Sequence = tuple[Piece | Group, ...]


def is_pattern(text: str) -> bool:
    """Whether the text is a pattern of this language."""
    return len(text) <= MOST_CHARACTERS and re.search(GRAMMAR, text) is not None


def found(pattern: str, text: str) -> bool:
    """Whether the pattern occurs anywhere in the text."""
    assert is_pattern(pattern), "the rules of the API refuse all else"
    everywhere = set(range(len(text) + 1))
    return any(_ends(branch, text, everywhere) for branch in _parse(pattern))


def _ends(sequence: Sequence, text: str, starts: set[int]) -> set[int]:
    """Where the sequence may end if it begins at one of these places."""
    at = starts
    for one in sequence:
        if isinstance(one, Group):
            at = {end for branch in one.branches for end in _ends(branch, text, at)}
        else:
            at = _after(one, text, at)
    return at


def _after(piece: Piece, text: str, at: set[int]) -> set[int]:
    step = {i + 1 for i in at if i < len(text) and piece.test(text[i])}
    if piece.repeat == "":
        return step
    if piece.repeat == "?":
        return at | step
    reached = set(step if piece.repeat == "+" else at)
    for i, character in enumerate(text):
        if i in reached and piece.test(character):
            reached.add(i + 1)
    return reached


def _parse(pattern: str) -> tuple[Sequence, ...]:
    branches: list[list[Piece | Group]] = [[]]
    for match in re.finditer(rf"\||{_GROUP}|{_PIECE}", pattern):
        token = match.group()
        if token == "|":
            branches.append([])
        elif token.startswith("("):
            branches[-1].append(Group(_parse(token[1:-1])))
        else:
            branches[-1].append(_piece(token))
    return tuple(tuple(branch) for branch in branches)


def _piece(token: str) -> Piece:
    match = re.fullmatch(rf"({_ATOM})([*+?]?)", token)
    assert match is not None, token
    atom, repeat = match.groups()
    return Piece(_class(atom[1:-1]) if atom.startswith("[") else _character(atom), repeat)


def _character(atom: str) -> Test:
    if atom == ".":
        return lambda c: True
    if not atom.startswith("\\"):
        return lambda c: c == atom
    name = atom[1]
    if name in _SETS:
        return _SETS[name]
    if name.lower() in _SETS:
        inside = _SETS[name.lower()]
        return lambda c: not inside(c)
    return lambda c: c == name


def _class(body: str) -> Test:
    """A range that runs backwards holds nothing."""
    negated, body = body.startswith("^"), body.removeprefix("^")
    tests = list(_members(re.findall(r"\\.|[^\\]-[^\\]|.", body)))
    return lambda c: any(test(c) for test in tests) != negated


def _members(tokens: Iterable[str]) -> Iterable[Test]:
    for token in tokens:
        if len(token) == 3:
            yield lambda c, low=token[0], high=token[2]: low <= c <= high  # type: ignore[misc]
        else:
            yield (lambda c: c == ".") if token == "." else _character(token)
