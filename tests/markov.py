"""A language model small enough to enumerate: the next token depends on the last one alone.

It has the interface that rlscratch.generate asks of a model, and counts the rows that it was given.
"""
from itertools import product
from types import SimpleNamespace

import numpy as np

from rlscratch.formulas.distribution import log_softmax
from rlscratch.transformer import Cache


class Markov:
    """logits (V, V): row i is the next token's, after token i."""

    def __init__(self, logits, context=64):
        self.logits = np.array(logits, dtype=float)
        self.config = SimpleNamespace(vocab_size=len(self.logits), context=context)
        self.started, self.stepped = 0, 0

    def start(self, prompts, lengths=None, room=None):
        lengths = np.full(len(prompts), prompts.shape[1]) if lengths is None else np.array(lengths)
        assert room is None or prompts.shape[1] <= room <= self.config.context
        self.started += len(prompts)
        return self.logits[prompts[np.arange(len(prompts)), lengths - 1]], Cache([], [], lengths)

    def step(self, cache, tokens):
        assert len(cache.lengths) == len(tokens)
        cache.lengths += 1
        self.stepped += len(tokens)
        return self.logits[tokens]

    def logp_of(self, prompt, answer):
        """Log-probability of each token of an answer, by hand."""
        return [log_softmax(self.logits[a])[b].item() for a, b in zip([prompt[-1], *answer], answer, strict=False)]

    def answers(self, length, stop):
        """All answers: of this length, or shorter with a stop token at the end and nowhere else."""
        for n in range(1, length + 1):
            for answer in product(range(self.config.vocab_size), repeat=n):
                if not set(answer[:-1]) & set(stop) and (n == length or answer[-1] in stop):
                    yield list(answer)


def cycle(size, logit=40.0):
    """Token i is followed by i + 1 (mod size), whose logit is this; all others have 0."""
    return Markov(logit * np.roll(np.eye(size), 1, axis=1))
