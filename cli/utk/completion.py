"""What a shell completes of `utk`, as a script that holds every word: no process of ours runs when Tab is pressed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class Words:
    """What can follow one command: commands below it, options, and the values of those that have few."""

    path: str
    about: str
    commands: tuple[str, ...] = ()
    options: tuple[tuple[str, ...], ...] = ()
    abouts: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()

    @property
    def flat(self) -> str:
        """All options in one line."""
        return " ".join(name for names in self.options for name in names)


def words(command: Any, path: str = "") -> Iterator[Words]:
    """The words of a command and of all below it."""
    below = getattr(command, "commands", {})
    shown = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    choices = {p: _choices(p.metavar) for p in command.params}
    yield Words(
        path=path,
        about=_line(command.help),
        commands=tuple(below),
        options=(*((*p.opts, *p.secondary_opts) for p in shown), ("-h", "--help")),
        abouts=(*(_line(p.help) for p in shown), "Show this message and exit."),
        values={name: choices[p] for p in shown if choices[p] for name in p.opts},
        arguments=next((found for p, found in choices.items() if p not in shown and found), ()),
    )
    for name, child in below.items():
        yield from words(child, f"{path} {name}".strip())


def script(shell: str, command: Any) -> str:
    """The script for one of SHELLS."""
    found = tuple(words(command))
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](found)


def _bash(found: tuple[Words, ...]) -> str:
    return _fill(
        """\
# bash completion of utk:  source <(utk completion bash)
_utk() {
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" command="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${command:+$command }${COMP_WORDS[i]}" in
            @PATHS@) command="${command:+$command }${COMP_WORDS[i]}" ;;
        esac
    done
    local found=""
    case "$command $previous" in
@VALUES@
    esac
    if [[ -z $found ]]; then
        if [[ $current == -* ]]; then
            case "$command" in
@OPTIONS@
            esac
        else
            case "$command" in
@COMMANDS@
            esac
        fi
    fi
    COMPREPLY=($(compgen -W "$found" -- "$current"))
}
complete -o bashdefault -o default -F _utk utk
""",
        found,
        lambda words: f'found="{words}"',
    )


def _zsh(found: tuple[Words, ...]) -> str:
    return _fill(
        """\
#compdef utk
# zsh completion of utk:  source <(utk completion zsh)
_utk() {
    local previous="${words[CURRENT-1]}" current="${words[CURRENT]}" command="" i
    for ((i = 2; i < CURRENT; i++)); do
        case "${command:+$command }${words[i]}" in
            @PATHS@) command="${command:+$command }${words[i]}" ;;
        esac
    done
    local -a found
    case "$command $previous" in
@VALUES@
    esac
    if (( ! $#found )); then
        if [[ $current == -* ]]; then
            case "$command" in
@OPTIONS@
            esac
        else
            case "$command" in
@COMMANDS@
            esac
        fi
    fi
    if (( $#found )); then compadd -a found; else _files; fi
}
if [[ "${funcstack[1]}" == _utk ]]; then _utk "$@"; else compdef _utk utk; fi
""",
        found,
        lambda words: f"found=({words})",
    )


def _fill(template: str, found: tuple[Words, ...], put: Any) -> str:
    """A script of the family of sh: a case for each command."""
    values = [(f"{w.path} {name}", " ".join(choice)) for w in found for name, choice in w.values.items()]
    options = [(w.path, w.flat) for w in found]
    commands = [(w.path, " ".join(w.commands or w.arguments)) for w in found if w.commands or w.arguments]
    indents = {"@VALUES@": (values, 8), "@OPTIONS@": (options, 16), "@COMMANDS@": (commands, 16)}
    text = template.replace("@PATHS@", "|".join(f'"{w.path}"' for w in found if w.path))
    for mark, (cases, indent) in indents.items():
        text = text.replace(mark, "\n".join(f'{" " * indent}"{at}") {put(words)} ;;' for at, words in cases))
    return text


def _fish(found: tuple[Words, ...]) -> str:
    lines = ["# fish completion of utk:  utk completion fish | source"]
    for w in found:
        at = _fish_at(w)
        for name in w.commands:
            about = next(child.about for child in found if child.path == f"{w.path} {name}".strip())
            lines.append(f"complete -c utk -f -n '{at}' -a {name} -d '{_quoted(about)}'")
        if w.arguments:
            lines.append(f"complete -c utk -f -n '{at}' -a '{' '.join(w.arguments)}'")
        for names, about in zip(w.options, w.abouts, strict=True):
            said = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in names)
            choice = next((w.values[n] for n in names if n in w.values), ())
            values = f" -x -a '{' '.join(choice)}'" if choice else ""
            lines.append(f"complete -c utk -n '{at}' {said}{values} -d '{_quoted(about)}'")
    return "\n".join(lines) + "\n"


def _fish_at(w: Words) -> str:
    seen = [f"__fish_seen_subcommand_from {name}" for name in w.path.split()]
    if w.commands:
        seen.append(f"not __fish_seen_subcommand_from {' '.join(w.commands)}")
    return "; and ".join(seen)


def _choices(metavar: str | None) -> tuple[str, ...]:
    return tuple(metavar.split("|")) if metavar and "|" in metavar else ()


def _line(text: str | None) -> str:
    """The first line, up to the shapes, which are for the page of help."""
    return " ".join((text or "").strip().partition("\n")[0].partition(" Shapes (-o)")[0].split())


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
