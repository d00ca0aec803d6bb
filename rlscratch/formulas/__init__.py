"""The formulas: NumPy arrays in, arrays out; each module is its derivation, then the code.

In reading order:

    distribution      a row of logits as probabilities; entropy; filters; expected reward
    best_of_n         the best of n draws: its worth, its distance, its estimates; pass@k
    cross_entropy     next-token prediction and supervised fine-tuning
    weights           how per-token terms become one number
    returns           rewards summed over time; discounting; advantages
    td                Bellman targets, Q-learning, epsilon-greedy
    exploration       which of several arms to try next; regret
    waiting           how long chance takes to a word
    policy_gradient   the log-derivative trick, REINFORCE, baselines
    kl                the distance to a reference policy, its estimators and their gradients
    ppo               the clipped ratio
    trust_region      TRPO's step: the natural gradient
    grpo              advantages relative to a group, and its variants
    group             other advantages of a group, and what each ascends on average
    surrogates        dual clip, GSPO-token, GMPO, SAPO; entropy of answers
    off_policy        the sampler is not the trainer: importance weights, masks, the KL with a ratio
    continuous        actions that are numbers: Gaussian policies
    preference        reward models from comparisons; DPO and IPO
    pairs             smoothed DPO, SimPO, ORPO, f-DPO, KTO, margins
    annotators        labellers who differ: agreement, reliability, and the truth behind them
    distillation      a student and a teacher
    standard_error    how sure a mean over answers is

x_loss and x_grad take the same arguments; x_grad is the derivative of x_loss in the first one.
Training feeds x_grad to the network: rlscratch has no other definition of its objectives.
"""
from rlscratch.formulas import (
    annotators,
    best_of_n,
    continuous,
    cross_entropy,
    distillation,
    distribution,
    exploration,
    group,
    grpo,
    kl,
    off_policy,
    pairs,
    policy_gradient,
    ppo,
    preference,
    returns,
    standard_error,
    surrogates,
    td,
    trust_region,
    waiting,
    weights,
)

__all__ = [
    "annotators", "best_of_n", "continuous", "cross_entropy", "distillation", "distribution", "exploration", "group",
    "grpo", "kl", "off_policy", "pairs", "policy_gradient", "ppo", "preference", "returns", "standard_error",
    "surrogates", "td", "trust_region", "waiting", "weights",
]
