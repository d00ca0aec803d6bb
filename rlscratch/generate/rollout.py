"""What generation returns, and what it asks of prompts and random streams.

A batch stands in one array, each row padded on the right:

    tokens   p p p a a a e . .       p prompt, a answer, e a stop token, . padding
    mask     0 0 0 1 1 1 1 0 0       1 exactly where the policy chose the token
    logp     0 0 0 x x x x 0 0       of token t itself, under the distribution it was drawn from
    lengths  7                       prompt and answer

Each prompt has a stream of uniforms of its own, which no other prompt reads.  So what is drawn for a
prompt depends on the prompt, its stream and the logits alone, not on the batch around it.
"""
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISpawnableSeedSequence

from rlscratch import check
from rlscratch.check import Array


@dataclass(frozen=True, eq=False)
class Rollout:
    """Prompts with their answers.

    tokens    (B, T)  ids; T is the longest row
    mask      (B, T)  float64, 1 where the policy chose the token, its stop token included
    logp      (B, T)  log-probability of each chosen token, natural log; 0 elsewhere
    lengths   (B,)    tokens of prompt and answer together
    finished  (B,)    True where the answer ended with a stop token, False where it was cut off

    >>> prompts, answers, logp = [np.array([0])] * 2, np.array([[3, 2, 1], [2, 1, 0]]), np.log([[.5] * 3] * 2)
    >>> assemble(prompts, answers, logp, counts=np.array([3, 2]), finished=np.array([True, True]), pad=0)
    Rollout(2 answers, 2-3 tokens, 2 finished)
    """

    tokens: Array
    mask: Array
    logp: Array
    lengths: Array
    finished: Array

    def __repr__(self) -> str:
        count = self.mask.sum(axis=1).astype(int)
        tokens = f"{count.min()}-{count.max()}" if np.ptp(count) else f"{count[0]}"
        return f"Rollout({len(count)} answers, {tokens} tokens, {self.finished.sum()} finished)"

    @property
    def reasons(self) -> list[str]:
        """Why each answer ended: "stop" or "length"."""
        return ["stop" if finished else "length" for finished in self.finished]

    @property
    def answers(self) -> list[list[int]]:
        """The chosen tokens of each row, its stop token included."""
        return [row[chosen].tolist() for row, chosen in zip(self.tokens, self.mask.astype(bool), strict=True)]

    @property
    def replies(self) -> list[list[int]]:
        """All tokens behind the prompt of each row: what was chosen, and results of a tool between."""
        return [row[start:end].tolist() for row, start, end in zip(
            self.tokens, self.mask.argmax(axis=1), self.lengths, strict=True)]


def assemble(prompts: Sequence[Array], answers: Array, logp: Array, counts: Array, finished: Array,
             pad: int) -> Rollout:
    """The Rollout of B prompts and of the first counts[i] entries of row i of answers and of logp."""
    starts = np.array([len(prompt) for prompt in prompts])
    lengths = starts + counts
    shape = len(prompts), lengths.max()
    tokens, mask, chosen = np.full(shape, pad), np.zeros(shape), np.zeros(shape, logp.dtype)
    for row, (prompt, start, end) in enumerate(zip(prompts, starts, lengths, strict=True)):
        tokens[row, :start], tokens[row, start:end] = prompt, answers[row, :end - start]
        mask[row, start:end], chosen[row, start:end] = 1, logp[row, :end - start]
    return Rollout(tokens, mask, chosen, lengths, finished)


# ---------------------------------------------------------------- arguments

def checked_prompts(model: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[Array]:
    """Prompts as arrays of ids: one at least, none empty, each with room for max_new_tokens behind it."""
    if not isinstance(prompts, (Sequence, np.ndarray)) or isinstance(prompts, (str, bytes)):
        check.fail("prompts", prompts, "a list of prompts, each a list of token ids", TypeError)
    if len(prompts) == 0:
        check.fail("prompts", prompts, "at least one prompt")
    arrays = _seen_at_once(model, prompts, max_new_tokens)
    return arrays or [checked_prompt(model, max_new_tokens, prompt=prompt, called=f"prompts[{i}]")
                      for i, prompt in enumerate(prompts)]


def _seen_at_once(model: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[Array] | None:
    """Prompts as arrays if one look at all of them finds nothing to convert or to complain of."""
    with suppress(ValueError):              # of rows that make no array
        arrays = [np.asarray(prompt) for prompt in prompts]
        if all(array.dtype == np.int64 and array.ndim == 1 and array.size for array in arrays):
            ids, longest = np.concatenate(arrays), max(map(len, arrays))
            if (type(max_new_tokens) is int and 1 <= max_new_tokens <= model.config.context - longest
                    and ids.min() >= 0 and ids.max() < model.config.vocab_size):
                return arrays
    return None


def checked_prompt(model: Any, max_new_tokens: int, **named: Any) -> Array:
    """One prompt, (T,)."""
    (name, prompt), = check.named(named).items()
    if isinstance(prompt, (Sequence, np.ndarray)) and len(prompt) == 0:
        check.fail(name, prompt, "at least one token id")
    prompt = check.ids(model.config.vocab_size, ndim=1, **named)
    room = model.config.context - len(prompt)
    if check.integer(1, max_new_tokens=max_new_tokens) > room:
        check.fail("max_new_tokens", max_new_tokens,
                   f"at most {room}: {name} has {len(prompt)} tokens, the model's context is {model.config.context}")
    return prompt


def checked_stop(model: Any, stop: Sequence[int], pad: int | None) -> tuple[Array, int]:
    """Stop tokens as a table, (V,), True at each, and the id for padding: for None the lowest that stops nothing."""
    size = model.config.vocab_size
    none = isinstance(stop, (Sequence, np.ndarray)) and len(stop) == 0      # to NumPy, an array of floats
    ids = check.ids(size, ndim=1, stop=np.zeros(0, np.int64) if none else stop)
    stops = np.isin(np.arange(size), ids)
    if pad is None:
        return stops, int(np.argmin(stops))
    if stops[check.integer(0, size - 1, pad=pad)]:
        check.fail("pad", pad, "an id that is no stop token")
    return stops, int(pad)


def streams(rng: np.random.Generator | Sequence[np.random.Generator] | None, count: int) -> list[np.random.Generator]:
    """One stream of random numbers a prompt: spawned by place from one generator, or those given."""
    if isinstance(rng, np.random.Generator):
        if not isinstance(rng.bit_generator.seed_seq, ISpawnableSeedSequence):
            check.fail("rng", rng, "a generator with a SeedSequence, such as numpy.random.default_rng(0)", TypeError)
        return rng.spawn(count)
    if not isinstance(rng, (list, tuple)):
        check.fail("rng", rng, "a numpy.random.Generator, such as numpy.random.default_rng(0), or one a prompt",
                   TypeError)
    if len(rng) != count:
        check.fail("the number of generators in rng", len(rng), f"{count}, one a prompt")
    for i, one in enumerate(rng):
        check.generator(one=one, called=f"rng[{i}]")
    if len({id(one.bit_generator) for one in rng}) != count:
        check.fail("rng", rng, "a different generator for each prompt; rng.spawn(n) makes n of them")
    return list(rng)
