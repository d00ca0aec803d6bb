"""What estimators give on average: exactly, by enumerating all that a batch can be.

In reading order:

    estimators    finite MDPs: REINFORCE, reward-to-go, baselines, GAE; their bias and their variance
    bandits       two arms: what not knowing them costs, the regret of a rule
    sequences     answers of a few tokens, in groups: what REINFORCE, RLOO, GRPO and PPO ascend

Both have an expectation_and_variance, so the names keep their module before them:
expectations.estimators.expectation_and_variance.
"""
from rlscratch.expectations import bandits, estimators, sequences

__all__ = ["bandits", "estimators", "sequences"]
