"""A stranger's function as one that takes NumPy and gives a value and a gradient: NumPy, PyTorch or JAX.

Its arguments are known by their names (names.ALIASES).  What it does not ask for it is not given, and what has a
default keeps it.  Two things differ between libraries and are tried, in this order: one advantage a row comes as (B,),
spread over tokens as (B, T), or as (B, 1); the mask as numbers, or as booleans.

A NumPy function may return the loss, the loss and its gradient, or be accompanied by `grad`.  If it has no gradient it
is differentiated by central differences, and compared less sharply.
"""
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.conformance.contracts import BETA, Contract
from rlscratch.conformance.names import named

EXACT, DIFFERENCES, SINGLE, STEP = 1e-11, 2e-6, 1e-6, 1e-6
FRAMEWORKS = ("numpy", "torch", "jax")


class NoNumber(ValueError):
    """A function returned None, or NaN on a plain batch: nothing else can be asked of it."""


class Candidate:
    """What is examined.

    takes      our names of the arguments that it is given
    beta       the weight of the KL that it is called with, if it has one
    tolerance  how sharply its gradient can be compared
    """

    def __init__(self, function: Callable[..., Any], contract: Contract, framework: str = "numpy",
                 names: dict[str, str] | None = None, fixed: dict[str, Any] | None = None,
                 grad: Callable[..., Any] | None = None) -> None:
        self.function, self.contract, self.grad = function, contract, grad
        self.framework = check.one_of(FRAMEWORKS, framework=framework)
        self.fixed = dict(fixed or {})
        self.arguments = dict(_arguments(function, contract, dict(names or {}), self.fixed))
        self.takes = set(self.arguments)
        if contract.first not in self.takes:
            check.fail("function", getattr(function, "__name__", function),
                       f"a function with an argument for {contract.first}, found by its name; give names="
                       f"{{'theirs': '{contract.first}'}} (--names theirs={contract.first})")
        self.beta = _beta(function, self)
        self.tolerance, self.given = EXACT, False
        self.shapes = self._settle()

    def __call__(self, batch: dict[str, Any]) -> tuple[Any, Array | None]:
        """Value and gradient on a batch; whatever the function raises."""
        return self._called(batch, *self.shapes)

    def _settle(self) -> tuple[str, type]:
        """The shape of per-row arguments and the dtype of the mask with which the function works."""
        batch, wrong = self.contract.batch(), None
        rowwise = ("row", "token", "column") if self.takes & {"advantage", "rewards"} else ("row",)
        for shape in rowwise:
            for dtype in (float, bool) if "mask" in self.takes else (float,):
                try:
                    value, gradient = self._called(batch, shape, dtype)
                    expected = np.shape(batch[self.contract.first])
                    if gradient is not None and gradient.shape != expected:
                        raise ValueError(f"a gradient of the shape {gradient.shape}")
                    if self.contract.returns == "an array" and np.shape(value) != expected:
                        raise ValueError(f"an answer of the shape {np.shape(value)}; expected {expected}")
                    if all(np.array_equal(np.float32(x), x) for x in (value, gradient) if x is not None):
                        self.tolerance = max(self.tolerance, SINGLE)        # it computes in float32, whatever comes in
                    return shape, dtype
                except NoNumber:
                    raise
                except Exception as error:      # whatever a stranger's code may raise
                    wrong = wrong or error
        raise ValueError(f"function {getattr(self.function, '__name__', '?')} fails on a plain batch: "
                         f"{type(wrong).__name__}: {wrong}") from wrong

    def _called(self, batch: dict[str, Any], shape: str, dtype: type) -> tuple[Any, Array | None]:
        if self.contract.first == "right":                      # three integers, for one pool after the other
            pools = zip(*(batch[ours].tolist() for ours in self.takes), strict=True)
            each = (self._answer(dict(zip(self.takes, pool, strict=True))) for pool in pools)
            return np.array([float(value) for value in each]), None
        arrays = {ours: _shaped(ours, batch, shape, dtype, self.takes) for ours in self.takes}
        return {"numpy": self._numpy, "torch": self._torch, "jax": self._jax}[self.framework](arrays)

    def _keywords(self, arrays: dict[str, Any]) -> dict[str, Any]:
        return {self.arguments[ours]: value for ours, value in arrays.items()} | self.fixed

    def _answer(self, arrays: dict[str, Any]) -> Any:
        """What the function returns; NoNumber for None."""
        answer = self.function(**self._keywords(arrays))
        if answer is None or (isinstance(answer, tuple) and answer and answer[0] is None):
            raise NoNumber(f"{getattr(self.function, '__name__', 'function')} returns None; expected "
                           f"{self.contract.returns}: is a return missing?")
        return answer

    def _numpy(self, arrays: dict[str, Any]) -> tuple[Any, Array | None]:
        first, x = self.contract.first, arrays[self.contract.first]
        answer = self._answer(arrays)
        if self.contract.first == "rewards":
            return np.asarray(answer[0] if isinstance(answer, tuple) else answer, float), None
        value, gradient = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
        if self.grad is not None:
            gradient = self.grad(**self._keywords(arrays))
        if gradient is not None and np.shape(gradient) == np.shape(x):
            self.given = True
            return _number(value, self.contract), np.asarray(gradient, float)
        self.tolerance = DIFFERENCES
        value = answer[0] if isinstance(answer, tuple) else answer
        slope = np.zeros(np.shape(x))
        for place in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = x.copy()
                moved[place] += sign * STEP
                there = self.function(**self._keywords(arrays | {first: moved}))
                ends.append(np.sum(there[0] if isinstance(there, tuple) else there))
            slope[place] = (ends[0] - ends[1]) / (2 * STEP)
        return _number(value, self.contract), slope

    def _torch(self, arrays: dict[str, Any]) -> tuple[Any, Array | None]:
        import torch
        tensors = {ours: torch.tensor(value) if isinstance(value, np.ndarray) else value
                   for ours, value in arrays.items()}
        x = tensors[self.contract.first]
        if self.contract.first != "rewards":
            x.requires_grad_(True)
        answer = self._answer(tensors)
        value = answer[0] if isinstance(answer, (tuple, list)) else answer
        if self.contract.first == "rewards":
            return value.detach().double().numpy(), None
        slope, = torch.autograd.grad(value.sum(), x, allow_unused=True)
        return (_number(value.detach().double().numpy(), self.contract),
                np.zeros(x.shape) if slope is None else slope.double().numpy())

    def _jax(self, arrays: dict[str, Any]) -> tuple[Any, Array | None]:
        import jax
        jax.config.update("jax_enable_x64", True)
        first = self.contract.first
        arrays = {ours: jax.numpy.asarray(value) if isinstance(value, np.ndarray) else value
                  for ours, value in arrays.items()}

        def loss(x: Any) -> Any:
            answer = self._answer(arrays | {first: x})
            value = answer[0] if isinstance(answer, tuple) else answer
            return value.sum(), value

        if first == "rewards":
            return np.asarray(loss(arrays[first])[1]), None
        (_, value), slope = jax.value_and_grad(loss, has_aux=True)(arrays[first])
        return _number(np.asarray(value), self.contract), np.asarray(slope)


def loaded(place: str) -> Callable[..., Any]:
    """The function at FILE.py:name or package.module:name.

    Raises ValueError for another form or a name that is not there.
    """
    where, _, name = place.rpartition(":")
    if not where or not name:
        check.fail("function", place, "FILE.py:name or package.module:name")
    if where.endswith(".py"):
        if not Path(where).is_file():
            check.fail("function", place, "a file that is there")
        spec = importlib.util.spec_from_file_location(Path(where).stem, where)
        module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(Path(where).resolve().parent))
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            check.fail("function", place, f"a file that can be imported; {type(error).__name__}: {error}")
        finally:
            sys.path.pop(0)
    else:
        module = importlib.import_module(where)
    for part in name.split("."):
        if not hasattr(module, part):
            check.fail("function", place, f"a name that {where} has")
        module = getattr(module, part)
    return module


def _arguments(function: Callable[..., Any], contract: Contract, names: dict[str, str],
               fixed: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(our name, theirs) for what the function is to be given."""
    batch, parameters = contract.batch(), inspect.signature(function).parameters
    # Beside vpreds or new_values, values are those of before.
    before = [] if "values_old" not in batch else [
        name for name in parameters if name in ("values", "value") and any(
            named(other) == "values" for other in parameters if other != name)]
    for theirs, parameter in parameters.items():
        if theirs in fixed or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        known = "values_old" if theirs in before else theirs if theirs in batch else named(theirs)
        ours = names.get(theirs) or known
        ours = "returns" if ours == "rewards" and contract.first == "values" else ours
        asked = parameter.default is parameter.empty
        if ours == "rewards" and contract.first == "chosen":
            ours = None
        wanted = asked or theirs in names or parameter.default is None
        if ours in batch and (wanted or isinstance(batch[ours], np.ndarray)):
            yield ours, theirs
        elif theirs in names:
            check.fail(f"the name given for {theirs}", names[theirs], f"one of {', '.join(sorted(batch))}")
        elif asked:
            check.fail("function", getattr(function, "__name__", function),
                       f"arguments whose names are known; {theirs} is not: give names={{'{theirs}': 'ours'}} (--names "
                       f"{theirs}=OURS; ours are {', '.join(batch)}) or a value (--set {theirs}=VALUE)")


def _beta(function: Callable[..., Any], candidate: Candidate) -> float | None:
    for theirs, parameter in inspect.signature(function).parameters.items():
        if named(theirs) == "beta" and "beta" not in candidate.takes:
            value = candidate.fixed.get(theirs, parameter.default)
            return float(value) if isinstance(value, (int, float)) else None
    return BETA if "beta" in candidate.takes else None


def _shaped(ours: str, batch: dict[str, Any], shape: str, dtype: type, takes: set[str]) -> Any:
    value = batch[ours]
    if ours == "mask":
        return value.astype(dtype)
    if ours not in ("advantage", "rewards") or value.ndim != 1:
        return value
    if ours == "rewards" and "group" not in takes:
        return value.reshape(-1, batch["group"])
    return {"row": value, "column": value[:, None],
            "token": np.broadcast_to(value[:, None], batch["logp"].shape) * batch["mask"]}[shape]


def _number(value: Any, contract: Contract) -> Any:
    if contract.returns == "an array":
        return np.asarray(value, float)
    if np.ndim(value):
        raise TypeError(f"an array of the shape {np.shape(value)}; expected one number, the loss of the batch")
    return float(value)
