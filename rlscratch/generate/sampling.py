"""Sampling answers from a language model.

    read the prompts, keep what attention needs of them (the cache)
    until every answer has ended:
        distribution of the next token  ->  temperature, filters, penalty  ->  one token a row
        a row whose token was a stop token, or its last, leaves the batch; the others take one step

Same seed, same tokens.  Answer i reads uniforms from a stream of its own and rows of the model do not
depend on their neighbours, so with the compiled core an answer is the same, bit for bit, alone or in
any batch, next to rows that end early or late.  On NumPy, whose matrix products round otherwise in
other batches, logits agree to rounding, and tokens do unless a uniform lies that close to a boundary.

Where no penalty asks for the text so far, a Transformer whose step is its own runs this loop in one call
(Transformer.answer), else it stands below.

A stream gives max_new_tokens uniforms whether or not they are used, so what it gives next does not
depend on how long the answer became.

`logp` is the log-probability under the distribution that was drawn from, the temperature and all
filters included; at temperature 0 it is 0.  Training samples with a temperature alone, and there it
is Transformer.logp at that temperature.

Any model will do that has config.vocab_size, config.context, start and step as rlscratch.transformer
has them.

Source: document 003, "How This Works in Code", whose loop forms the logits of the whole text anew for
        each token; here the cache spares that.
Leaves out: speculative decoding, rows that join a running batch.
"""
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.generate import filters
from rlscratch.generate.rollout import Rollout, assemble, checked_prompts, checked_stop, streams
from rlscratch.transformer import Transformer

STEP = Transformer.step         # that Transformer.answer stands for; one put in its place has to be called


def generate(model: Any, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, temperature: float = 1.0,
             top_k: int | None = None, top_p: float | None = None, min_p: float | None = None,
             repetition_penalty: float = 1.0, stop: Sequence[int] = (),
             rng: np.random.Generator | Sequence[np.random.Generator] | None = None, order: str = "document",
             pad: int | None = None) -> Rollout:
    """One answer to each prompt.

    model           a Transformer
    prompts         B lists of token ids, of any lengths
    max_new_tokens  >= 1    of an answer; the longest prompt and as many must fit into the context
    temperature, top_k, top_p, min_p, repetition_penalty, order
                    as in filters.checked; the penalty counts what is in the prompt, too
    stop            token ids that end an answer and belong to it
    rng             one Generator, from which each prompt's stream is spawned by its place, or one a
                    prompt; temperature 0 needs none
    pad             id to fill up rows with, no stop token; None: the lowest possible

    Raises ValueError or TypeError, before anything is drawn, for what does not fit.
    """
    prompts = checked_prompts(model, prompts, max_new_tokens)
    knobs = filters.checked(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
                            repetition_penalty=repetition_penalty, order=order)
    stops, pad = checked_stop(model, stop, pad)
    B, N = len(prompts), max_new_tokens
    if temperature == 0 and rng is None:
        uniforms = np.zeros((B, N))
    else:
        uniforms = np.stack([stream.random(N) for stream in streams(rng, B)])

    logits, cache = _start(model, prompts, N)
    at_once = type(model) is Transformer and getattr(model.step, "__func__", None) is STEP
    if at_once and repetition_penalty == 1:                 # nothing is asked of the text so far
        answers, logp, counts = model.answer(cache, logits, uniforms, stops, **filters.for_kernel(**knobs))
        return assemble(prompts, answers, logp, counts, stops[answers[np.arange(B), counts - 1]], pad)
    # A row's prompt, filled up with its own first token so that no other id counts as seen; then its answer.
    T = max(map(len, prompts))
    text = np.empty((B, T + N), np.int64)
    for row, prompt in zip(text, prompts, strict=True):
        row[:len(prompt)], row[len(prompt):] = prompt, prompt[0]
    logp, counts, finished = np.zeros((B, N), logits.dtype), np.full(B, N), np.zeros(B, bool)
    rows = np.arange(B)                                     # whose answers the rows of the cache are
    for n in range(N):
        previous = text[rows, :T + n] if repetition_penalty != 1 else text      # read by the penalty alone
        ids, logp[rows, n] = filters.sample(logits, uniforms[rows, n], previous, **knobs)
        text[rows, T + n] = ids
        ended = stops[ids]
        if ended.any():
            counts[rows[ended]], finished[rows[ended]] = n + 1, True
            cache, rows, ids = _leave(cache, rows, ids, ended)
        if n + 1 == N or not len(rows):
            break
        logits = model.step(cache, ids)
    return assemble(prompts, text[:, T:], logp, counts, finished, pad)


def stream(model: Any, prompt: Sequence[int], *, max_new_tokens: int, stop: Sequence[int] = (),
           rng: np.random.Generator | Sequence[np.random.Generator] | None = None, **knobs: Any) -> Iterator[int]:
    """The ids of one answer, each as soon as it is drawn: those that generate(model, [prompt], ...) gives.

    knobs  as in filters.checked; the other arguments, and what is raised, as in generate
    """
    prompts = checked_prompts(model, [prompt], max_new_tokens)
    knobs, (stops, _) = filters.checked(**knobs), checked_stop(model, stop, None)
    greedy = knobs["temperature"] == 0 and rng is None
    uniforms = np.zeros(max_new_tokens) if greedy else streams(rng, 1)[0].random(max_new_tokens)

    def one_by_one() -> Iterator[int]:
        logits, cache = _start(model, prompts, max_new_tokens)
        text = prompts[0][None]
        for n, u in enumerate(uniforms, 1):
            ids, _ = filters.sample(logits, u[None], text, **knobs)
            yield int(ids[0])
            if n == max_new_tokens or stops[ids[0]]:
                return
            text = np.concatenate([text, ids[None]], axis=1)
            logits = model.step(cache, ids)

    return one_by_one()


class Within:
    """A model that says no id but these: one whose vocabulary is padded beyond its tokenizer's, say.

    model  a Transformer
    ids    what may be said; every other id has probability 0, and these share what it had
    """

    def __init__(self, model: Any, ids: Iterable[int]) -> None:
        size = model.config.vocab_size
        self.model, self.config = model, model.config
        self.inside = np.isin(np.arange(size), check.ids(size, ndim=1, ids=list(ids)))

    def start(self, *args: Any, **kwargs: Any) -> tuple[Array, Any]:
        """As Transformer.start."""
        logits, cache = self.model.start(*args, **kwargs)
        return self._inside(logits), cache

    def step(self, cache: Any, tokens: Any) -> Array:
        """As Transformer.step."""
        return self._inside(self.model.step(cache, tokens))

    def _inside(self, logits: Array) -> Array:
        return np.where(self.inside, logits, logits.dtype.type(-np.inf))


def _start(model: Any, prompts: list[Array], max_new_tokens: int) -> tuple[Array, Any]:
    """Logits after each prompt, (B, V), and the cache.  A prompt that comes several times is read once."""
    places = {prompt.tobytes(): i for i, prompt in enumerate(prompts)}
    different = [prompts[i] for i in places.values()]
    lengths = np.array([len(prompt) for prompt in different])
    padded = np.zeros((len(different), lengths.max()), np.int64)
    for row, prompt in zip(padded, different, strict=True):
        row[:len(prompt)] = prompt
    logits, cache = model.start(padded, lengths, room=int(lengths.max()) + max_new_tokens)
    if len(different) == len(prompts):
        return logits, cache
    number = dict(zip(places, range(len(places)), strict=True))
    index = np.array([number[prompt.tobytes()] for prompt in prompts])
    return logits[index], cache.rows(index)


def _leave(cache: Any, rows: Array, ids: Array, ended: Array) -> tuple[Any, Array, Array]:
    """The batch without the rows that ended; the last rows move to their places, the others stay where they are."""
    kept = np.flatnonzero(~ended)
    count = len(kept)
    holes, movers = np.flatnonzero(ended[:count]), kept[kept >= count]
    for array in (*cache.keys, *cache.values, cache.lengths, rows, ids):
        array[holes] = array[movers]
    return cache.rows(slice(count)), rows[:count], ids[:count]


# ---------------------------------------------------------------- best of n
