"""What a policy loss descends on average, exactly: every group of answers in a world of nine.

V = 3 words, answers of two words, a row of logits for each of the four prefixes.  One step adds u = - sum dL/dlogp grad
logp; its mean over all groups is found by rlscratch.expectations, and written as a sum of the gradients that it may be:

    a grad J  -  b grad KL(pi || q)  -  c grad KL(q || pi)                                 of whole answers
              -  d sum_h P(h) grad KL(pi(.|h) || q(.|h))  -  e ... KL(q(.|h) || pi(.|h))   prefixes held

by least squares; what is left over has no name here.  A KL that each token pays in the loss is of the second kind
(expectations.sequences (7)).  An advantage is the reward less the mean of the others' unless the function makes its
own, so a sound loss without a KL has a > 0 and nothing else.
"""
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.conformance.candidates import Candidate
from rlscratch.conformance.contracts import CONTRACTS, policy_batch
from rlscratch.expectations import sequences
from rlscratch.formulas.distribution import log_softmax, softmax
from rlscratch.formulas.kl import kl_objective_grad
from rlscratch.formulas.policy_gradient import leave_one_out_advantage

NAMES = ("grad J", "grad KL(pi || ref)", "grad KL(ref || pi)", "grad KL(pi || ref) by prefix",
         "grad KL(ref || pi) by prefix")


class World(NamedTuple):
    """Answers, the policy's logits, rewards, the reference's logits, and the sampler's (None: the policy)."""

    answers: sequences.Answers
    logits: Array
    rewards: Array
    logits_ref: Array
    logits_old: Array | None = None


def world(seed: int = 0, off_policy: bool = False) -> World:
    """Nine answers; logits and rewards on a grid."""
    rng = np.random.default_rng(check.integer(0, seed=seed))
    pi, ref, old = rng.integers(-8, 9, size=(3, 4, 3)) / 8
    return World(sequences.all_answers(3, 2), pi, rng.integers(-4, 5, size=9) / 4, ref, old if off_policy else None)


class Descent(NamedTuple):
    """The mean of a step and its variance, (P, V); what it is a sum of; what is left over, as a part of its length."""

    mean: Array
    variance: Array
    parts: dict[str, float]
    left: float
    cosine: float

    def __str__(self) -> str:
        figures = f"cosine with grad J {self.cosine:.6f}, variance {self.variance.sum():.4g}"
        if self.left > 1e-6:
            return f"ascends no sum of these gradients: {self.left:.2g} of it is left over; {figures}"
        scale = self.parts["grad J"] or 1.0
        terms = [f"{'-' if name != 'grad J' and x > 0 else '+'} {abs(x):.4g} {name}" if name != "grad J" else name
                 for name, x in ((name, x / scale) for name, x in self.parts.items()) if abs(x) > 1e-7]
        return f"ascends {scale:.4g} ({' '.join(terms)}); {figures}"


def oracle(loss: Callable[..., Any], mdp: World | None = None, size: int = 2, **how: Any) -> Descent:
    """What a policy loss ascends when it is descended.

    loss  as in examine, with the arguments of a policy loss
    mdp   a World; None: world()
    size  answers in a group
    how   framework, names, fixed, grad as in examine

    >>> from rlscratch.formulas.grpo import grpo_loss, grpo_grad
    >>> print(oracle(grpo_loss, grad=grpo_grad))
    ascends 0.5 (grad J); cosine with grad J 1.000000, variance 0.04411
    """
    mdp = world() if mdp is None else mdp
    candidate = Candidate(loss, CONTRACTS["policy"], **how)
    answers, logits = mdp.answers, mdp.logits

    def loss_grad(groups: sequences.Groups) -> Array:
        return np.array([candidate(_batch(groups, i))[1] for i in range(len(groups.reward))])

    mean, variance = sequences.expectation_and_variance(
        logits, answers, mdp.rewards, size, loss_grad, logits_ref=mdp.logits_ref, logits_old=mdp.logits_old)
    exact = sequences.objective_grad(logits, answers, mdp.rewards)
    columns = [exact, *_penalties(mdp)]
    matrix = np.stack([column.ravel() for column in columns], axis=1)
    parts, *_ = np.linalg.lstsq(matrix, mean.ravel(), rcond=1e-10)
    left = np.linalg.norm(mean.ravel() - matrix @ parts) / max(np.linalg.norm(mean), 1e-12)
    cosine = (mean * exact).sum() / max(np.linalg.norm(mean) * np.linalg.norm(exact), 1e-12)
    return Descent(mean, variance, dict(zip(NAMES, [parts[0], *-parts[1:]], strict=True)), float(left), float(cosine))


def _batch(groups: sequences.Groups, i: int) -> dict[str, Any]:
    reward, mask = groups.reward[i], groups.mask[i]
    return policy_batch() | {
        "logp": groups.logp[i], "logp_old": groups.logp_old[i], "logp_ref": groups.logp_ref[i], "mask": mask,
        "rewards": reward, "advantage": leave_one_out_advantage(reward), "weight": mask / len(mask) / mask.shape[1],
        "group": len(reward), "length": mask.shape[1],
        "ratio": np.exp(groups.logp[i] - groups.logp_old[i])}


def _penalties(mdp: World) -> list[Array]:
    """Gradients of the four KLs, to be descended, in the order of NAMES."""
    answers, logits, ref = mdp.answers, mdp.logits, mdp.logits_ref
    zero = np.zeros(len(mdp.rewards))
    forward = -sequences.objective_grad(logits, answers, zero, ref, 1.0)
    own, other = (np.exp(sequences.logp(z, answers).sum(axis=1)) for z in (logits, ref))
    reverse = -sequences.objective_grad(logits, answers, other / own)            # - E_q[S]
    sampler = logits if mdp.logits_old is None else mdp.logits_old
    reach = np.ones(len(logits))
    reach[1:] = softmax(sampler[0])
    row = np.zeros(logits.shape[1])
    by_prefix = np.array([-kl_objective_grad(z, softmax(q), row, 1.0) for z, q in zip(logits, ref, strict=True)])
    against = np.exp(log_softmax(logits)) - softmax(ref)
    return [forward, reverse, reach[:, None] * by_prefix, reach[:, None] * against]
