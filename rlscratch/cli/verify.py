"""The proofs of one module of formulas, each as a sentence with the kind of witness that speaks for it.

    rlscratch verify ppo        runs tests/test_formulas_ppo.py and what test_fourth_witness.py says of it
    rlscratch verify            the modules that there are

A claim is a test function, and its name is the sentence.  The kinds are read off what the test calls, itself or
through the functions of its own file:

    autograd             the same loss, composed of primitives and differentiated by the tape
    central difference   (f(x + h) - f(x - h)) / 2h
    complex step         Im f(x + ih) / h
    enumeration          every case there is: itertools, rlscratch.expectations, an exact expected_...
    planted error        a mistake made on purpose, which the comparison must refuse
    property             inputs that Hypothesis draws
    by hand              none of these: numbers that a person can check

The tests stand in a checkout; an installed package has none.
"""
import argparse
import ast
import inspect
import re
import textwrap
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlscratch import check, formulas
from rlscratch.report.table import table

TESTS = Path(__file__).resolve().parents[2] / "tests"
WITNESS = "test_fourth_witness.py"
QUIET = ("-p", "no:terminal", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts=", "--import-mode=importlib",
         "-W", "ignore::pytest.PytestAssertRewriteWarning")       # of our own plugin, which is imported by now
BY_NAME = {"central_difference": "central difference", "complex_step": "complex step"}
KINDS = ("autograd", *BY_NAME.values(), "enumeration", "planted error", "property", "by hand")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rlscratch verify`."""
    parser.add_argument("module", nargs="?", metavar="MODULE",
                        help="a module of rlscratch.formulas; without it, their names are printed")


def run(args: argparse.Namespace) -> int:
    """Run the proofs and print their claims; 0 if all of them hold, else 1.

    Raises ValueError for a module that there is not, RuntimeError where tests or pytest are missing.
    """
    if args.module is None:
        print("\n".join(formulas.__all__))
        return 0
    check.one_of(tuple(formulas.__all__), module=args.module)
    if not (TESTS / WITNESS).exists():
        raise RuntimeError("the proofs are tests, which this installation lacks; clone the repository and run "
                           f"`make verify F={args.module}` in it")
    if find_spec("pytest") is None:
        raise RuntimeError("the proofs run under pytest, which is not installed; in the checkout, "
                           "pip install --editable '.[test]'")
    begin = time.perf_counter()
    claims = proven(args.module, str(TESTS / f"test_formulas_{args.module}.py"), str(TESTS / WITNESS))
    return shown(args.module, claims, time.perf_counter() - begin)


def proven(module: str, *places: str) -> "Claims":
    """What pytest finds when it runs these files, or tests of them, about a module."""
    import pytest
    claims = Claims(module)
    pytest.main([*QUIET, "--rootdir", str(TESTS.parent), "-c", str(TESTS.parent / "pyproject.toml"), *places],
                plugins=[claims])
    return claims


def shown(module: str, claims: "Claims", seconds: float) -> int:
    """Print what was found; the exit status."""
    rows = [(found.outcome, sentence(name), found.cases, ", ".join(found.kinds))
            for name, found in claims.found.items()]
    print(table(("", "claim", "cases", "witness"), rows))
    failed = [failure for found in claims.found.values() for failure in found.failures]
    for place, reason in (*failed, *claims.broken):
        print(f"\n{place}\n{textwrap.indent(reason, '    ')}")
    held = sum(found.outcome == "holds" for found in claims.found.values())
    print(f"\nformulas/{module}.py: {held} of {len(rows)} claims hold, {seconds:.1f} s")
    return int(not rows or held < len(rows) or bool(claims.broken))


def sentence(test: str) -> str:
    """The claim that a test's name makes.

    >>> sentence("test_the_document_s_numbers_and_its_steps")
    "the document's numbers and its steps"
    """
    return re.sub(r"_s(?=_|$)", "'s", test.removeprefix("test_")).replace("_", " ")


# ---------------------------------------------------------------- what pytest tells

class Claim:
    """One test function: its kinds of witness, how many cases were run, and what failed."""

    def __init__(self, kinds: list[str]) -> None:
        self.kinds, self.cases = kinds, 0
        self.failures: list[tuple[str, str]] = []

    @property
    def outcome(self) -> str:
        """What can be said of the claim; one whose cases were all skipped, or never reached, has no proof."""
        return "FAILS" if self.failures else "holds" if self.cases else "not run"


class Claims:
    """A plugin of pytest that keeps the tests about one module and remembers how they went.

    found   the claims by the names of their tests
    broken  files that could not be read at all: where, and why
    """

    def __init__(self, module: str) -> None:
        self.module = module
        self.found: dict[str, Claim] = {}
        self.broken: list[tuple[str, str]] = []

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Leave out what the fourth witness says of other modules."""
        items[:] = [item for item in items if item.path.name != WITNESS or self._about(item)]
        for item in items:
            name = item.originalname
            if name not in self.found:
                self.found[name] = Claim(kinds_of(item.function, self.module))

    def pytest_collectreport(self, report: Any) -> None:
        """A file with an error."""
        if report.failed:
            self.broken.append((report.nodeid, str(report.longrepr)))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test has ended, or what it needs could not be prepared."""
        claim = self.found[report.location[2].split("[")[0].rsplit(".", 1)[-1]]
        claim.cases += report.when == "call" and not report.skipped
        if report.failed:
            last = getattr(getattr(report.longrepr, "reprcrash", None), "message", str(report.longrepr))
            claim.failures.append((report.nodeid, last))

    def _about(self, item: Any) -> bool:
        """Whether a test of the fourth witness is about the module: by its parameter, else by what it calls."""
        given = item.callspec.params.values() if hasattr(item, "callspec") else ()
        modules = {str(value).split(".")[0] for value in given} & set(formulas.__all__)
        if modules:
            return self.module in modules
        return f'MODULES["{self.module}"]' in inspect.getsource(item.function)


# ---------------------------------------------------------------- kinds of witness

def kinds_of(test: Callable[..., Any], module: str) -> list[str]:
    """The kinds of witness that a test calls, among KINDS.

    test    a test function
    module  what it proves something about: nothing is its own witness
    """
    drawn = hasattr(test, "hypothesis")
    test = test.hypothesis.inner_test if drawn else test
    kinds = {kind for name, value in _called(test) for kind in _kind(name, value, module)}
    kinds |= {"property"} if drawn else set()
    kinds |= {"planted error"} if "raises(AssertionError)" in inspect.getsource(test) else set()
    return [kind for kind in KINDS if kind in kinds] or ["by hand"]


def _kind(name: str, value: object, module: str) -> Iterator[str]:
    home = getattr(value, "__name__" if inspect.ismodule(value) else "__module__", None) or ""
    if home == f"{formulas.__name__}.{module}":
        return
    if name in BY_NAME:
        yield BY_NAME[name]
    if home.startswith("rlscratch.autograd"):
        yield "autograd"
    if home.startswith("rlscratch.expectations") or home == "itertools" or name.startswith("expected_"):
        yield "enumeration"


def _called(function: Callable[..., Any], seen: set[str] | None = None) -> Iterator[tuple[str, object]]:
    """Global names in a function, and in the functions of its file that it names, with what they stand for."""
    seen = set() if seen is None else seen
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Name) and node.id in function.__globals__ and node.id not in seen:
            seen.add(node.id)
            value = function.__globals__[node.id]
            yield node.id, value
            if inspect.isfunction(value) and value.__globals__ is function.__globals__:
                yield from _called(value, seen)

