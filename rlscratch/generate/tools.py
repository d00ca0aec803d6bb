"""Answers that ask a tool: generation stops at the end of a call, the result is written behind it, generation goes on.

                 ? 3 * 4 !  1 2 >  1 2 .         ? 3 * 4 ! the call, 1 2 > its result, 1 2 . the answer and its end
    mask         1 1 1 1 1  0 0 0  1 1 1
    logp         x x x x x  0 0 0  x x x

The policy chose the call and what comes after the result.  The result is an observation: the world said it, and no
derivative of log pi belongs to it.  So its mask is 0, as a prompt's, and every loss with a mask leaves it out.  For an
advantage over tokens the next value is that of the next chosen token (formulas.returns, gae_over_turns).

Rows stop at different places.  Those that have equally many tokens left go on together, each behind its own text, so
a row never waits at a place that depends on its neighbours; and each prompt has its own stream of random numbers, from
which each turn takes as many as the row has tokens left.  So an answer does not depend on the batch around it,
as in rlscratch.generate.sampling.

max_new_tokens counts everything behind the prompt, results too.  A result that leaves no room for a token is not
written: the answer was cut off at its call.  So the last token of a row is always one that the policy chose.

Leaves out: tools that remember or draw random numbers (equal calls should have equal results); calls side by side.
"""
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.generate.rollout import Rollout, checked_prompts, checked_stop, streams
from rlscratch.generate.sampling import generate, stream


def generate_with_tool(model: Any, prompts: Sequence[Sequence[int]], *, tool: Callable[[list[int]], Sequence[int]],
                       call: int, max_new_tokens: int, stop: Sequence[int] = (),
                       rng: np.random.Generator | Sequence[np.random.Generator] | None = None, pad: int | None = None,
                       **knobs: Any) -> Rollout:
    """One answer to each prompt, its results among its tokens, with mask and logp 0.

    tool   the ids behind a prompt, up to and with `call` -> the ids of the result
    call   the id that ends a call, and is not among stop
    knobs  temperature and filters; all else as in generate

    Raises ValueError or TypeError, before anything is drawn, for what does not fit; and for a result that is no ids.
    """
    given = checked_prompts(model, prompts, max_new_tokens)
    _checked_tool(model, tool, call, stop)
    _, pad = checked_stop(model, [*stop, call], pad)
    own = None if rng is None else streams(rng, len(given))
    rows = _Rows(given, max_new_tokens, pad)
    going = list(range(len(given)))
    while going:
        left = {i: int(rows.left[i]) for i in going}
        for count in sorted(set(left.values())):
            some = [i for i in going if left[i] == count]
            said = generate(model, rows.texts(some), max_new_tokens=count, stop=[*stop, call], pad=pad,
                            rng=None if own is None else [own[i] for i in some], **knobs)
            rows.chose(some, said, call)
        asked = [i for i in going if rows.last(i) == call and rows.left[i]]
        going = [i for i in asked if rows.heard(i, _result(model, tool, rows.behind(i)))]
    width = rows.lengths.max()
    return Rollout(rows.tokens[:, :width], rows.mask[:, :width], rows.logp[:, :width].astype(said.logp.dtype),
                   rows.lengths, rows.finished)


def stream_with_tool(model: Any, prompt: Sequence[int], *, tool: Callable[[list[int]], Sequence[int]], call: int,
                     max_new_tokens: int, stop: Sequence[int] = (),
                     rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
                     **knobs: Any) -> Iterator[int]:
    """The ids of one answer, results too, each as soon as it is there: those that generate_with_tool gives.

    Arguments, and what is raised, as there
    """
    _checked_tool(model, tool, call, stop)
    own = None if rng is None else streams(rng, 1)
    drawn: Callable[..., Iterator[int]] = partial(stream, model, stop=[*stop, call], rng=own, **knobs)
    turn = drawn(prompt, max_new_tokens=max_new_tokens)

    def one_by_one() -> Iterator[int]:
        said, behind = turn, []
        while True:
            for token in said:
                behind.append(token)
                yield token
            left = max_new_tokens - len(behind)
            if behind[-1] != call or not left or len(result := _result(model, tool, behind).tolist()) >= left:
                return
            yield from result
            behind += result
            said = drawn([*prompt, *behind], max_new_tokens=left - len(result))

    return one_by_one()


def _checked_tool(model: Any, tool: Any, call: int, stop: Sequence[int]) -> None:
    if not callable(tool):
        check.fail("tool", tool, "a function of the ids up to a call, which gives the ids of its result", TypeError)
    ends_answer, _ = checked_stop(model, stop, None)
    if ends_answer[check.integer(0, model.config.vocab_size - 1, call=call)]:
        check.fail("call", call, "an id that is not among stop, which ends the answer")


def _result(model: Any, tool: Callable[[list[int]], Sequence[int]], behind: list[int]) -> Array:
    return check.ids(model.config.vocab_size, ndim=1, empty=True, result=tool(list(behind)))


class _Rows:
    """Rows that grow: the fields of a Rollout, each row as wide as it may become.

    left  (B,)  tokens that there is room for behind each row
    """

    def __init__(self, prompts: list[Array], longest: int, pad: int) -> None:
        self.starts = np.array([len(prompt) for prompt in prompts])
        self.lengths, self.left = self.starts.copy(), np.full(len(prompts), longest)
        self.tokens = np.full((len(prompts), self.starts.max() + longest), pad)
        for row, prompt in zip(self.tokens, prompts, strict=True):
            row[:len(prompt)] = prompt
        self.mask, self.logp = np.zeros(self.tokens.shape), np.zeros(self.tokens.shape)
        self.finished = np.zeros(len(prompts), bool)

    def texts(self, some: list[int]) -> list[Any]:
        """All ids of these rows so far."""
        return [self.tokens[i, :self.lengths[i]] for i in some]

    def last(self, i: int) -> int:
        """The last id of row i."""
        return int(self.tokens[i, self.lengths[i] - 1])

    def behind(self, i: int) -> list[int]:
        """All ids behind the prompt of row i."""
        return self.tokens[i, self.starts[i]:self.lengths[i]].tolist()

    def chose(self, some: list[int], said: Rollout, call: int) -> None:
        """Take over what the policy said in these rows."""
        for row, i in enumerate(some):
            new = slice(self.lengths[i], said.lengths[row])
            self.tokens[i, new], self.logp[i, new], self.mask[i, new] = said.tokens[row, new], said.logp[row, new], 1
            self.left[i] -= new.stop - new.start
            self.lengths[i] = new.stop
            self.finished[i] = said.finished[row] and self.last(i) != call

    def heard(self, i: int, result: Array) -> bool:
        """Write a result behind row i; False, and nothing is written, if no token could follow it."""
        fits = len(result) < self.left[i]
        if fits:
            self.tokens[i, self.lengths[i]:self.lengths[i] + len(result)] = result
            self.lengths[i] += len(result)
            self.left[i] -= len(result)
        return bool(fits)
