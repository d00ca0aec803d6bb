"""KL divergence: what it costs to take q for p.

    KL(p || q) = sum_a p_a log(p_a / q_a),    0 log 0 = 0

Document 003, "Step 6: The Safety Brake"; example 09.
Is it right?  rlscratch check exercises/18_kl.py
"""
import numpy as np


def kl(p, q):
    """KL(p || q), a number, in nats; inf where p has what q cannot have.

    p, q  (A,)  probabilities

    [1, 0] against [1/2, 1/2]: log 2 = .693.
    """
    raise NotImplementedError
