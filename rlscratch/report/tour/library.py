"""The formulas as a reader looks them up: their derivations, functions, tests, numbers and examples.

Everything is read from the modules themselves (docstrings, signatures) and from the ledger, so that
the page cannot say anything that the source does not.
"""
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType

from rlscratch import formulas
from rlscratch.documents import proofs
from rlscratch.documents.entry import Entry
from rlscratch.report import equations
from rlscratch.report.tour.ladder import Rung


@dataclass(frozen=True)
class Formula:
    """A public function: where it is defined, what it says of itself, and who uses it."""

    name: str
    module: str
    signature: str
    summary: str
    details: str
    proof: str
    equations: tuple[tuple[str, int], ...]
    entries: tuple[Entry, ...]
    rungs: tuple[Rung, ...]

    @property
    def anchor(self) -> str:
        """Its place on the page, such as "f-ppo-ratio"."""
        return "-".join(["f", *self.module.split(".")[-1:], *self.name.split(".")])


@dataclass(frozen=True)
class Derivation:
    """A module's docstring, and its functions in the order of the source."""

    module: str
    title: str
    text: str
    formulas: tuple[Formula, ...]

    @property
    def name(self) -> str:
        """The module's last name, such as "ppo"."""
        return self.module.rpartition(".")[2]

    @property
    def file(self) -> str:
        """Path of its source, from the root of the repository."""
        return self.module.replace(".", "/") + ".py"

    @property
    def tests(self) -> str:
        """Path of its tests: the module's name below rlscratch, with underscores."""
        return "tests/test_" + "_".join(self.module.split(".")[1:]) + ".py"


def derivations(entries: Iterable[Entry], rungs: Iterable[Rung]) -> list[Derivation]:
    """Every module of formulas, and the finite MDP, in the order of their names."""
    entries = list(entries)
    names = [f"{formulas.__name__}.{module.name}" for module in pkgutil.iter_modules(formulas.__path__)]
    calls = [(rung, set(re.findall(r"\b(\w+)\(", rung.source))) for rung in rungs]
    return [_derivation(importlib.import_module(name), entries, calls) for name in [*names, "rlscratch.mdp.process"]]


def location(source: str) -> tuple[str, str]:
    """A dotted name as a module and what it holds; ("", "") for none.

    >>> location("rlscratch.mdp.process.MDP.solve")
    ('rlscratch.mdp.process', 'MDP.solve')
    """
    parts = source.split(".")
    cut = next((i for i, part in enumerate(parts) if i and (part[:1].isupper() or i == len(parts) - 1)), len(parts))
    return ".".join(parts[:cut]), ".".join(parts[cut:])


Calls = list[tuple[Rung, set[str]]]         # of each rung, the names that it calls


def _derivation(module: ModuleType, entries: list[Entry], calls: Calls) -> Derivation:
    title, _, text = (inspect.getdoc(module) or "").partition("\n")
    return Derivation(module.__name__, title.rstrip("."), text.strip("\n"), tuple(
        _formula(module.__name__, name, function, entries, calls) for name, function in _functions(module)))


def _functions(module: ModuleType) -> list[tuple[str, object]]:
    """Public functions that the module defines, and the public methods of its classes."""
    own = [(name, thing) for name, thing in vars(module).items()
           if not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__]
    found = [(name, thing) for name, thing in own if inspect.isfunction(thing)]
    for name, thing in own:
        if inspect.isclass(thing):
            found += [(f"{name}.{method}", getattr(thing, method)) for method, value in vars(thing).items()
                      if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, classmethod))]
    return found


def _formula(module: str, name: str, function: object, entries: list[Entry], calls: Calls) -> Formula:
    summary, _, details = proofs.LINE.sub("", inspect.getdoc(function) or "").partition("\n")
    parameters = inspect.signature(function).parameters.values()
    arguments = ", ".join(str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters if p.name != "self")
    word, dotted = name.split(".")[-1], f"{module}.{name}"
    return Formula(name, module, f"{name}({arguments})", summary, details.strip("\n"), proofs.proof_of(dotted),
                   tuple(equations.numbers(module.rpartition(".")[2], function)),
                   tuple(entry for entry in entries if entry.source == dotted),
                   tuple(rung for rung, called in calls if word in called))
