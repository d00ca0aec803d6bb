"""What a function of each kind is given: small batches on which no two conventions agree."""
from typing import Any

import numpy as np

GROUP, LENGTH = 3, 8                    # answers to a prompt; the constant of Dr. GRPO, longer than any row
BETA, EPS = 0.1, (0.2, 0.2)             # given to a function that asks for them and has no default


def policy_batch() -> dict[str, Any]:
    """Six answers to two prompts, of up to five tokens."""
    lengths = np.array([5, 3, 4, 2, 5, 1])
    mask = (np.arange(5) < lengths[:, None]).astype(float)
    rng = np.random.default_rng(16)
    old = -rng.integers(16, 32, size=mask.shape) / 8
    # Ratios between all bounds that are in use: 1.15, 1.25, 1.31, .74, 5.8, .86, 3.7, ...; and sequences' too.
    logp = old + np.array([
        [.14, .22, .27, -.3, 1.75], [-.15, -.3, 1.3, 0, 0], [.22, -.15, .14, .7, 0], [-.27, -.3, 0, 0, 0],
        [1.2, -.12, .3, -1.8, .05], [.22, 0, 0, 0, 0]])
    ref = logp + rng.integers(-6, 7, size=mask.shape) / 8
    advantage, rewards = np.array([1.0, -2, .75, -.5, -1, .25]), np.array([1.0, 0, .25, .5, -1, 2])
    return {"logp": logp * mask, "logp_old": old * mask, "logp_ref": np.minimum(ref, -1 / 32) * mask, "mask": mask,
            "advantage": advantage, "rewards": rewards, "group": GROUP, "length": LENGTH, "beta": BETA, "eps": EPS[0],
            "eps_low": EPS[0], "eps_high": EPS[1],
            "weight": mask * rng.integers(1, 9, size=mask.shape) / 32, "ratio": np.exp((logp - old) * mask)}


def advantage_batch() -> dict[str, Any]:
    """Four groups of three answers (the mean of three .1 is not .1 in floats); no reward twice in a group."""
    return {"rewards": np.array([[1.0, 0, .25], [.5, 3, -1], [10, 5, -10], [.125, 2, .75]]), "group": 3}


def pairs_batch() -> dict[str, Any]:
    """Five pairs of answers."""
    rng = np.random.default_rng(61)
    chosen, rejected, ref_chosen, ref_rejected = -rng.integers(4, 60, size=(4, 5)) / 8
    return {"chosen": chosen, "rejected": rejected, "ref_chosen": ref_chosen, "ref_rejected": ref_rejected,
            "beta": BETA}


def counts_batch() -> dict[str, Any]:
    """Seven pools of answers: none right, all right, fewer wrong than k, one try, all tries."""
    answers, right, k = np.array([(5, 0, 3), (4, 4, 2), (6, 4, 3), (10, 3, 1), (10, 3, 5), (8, 2, 8), (8, 1, 4)]).T
    return {"answers": answers, "right": right, "k": k}


def kl_batch() -> dict[str, Any]:
    """Eight tokens."""
    batch = policy_batch()
    return {"logp": batch["logp"][::2, :2].ravel(), "logp_ref": batch["logp_ref"][::2, :2].ravel()}


def value_batch() -> dict[str, Any]:
    """The rows of the policy's batch; values within each reach of the old ones, on both sides of the returns."""
    policy, rng = policy_batch(), np.random.default_rng(23)
    mask = policy["mask"]
    old = rng.integers(-8, 9, size=mask.shape) / 8
    moved = rng.integers(-12, 13, size=mask.shape) / 16 + 1 / 64        # on no edge of a reach, and no tie of squares
    return {"values": (old + moved) * mask, "values_old": old * mask,
            "returns": rng.integers(-16, 17, size=mask.shape) / 16 * mask,
            **{name: policy[name] for name in ("mask", "weight", "group", "length", "eps")}}


def gae_batch() -> dict[str, Any]:
    """Three answers of five tokens at most; between two turns of the first stands a token that nobody chose."""
    mask = np.array([[1.0, 1, 0, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
    rng = np.random.default_rng(9)
    return {"rewards": rng.integers(-8, 9, size=mask.shape) / 8 * mask, "mask": mask, "gamma": .9, "lam": .8,
            "values": rng.integers(-8, 9, size=mask.shape) / 8 * mask}
