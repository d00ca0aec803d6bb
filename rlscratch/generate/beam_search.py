"""Beam search: the likeliest answers, without trying them all.

An answer y of n tokens has the log-probability

    log p(y) = sum_t log p(y_t | prompt, y_<t)                                             (1)

There are V^n of them.  Beam search keeps K prefixes at a time: each grows by every token, and of the
K V candidates, all of the same length, the K with the largest (1) stay.  One that ends with a stop
token is an answer and keeps its place for good, so K shrinks by it; the search is over when K answers
have ended or when max_new_tokens are reached.  K = 1 is greedy decoding.

Each factor of (1) is at most 1: longer answers have smaller sums, and answers of different lengths
are ranked by

    score(y) = log p(y) / n^a                                                              (2)

with n counting the stop token.  a = 0 ranks by probability and prefers the short; a = 1 ranks by the
mean per token.

With K at least the number of answers nothing is ever dropped, and the search is exact.  With less it
may lose the best answer: a prefix that is unlikely now may have the likeliest continuation.

Document 003, part 3 gives beams the scores 8.2, 7.9, 7.1 and one word later 15.8, 15.2, 14.9.  Those
cannot be log-probabilities: e^8.2 is no probability, and (1) never grows.

Source: document 003, part 3; (2): Wu et al. 2016, arXiv:1609.08144, in the simpler form that
        transformers has.  There K prefixes stay alive beside the ended ones.
Leaves out: coverage, diverse beams, sampling of beams, the repetition penalty.
"""
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rlscratch import check, kernels
from rlscratch.check import Array
from rlscratch.generate.rollout import Rollout, assemble, checked_prompt, checked_stop


class Beams(NamedTuple):
    """The answers that the search ended with, best first."""

    rollout: Rollout    # a row an answer; logp is the model's own, at temperature 1
    scores: Array       # (K,) equation (2), in nats


def beam_search(model: Any, prompt: Sequence[int], *, beams: int, max_new_tokens: int, length_penalty: float = 1.0,
                stop: Sequence[int] = (), pad: int | None = None) -> Beams:
    """The `beams` best answers to one prompt that the search finds; fewer if there are fewer.

    model           a Transformer
    prompt          token ids
    beams           >= 1    K
    max_new_tokens  >= 1    of an answer
    length_penalty  a of (2), in [-10, 10]
    stop, pad       as in generate

    Raises ValueError or TypeError for what does not fit.
    """
    check.integer(1, beams=beams)
    prompt = checked_prompt(model, max_new_tokens, prompt=prompt)
    a = check.between(-10, 10, length_penalty=length_penalty)
    stops, pad = checked_stop(model, stop, pad)

    logits, cache = model.start(prompt[None], room=len(prompt) + max_new_tokens)
    answers, logp = np.empty((1, 0), np.int64), np.empty((1, 0))      # the prefixes, and each token's log p
    ended: list[tuple[Array, Array, bool]] = []
    for n in range(max_new_tokens):
        following = kernels.log_softmax(logits).astype(np.float64)
        parents, ids = _best(logp.sum(axis=1, keepdims=True) + following, beams - len(ended))
        answers = np.c_[answers[parents], ids]
        logp = np.c_[logp[parents], following[parents, ids]]
        over = stops[ids] | (n + 1 == max_new_tokens)
        ended += zip(answers[over], logp[over], stops[ids[over]], strict=True)
        if over.all():
            break
        answers, logp = answers[~over], logp[~over]
        cache = cache.rows(parents[~over])
        logits = model.step(cache, ids[~over])

    scores = np.array([chosen.sum() / len(chosen)**a for _, chosen, _ in ended])
    ranked = np.argsort(-scores, kind="stable")
    counts = np.array([len(ended[i][0]) for i in ranked])
    answers, logp = np.zeros((len(ranked), counts.max()), np.int64), np.zeros((len(ranked), counts.max()))
    for row, i in enumerate(ranked):
        answers[row, :counts[row]], logp[row, :counts[row]], _ = ended[i]
    finished = np.array([bool(ended[i][2]) for i in ranked])
    return Beams(assemble([prompt] * len(ranked), answers, logp, counts, finished, pad), scores[ranked])


def _best(candidates: Array, count: int) -> tuple[Array, Array]:
    """Rows and columns of the `count` largest entries, largest first, equal ones in order; -inf is none."""
    flat = candidates.ravel()
    few = np.arange(flat.size)
    if count < flat.size:
        few = np.flatnonzero(flat >= np.partition(flat, -count)[-count])
    few = few[flat[few] > -np.inf]
    few = few[np.argsort(-flat[few], kind="stable")][:count]
    return np.divmod(few, candidates.shape[1])
