"""A thousand of the random calls that `make test-sanitize` makes many of; and what differs is noticed."""
import numpy as np
import pytest

import fuzz_kernels
from fuzz_kernels import KERNELS, fuzz
from kernel_cases import compiled
from rlscratch import kernels


@pytest.mark.compiled_only("on NumPy the twin would be compared with itself")
def test_random_calls_are_answered_as_the_twin_answers_or_refused_alike():
    ends, wrong = fuzz(1000, seed=0)
    assert not wrong
    assert {"answer", "ValueError", "TypeError", "answer to what is not finite, or huge"} == set(ends)
    assert min(ends.values()) > 20


def test_every_kernel_is_called():
    assert set(KERNELS) == {name for name in kernels.__all__ if callable(getattr(kernels, name))} - {
        "set_threads", "threads"}


@compiled
@pytest.mark.parametrize("planted", [
    lambda probs: probs * 1.001, lambda probs: probs.astype(np.float16), lambda probs: probs[:1], lambda probs: 1 / 0])
def test_a_kernel_that_differs_from_its_twin_is_noticed(planted, monkeypatch):
    softmax = kernels.softmax
    monkeypatch.setattr(fuzz_kernels.kernels, "softmax", lambda **args: planted(softmax(**args)))
    assert len(fuzz(60, seed=0, names=("softmax",))[1]) > 10


@compiled
def test_a_refusal_in_other_words_and_an_argument_changed_before_it_are_noticed(monkeypatch):
    adamw = kernels.adamw

    def wrong(parameter, **args):
        if isinstance(parameter, np.ndarray) and parameter.flags.writeable:
            parameter += 1
        try:
            return adamw(parameter, **args)
        except TypeError as refused:
            raise ValueError(str(refused)) from refused

    monkeypatch.setattr(fuzz_kernels.kernels, "adamw", wrong)
    said = "\n".join(fuzz(200, seed=0, names=("adamw",))[1])
    assert "changed, though it was refused" in said and "ValueError: the dtype of" in said
