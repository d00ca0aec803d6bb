"""Causal attention of one head: each token takes a mean of values, its own and earlier ones.

    s_ij = q_i . k_j / sqrt(D)             for j <= i; later tokens are not seen
    out_i = sum_j softmax_j(s_ij) v_j

Document 004, 2.1; example 29.
Is it right?  rlscratch check exercises/14_attention.py
"""
import numpy as np


def attention(q, k, v):
    """out, (T, D).

    q, k, v  (T, D)  queries, keys and values of T tokens

    With q = k = 0 a token weighs all that it sees alike: values 2, 4 give 2, 3.  Scores may be
    thousands.
    """
    raise NotImplementedError
