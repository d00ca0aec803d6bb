"""PPO's clipped loss: a policy gains from a change only until the ratio leaves a range.

    rho = exp(logp - logp_old)
    loss = - mean over tokens of min( rho A, clip(rho, 1 - eps, 1 + eps) A )

Document 002, "PPO: Step-by-Step Explanation"; examples 11 and 23.
Is it right?  rlscratch check exercises/07_ppo_clip.py
"""
import numpy as np


def ppo_clip_loss(logp, logp_old, advantage, mask, eps):
    """The loss, a number; lower is better.

    logp       (B, T)  log-probability of each token of each answer, natural log
    logp_old   (B, T)  the same under the policy that drew them
    advantage  (B, T)  A: better than expected by how much
    mask       (B, T)  1 for tokens that the policy chose, 0 for padding
    eps        number  the range of the ratio is 1 - eps to 1 + eps

    One token whose probability rose from .33 to .40, A = 2 and eps = .2: -2.4, for the ratio 1.21
    is cut to 1.2.
    """
    raise NotImplementedError
