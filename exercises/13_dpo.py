"""DPO: a policy learns from pairs of answers without a reward model.

    m = beta [ (chosen - ref_chosen) - (rejected - ref_rejected) ]
    loss = - mean of log( 1 / (1 + exp(-m)) ) over pairs

Rafailov et al. 2023, arXiv:2305.18290; the rankings of document 002, RLHF step 2; example 38.
Is it right?  rlscratch check exercises/13_dpo.py
"""
import numpy as np


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    """The loss, a number.

    chosen        (N,)    log-probability of each whole answer that won, under the policy
    rejected      (N,)    of those that lost
    ref_chosen    (N,)    the same under the reference
    ref_rejected  (N,)
    beta          number  > 0, how strongly the policy is held to the reference

    Where the policy is the reference the loss is log 2 = .693.  Log-probabilities may differ by
    thousands.
    """
    raise NotImplementedError
