"""One line of the ledger: what a document prints, what our formulas give, and how the two relate.

    verdict      the computed value and the printed one
    exact        are equal
    rounds       differ by less than half a unit of the last printed digit
    convention   agree under one choice and not under the other; the note names both choices
    differs      differ; where some other assumption gives the printed number, the note names it
    derived      the document prints nothing here: its own inputs, carried one step further

    kind            how the entry is held
    computed        by the formula that the document is talking about
    restated        by a formula too, but it could hardly be otherwise: a row adds to 1, a zero stays
    input           a parameter: the note says where it is used
    statement       a formula or a range, as the document writes it, with where we differ
    drawing         the length of a bar against its label
    quoted          what somebody else said, which the document shows and does not claim
    run-dependent   the outcome of one training run, against what must hold of every run

The verdict compares two values; the kind says what that is worth.  Only `computed` entries are
counted by their verdict: 29 zeros of a table are no 29 successes, and a short bar is no error.

`compute` looks its formula up when it is called (`ppo.ratio(...)`, never a name imported from
the module), so that a test can break the formula and see the entry fail.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

VERDICTS = ("exact", "rounds", "convention", "differs", "derived")
KINDS = ("computed", "restated", "input", "statement", "drawing", "quoted", "run-dependent")

PINNED = 5e-7        # half a unit of the sixth decimal, to which exact values are written
ROUNDING = 1e-9      # what floating point may add to either side of a comparison

Value = Any          # a number, a truth value, a word, or a tuple of these


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One number, range, drawing or formula of a document.

    id         short and stable, such as "S2.ratio": document 002, the ratio
    document   "000" to "004"
    section    heading under which the document has it
    claim      what the document says, in one sentence that needs no document beside it
    formula    the formula with its numbers, in plain characters
    printed    the value as the document prints it; None where it prints none
    exact      the value that holds, to six decimals where it does not end
    tolerance  half a unit of the last printed digit; of the sixth decimal where nothing is printed
    verdict    one of VERDICTS
    kind       one of KINDS
    compute    calls the formula; None for inputs and statements that have nothing to call
    otherwise  the value under the other choice or assumption that the note names
    bound      run-dependent entries: the most that any run from zeros can have reached
    source     dotted name of the formula
    proof      the test that proves the formula, "tests/file.py::name" (proofs.py finds it)
    note       the finding; required of convention, differs, and of entries without compute
    planted    arguments of the formula and values for them; forcing any one must make the entry fail
    """

    id: str
    document: str
    section: str
    claim: str
    formula: str
    printed: Value | None
    exact: Value
    tolerance: float
    verdict: str
    kind: str
    compute: Callable[[], Value] | None = None
    otherwise: Callable[[], Value] | None = None
    bound: Callable[[], float] | None = None
    source: str = ""
    proof: str = ""
    note: str = ""
    planted: Mapping[str, Value] = field(default_factory=dict)

    @property
    def counted(self) -> str:
        """What the totals count it as: its verdict if a formula computed it, else its kind."""
        return self.verdict if self.kind == "computed" else self.kind

    def computed(self) -> Value:
        """The value of our formula, in plain Python; the exact value where there is nothing to call."""
        return plain(self.compute()) if self.compute else self.exact

    def complaints(self) -> list[str]:
        """What is wrong with this entry: empty when value and verdict both hold."""
        value = self.computed()
        found = [] if close(value, self.exact, PINNED) else [f"computed {value}, pinned {self.exact}"]
        return found + self._verdict_complaints(value)

    def _verdict_complaints(self, value: Value) -> list[str]:
        if self.kind == "statement" or self.verdict == "derived":
            return self._idle_choice(value)
        equal, near = close(value, self.printed, 0), close(value, self.printed, self.tolerance)
        if self.verdict == "exact":
            return [] if equal else [f"{value} is not the printed {self.printed}"]
        if self.verdict == "rounds":
            return [] if near and not equal else [f"{value} does not round to the printed {self.printed}"]
        if self.kind == "run-dependent":
            below = 0 <= self.printed <= self.bound() + self.tolerance and self.printed < value
            return [] if below and not near else [f"printed {self.printed} is no unfinished {value}"]
        return self._choice_complaints(value, near)

    def _choice_complaints(self, value: Value, near: bool) -> list[str]:
        """differs and convention: the printed value must belong to the assumption that the note names."""
        if self.verdict == "differs" and near:
            return [f"{value} agrees with the printed {self.printed}: it does not differ"]
        if self.otherwise is None:
            return [] if self.verdict == "differs" else ["names no other choice"]
        other = plain(self.otherwise())
        if self.kind == "drawing" and self.verdict == "convention":
            tied = close(abs(value - self.printed), abs(other - self.printed), 0)
            return [] if tied and value != other else [f"{value} and {other} are no tie around {self.printed}"]
        return [] if near != close(other, self.printed, self.tolerance) else [
            f"{value} and, under the other choice, {other}: the printed {self.printed} should fit exactly one"]

    def _idle_choice(self, value: Value) -> list[str]:
        """A choice that changes nothing would be no choice."""
        if self.otherwise is None or not close(value, plain(self.otherwise()), PINNED):
            return []
        return [f"{value} under either choice"]


def plain(value: Value) -> Value:
    """NumPy numbers and arrays, lists and tuples, as Python numbers and tuples."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return tuple(plain(v) for v in value) if isinstance(value, list | tuple) else value


def close(value: Value, target: Value, tolerance: float) -> bool:
    """Equal words and truth values; numbers within tolerance; tuples entry by entry."""
    if isinstance(value, tuple) or isinstance(target, tuple):
        return (isinstance(value, tuple) and isinstance(target, tuple) and len(value) == len(target)
                and all(close(v, t, tolerance) for v, t in zip(value, target, strict=True)))
    if any(isinstance(x, bool | str | None) for x in (value, target)):
        return value == target and type(value) is type(target)
    return bool(abs(value - target) <= tolerance + ROUNDING)
