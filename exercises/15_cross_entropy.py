"""Cross-entropy: how surprised a model is by the next token of a text.

    loss = - mean over chosen tokens of log softmax(z_t)[target_t]

Document 002, pre-training; example 33.
Is it right?  rlscratch check exercises/15_cross_entropy.py
"""
import numpy as np


def cross_entropy(logits, targets, mask):
    """The loss, a number, in nats.

    logits   (T, V)  z: a row for each token
    targets  (T,)    int: the token that came
    mask     (T,)    1 for tokens that count, 0 for the others; at least one counts

    Two equal logits cost log 2 = .693.  Logits of some thousands are allowed.
    """
    raise NotImplementedError
