"""A row of the table of derivatives, and what a call of it records.

    Row(lambda a, b: a * b,  a=lambda dy, b: dy * b,  b=lambda dy, a: dy * a)

The first function computes y.  For each argument that can have a gradient there is a function of dy, the
derivative of the loss in y, and of whatever else it names: arguments of the first function, or its result y.
What it names is saved for backward, nothing else is.  It answers with dy, a view of it, or a new array; where
an argument was broadcast, in the shape of y, and the tape adds up (tensor.unbroadcast).

Two more forms, for kernels.  With extras=("stats",) the first function returns (y, stats), and stats can be
named.  With joint=function the derivatives of the first `together` arguments come from one function at once.
"""
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.autograd.tensor import Tensor, fingerprint, mode, result


class Row:
    """One primitive.  Calling it with tensors, arrays and numbers computes y and records how to go back."""

    def __init__(self, forward: Callable, extras: Sequence[str] = (), joint: Callable | None = None, together: int = 0,
                 **derivatives: Callable) -> None:
        self.name = "an operation"                    # the table knows better
        self.forward, self.extras, self.together = forward, tuple(extras), together
        self.arguments = tuple(inspect.signature(forward).parameters)
        self.joint = self._rule(joint)
        self.rules = [self.joint if i < together else self._rule(derivatives.pop(name, None))
                      for i, name in enumerate(self.arguments)]
        assert not derivatives, f"no argument is called {list(derivatives)}"

    def _rule(self, derive: Callable | None) -> tuple | None:
        """The function, the places of what it names, and those of them that are arguments."""
        if derive is None:
            return None
        places = [*self.arguments, "y", *self.extras]
        named = [places.index(name) for name in list(inspect.signature(derive).parameters)[1:]]
        return derive, named, [place for place in named if place < len(self.arguments)]

    def __call__(self, *args: Any) -> Tensor:
        values, wanting = [], []
        for place, a in enumerate(args):
            if a.__class__ is Tensor:
                values.append(a.data)
                if a.requires_grad:
                    wanting.append((a, self.rules[place]))
            else:
                values.append(a)
        y = self.forward(*values)
        if self.extras:
            y, *extras = y
            values += (y, *extras)
        else:
            values.append(y)
        if not wanting or not mode.recording:
            return result(y)
        if self.joint:
            targets = tuple([a if a.__class__ is Tensor and a.requires_grad else None for a in args[: self.together]])
            wanting = [(targets, self.joint)]
        edges, guards = [], None
        for target, rule in wanting:
            if rule is None:
                self._refuse(args)
            derive, named, arguments = rule
            if named:
                edges.append((target, derive, [values[i] for i in named]))
                if arguments:
                    guards = self._guarded(arguments, values, guards)
            else:
                edges.append((target, derive, ()))
        if y.__class__ is np.ndarray and y.base is not None:
            self._lock_base(y, values)
        return result(y, edges, guards)

    def _guarded(self, places: list[int], values: list, guards: list | None) -> list | None:
        """Fingerprints of saved arguments, where NumPy does not already forbid that they change."""
        for place in places:
            value = values[place]
            if value.__class__ is np.ndarray:
                owner = value if value.base is None else value.base
                if owner.__class__ is not np.ndarray or owner.flags.writeable:
                    guards = guards or []
                    guards.append((value, fingerprint(value), f"argument {self.arguments[place]} of {self.name}"))
        return guards

    def _lock_base(self, y: np.ndarray, values: list) -> None:
        """Where y is a view of an array that no argument holds, nobody shall write to that one either."""
        base = y.base
        if base.__class__ is np.ndarray:
            for v in values[: len(self.arguments)]:
                if v is base or (v.__class__ is np.ndarray and v.base is base):
                    return
            base.setflags(False)

    def _refuse(self, args: tuple) -> None:
        """Raise for the first tensor that wants a gradient where there is no derivative."""
        for name, a, rule in zip(self.arguments, args, self.rules, strict=True):
            if rule is None and a.__class__ is Tensor and a.requires_grad:
                check.fail(f"requires_grad of argument {name} of {self.name}", True, "False: it has no derivative here",
                           TypeError)
