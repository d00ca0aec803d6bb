"""The referee: which objective does a loss of yours descend, under which convention, and which law does it break?

    rlscratch conform FILE.py:function --as grpo --framework torch

In Python, examine(function, like="grpo") is a verdict, and oracle(loss) says what a policy loss ascends on average over
every group of answers of a small world.  In reading order:

    names        how arguments may be called, and what a function may say that it is
    batches      small inputs on which no two conventions agree
    contracts    what a function of a kind is given, and every convention that we know, from formulas
    candidates   a stranger's function, of NumPy, PyTorch or JAX, as a value and a gradient
    laws         what must hold whatever the convention
    examination  the verdict
    oracle       what is ascended on average
    cases        the conventions as files, for those who do not have rlscratch
    libraries    what we say of other libraries, with the version that each sentence was checked against
    command, plugin   `rlscratch conform`, `pytest --rlscratch-conformance`
    adapters/    the losses of libraries, called as they stand
"""
from collections.abc import Callable
from typing import Any

__all__ = ["examine", "oracle"]


def examine(function: Callable[..., Any], like: str, **how: Any) -> Any:
    """The verdict on a function; examination.examine, which is opened when it is called."""
    from rlscratch.conformance import examination
    return examination.examine(function, like, **how)


def oracle(loss: Callable[..., Any], mdp: Any = None, **how: Any) -> Any:
    """What a policy loss ascends on average; oracle.oracle, which is opened when it is called."""
    from rlscratch.conformance import oracle as room
    return room.oracle(loss, mdp, **how)
