"""The leave-one-out baseline: an answer is compared with the other answers to its prompt.

    A_i = r_i - mean of r_j over j other than i

Document 003, "The Learning Loop"; document 004, 1.5.2; examples 10 and 20.
Is it right?  rlscratch check exercises/08_baseline.py
"""
import numpy as np


def leave_one_out_advantage(rewards):
    """A, (P, G).

    rewards  (P, G)  of G answers, at least 2, to each of P prompts

    Rewards 6, 0, 3: the first answer is compared with 1.5, the second with 4.5, the third with 3.
    """
    raise NotImplementedError
