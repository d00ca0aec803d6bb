"""A pytest plugin: a function's verdict as tests, one for what it is and one for its laws.

    pytest --rlscratch-conformance mypackage.losses:grpo --as grpo --framework torch

Installed with rlscratch, and asleep without the option.
"""
from collections.abc import Callable
from typing import Any

import pytest


def pytest_addoption(parser: Any) -> None:
    """The options."""
    options = parser.getgroup("rlscratch")
    options.addoption("--rlscratch-conformance", metavar="MODULE:NAME", help="a loss or an advantage to examine")
    options.addoption("--as", dest="rlscratch_as", help="what it says it is, such as grpo")
    options.addoption("--framework", dest="rlscratch_framework", default="numpy", help="numpy, torch or jax")


def pytest_collection_modifyitems(session: Any, config: Any, items: list[Any]) -> None:
    """Examine the function, and add its tests."""
    place = config.getoption("--rlscratch-conformance")
    if not place:
        return
    from rlscratch.conformance import examine
    from rlscratch.conformance.candidates import loaded
    like, framework = (config.getoption(f"rlscratch_{name}") for name in ("as", "framework"))
    try:
        verdict = examine(loaded(place), like, framework=framework)
    except (ValueError, TypeError, ImportError) as wrong:
        raise pytest.UsageError(f"--rlscratch-conformance: {wrong}") from wrong

    def is_what_it_says() -> None:
        assert verdict.ok or (verdict.agrees and verdict.breaches), f"\n{verdict}"

    def breaks_no_law() -> None:
        assert not verdict.breaches, f"\n{verdict}"

    items += [Examined.from_parent(session, name=f"{place} {test.__name__}", test=test)
              for test in (is_what_it_says, breaks_no_law)]


class Examined(pytest.Item):
    """One test of the verdict."""

    def __init__(self, *, test: Callable[[], None], **how: Any) -> None:
        super().__init__(**how)
        self.test = test

    def runtest(self) -> None:
        """The test itself."""
        self.test()

    def repr_failure(self, excinfo: Any, style: Any = None) -> str:
        """The verdict, without a traceback of ours."""
        return str(excinfo.value)
