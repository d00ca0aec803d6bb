"""The loss of a reward model: people liked one answer more, and its score should say so.

    P(chosen wins) = 1 / (1 + exp(-(chosen - rejected)))
    loss = - mean of log P over pairs

Document 002, RLHF step 2; document 004, 2.4.2; examples 13 and 38.
Is it right?  rlscratch check exercises/12_bradley_terry.py
"""
import numpy as np


def bradley_terry_loss(chosen, rejected):
    """The loss, a number.

    chosen    (N,)  scores of the answers that won
    rejected  (N,)  scores of those that lost

    Scores that are equal cost log 2 = .693.  Scores may differ by thousands.
    """
    raise NotImplementedError
