"""k3: an estimate of KL(policy || reference) from the tokens that the policy drew.

    d = logp - logp_ref
    k3 = exp(-d) - 1 + d

Document 003, "Step 6: The Safety Brake"; Schulman 2020, "Approximating KL divergence"; examples 09
and 24.
Is it right?  rlscratch check exercises/10_k3.py
"""
import numpy as np


def k3(logp, logp_ref):
    """An estimate for each token, in nats, in the shape of logp.

    logp      (T,)  log-probability of each token under the policy, natural log
    logp_ref  (T,)  the same under the reference

    A token that is half as probable under the reference: 1/2 - 1 + log 2 = .193.
    """
    raise NotImplementedError
