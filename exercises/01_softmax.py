"""Softmax with temperature: a row of logits becomes a row of probabilities.

    p_j = exp(z_j / T) / sum_k exp(z_k / T)

Document 003, part 2; examples 01 and 02.
Is it right?  rlscratch check exercises/01_softmax.py
"""
import numpy as np


def softmax(logits, temperature):
    """Probabilities, (V,).

    logits       (V,)  -inf marks a token that cannot be
    temperature  > 0   below 1 sharpens the row, above 1 flattens it

    Logits of some thousands are allowed.  The odds 1 : 3 at temperature 1 are 1 : 9 at 1/2.
    """
    raise NotImplementedError
