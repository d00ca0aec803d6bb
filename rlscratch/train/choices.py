"""The settings of a method, named once: their defaults, their checks, their options on the command line.

A default depends on what is trained on: the rewards, lengths and models of a lake, a bandit and a text have
nothing in common.  So a choice keeps one for each kind.  What is not given on the command line is None until the
task is known.
"""
import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rlscratch import check

# argparse adds "(default: None)" to a help text unless it speaks of its default; this says nothing.
UNSAID = "%(default).0s"


@dataclass(frozen=True)
class Choice:
    """One setting, an option of the command.

    name      as an argument of the method's functions; the option has dashes
    defaults  by kind of task, "" for every other kind
    help      one line
    holds     a check: holds(**{"--name": value}) raises unless the value will do; None if options does
    options   the values there are, for a setting that is a word
    """

    name: str
    defaults: Mapping[str, Any]
    help: str
    holds: Callable[..., Any] | None = None
    options: tuple[str, ...] | None = None

    @property
    def option(self) -> str:
        """The name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    def default(self, *kinds: str) -> Any:
        """The default for the first of these kinds that has one of its own."""
        return next(self.defaults[kind] for kind in (*kinds, "") if kind in self.defaults)

    def checked(self, value: Any) -> Any:
        """The value, if it will do.  Raises ValueError or TypeError naming the option."""
        named = {self.option: value}
        return self.holds(**named) if self.holds else check.one_of(self.options or (False, True), **named)

    def with_other(self, other: "Choice", kind: str) -> "Choice":
        """One option for two methods that share its name; what it may be, each method checks for itself.

        other  the second method's; its default for every kind becomes the one for `kind`
        """
        help = self.help if self.help == other.help else f"{self.help}; on {kind}: {other.help}"
        options = self.options and tuple(dict.fromkeys(self.options + (other.options or ())))
        theirs = {name or kind: value for name, value in other.defaults.items()}
        return replace(self, defaults={**self.defaults, **theirs}, help=help, options=options)

    def add(self, parser: Any) -> None:
        """The option."""
        first = next(iter(self.defaults.values()))
        told = {"help": f"{self.help} (default: {shown(self.defaults)}){UNSAID}"}
        if self.options:
            told["choices"] = self.options
        elif isinstance(first, bool):
            told["action"] = argparse.BooleanOptionalAction
        else:
            told |= {"type": type(first), "metavar": "N" if isinstance(first, int) else "X"}
        parser.add_argument(self.option, dest=self.name, **told)


def settings(choices: Iterable[Choice], kinds: Iterable[str], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting, checked: as chosen, or the default for these kinds.  An unknown name is a ValueError."""
    known = {choice.name: choice for choice in choices}
    for name in chosen:
        check.one_of(tuple(known), setting=name)
    return {name: choice.checked(chosen.get(name, choice.default(*kinds))) for name, choice in known.items()}


def given(choices: Iterable[Choice], args: argparse.Namespace) -> dict[str, Any]:
    """What the command line said of them."""
    return {c.name: value for c in choices if (value := getattr(args, c.name)) is not None}


def merged(first: Iterable[Choice], second: Iterable[Choice], kind: str,
           ) -> tuple[list[Choice], list[Choice], list[Choice]]:
    """The choices of two methods that are one command: those of both, of the first alone, of the second alone.

    kind  what the second method is for, as help texts say it
    """
    first, second = ({choice.name: choice for choice in choices} for choices in (first, second))
    return ([choice.with_other(second[name], kind) for name, choice in first.items() if name in second],
            [choice for name, choice in first.items() if name not in second],
            [choice for name, choice in second.items() if name not in first])


def shown(defaults: Mapping[str, Any]) -> str:
    """Defaults by kind, "" for every other, in words.

    >>> shown({"a lake": 50.0, "a bandit": 0.2, "text": 0.2}), shown({"": 600, "addition": 200})
    ('50 on a lake, 0.2 on a bandit or text', '600, 200 on addition')
    """
    kinds: dict[str, list[str]] = {}
    for kind, value in defaults.items():
        kinds.setdefault(f"{value:g}" if isinstance(value, float) else str(value), []).append(kind)
    if len(kinds) == 1:
        return next(iter(kinds))
    return ", ".join(value if "" in names else f"{value} on {_either(names)}" for value, names in kinds.items())


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
