"""The GRPO family as presets: what each paper changes, a row each.

    preset     advantage               weight of a token        ratio and clip range        KL from the reference
    document   z-score                 1/(B n_i)                none                        none
    grpo       z-score                 1/(B n_i)                token, .8 to 1.2            k3 in the loss, .04
    dr_grpo    r - mean                1/(B L), L the longest   token, .8 to 1.2            none
    dapo       z-score                 1/N                      token, .8 to 1.28           none
    gspo       z-score                 1/(B n_i)                sequence, .9997 to 1.0004   none
    cispo      z-score                 1/N                      token, 0 to 5, all count    none
    rloo       r - mean of the others  1/B                      none                        k1 in the reward, .05

n_i tokens of answer i, B answers of a minibatch, N tokens of all of them; L is the longest answer that there may be.

A preset holds functions of formulas and no equation of its own: its `grad` is what training calls.  A formula takes
what it needs by name, since logp_old, advantage, weight, eps_low, ... mean the same in all of them.  A loss that has
no penalty can have its KL in the reward: beta times by how much the k1 of an answer exceeds that of the others in its
group is taken from its advantage.  For rloo, whose advantage is linear, this is RLOO on r - beta k1.

Flat groups, in which all answers earn the same, have advantage 0 and teach nothing but by their KL.  They stay in
the batch and in B and N, so that the step shrinks as fewer groups have something to say; only dapo draws
other prompts in their place, up to REDRAWS times (the paper: until the batch is full).

Source: document 002, GRPO steps 1-4; for the others as in formulas.grpo.  The coefficient of rloo's KL is ours, its
        paper sweeps it; so is cispo's 5, whose paper prints no number.
Leaves out: DAPO's penalty on length.
"""
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import policy_gradient, ppo, weights
from rlscratch.formulas.grpo import (
    cispo_grad,
    cispo_loss,
    group_advantage,
    grpo_clip_grad,
    grpo_clip_loss,
    grpo_grad,
    grpo_loss,
    gspo_clipped_tokens,
    gspo_grad,
    gspo_loss,
)

REDRAWS = 3


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    name
    advantage   rewards (P, G) -> advantages (P, G)
    weight      mask (B, T), and the longest answer's tokens as `length` if it asks for them -> (B, T)
    loss, grad  a pair of formulas
    clipped     which tokens the clip takes out of `grad`; None: the loss drops none
    eps_low, eps_high  clip range of the ratio; None for a loss without one
    beta        weight of the KL from the reference, in units of advantage per nat; rloo's advantage is a reward
    redraw      whether flat groups are replaced

    Raises TypeError for what is no function, and ValueError for numbers out of range or that the loss does not have.
    """

    name: str
    advantage: Callable[..., Array]
    weight: Callable[..., Array]
    loss: Callable[..., float]
    grad: Callable[..., Array]
    clipped: Callable[..., Array] | None = None
    eps_low: float | None = None
    eps_high: float | None = None
    beta: float = 0.0
    redraw: bool = False

    def __post_init__(self) -> None:
        for name in ("advantage", "weight", "loss", "grad", *(["clipped"] if self.clipped else [])):
            if not callable(getattr(self, name)):
                check.fail(name, getattr(self, name), "a function", TypeError)
        if _names(self.grad) != _names(self.loss):
            check.fail("grad", _names(self.grad), f"a function with the arguments of loss, {_names(self.loss)}")
        for name, value in {"eps_low": self.eps_low, "eps_high": self.eps_high}.items():
            if (value is not None) != (name in _names(self.grad)):
                check.fail(name, value, f"a number if the loss has a clip range, else None; {self.name} has "
                                        f"{'one' if value is None else 'none'}")
        if self.eps_low is not None:
            check.between(0, 1, eps_low=self.eps_low)
            check.non_negative(eps_high=self.eps_high)
        check.non_negative(beta=self.beta)
        check.one_of((False, True), redraw=self.redraw)

    @property
    def kl_in_loss(self) -> bool:
        """Whether beta weighs a penalty in the loss; otherwise it counts in the reward."""
        return "beta" in _names(self.grad)

    def advantages(self, rewards: Array, divergence: Array) -> Array:
        """A_i of each answer, (P G, 1).

        rewards     (P, G)
        divergence  (P G,)  its k1, log pi_old - log pi_ref summed over its tokens, nats
        """
        advantage = self.advantage(rewards)
        if self.beta and not self.kl_in_loss:
            # Beside the advantage and not inside it: a z-score would blow up the rounding of a flat group's KL.
            advantage = advantage - self.beta * policy_gradient.leave_one_out_advantage(
                divergence.reshape(rewards.shape))
        return advantage.reshape(-1, 1)

    def weights(self, mask: Array, longest: int) -> Array:
        """How much each token counts, (B, T).

        mask     (B, T)  of a whole minibatch
        longest  tokens of the longest answer that there may be
        """
        return by_name(self.weight, mask=mask, length=longest)

    def seed(self, logp: Array, logp_old: Array, logp_ref: Array, advantage: Array, weight: Array) -> Array:
        """dL/dlogp, in the shape and dtype of logp: what enters `backward`.  All (B, T), advantage (B, 1)."""
        return self._of(self.grad, logp, logp_old, logp_ref=logp_ref, advantage=advantage, weight=weight)

    def clipped_tokens(self, logp: Array, logp_old: Array, advantage: Array, weight: Array) -> Array:
        """(B, T), True at the tokens that the clip has taken out of the gradient, whatever their KL says."""
        if self.clipped is None:
            return np.zeros(logp.shape, bool)
        return self._of(self.clipped, logp, logp_old, advantage=advantage, weight=weight)

    def _of(self, formula: Callable[..., Array], logp: Array, logp_old: Array, **arrays: Array) -> Array:
        if "ratio" in _names(formula):
            arrays["ratio"] = ppo.ratio(logp, logp_old)         # CISPO's, data: nothing is differentiated through it
        return by_name(formula, logp=logp, logp_old=logp_old, **arrays, eps_low=self.eps_low, eps_high=self.eps_high,
                        beta=self.beta)


@cache
def _names(formula: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(formula).parameters)


def by_name(formula: Callable[..., Any], **data: Any) -> Any:
    """The formula of those of the data that it has arguments for."""
    names = _names(formula)
    return formula(**{name: value for name, value in data.items() if name in names})


DOCUMENT = grpo_loss, grpo_grad
CLIP = grpo_clip_loss, grpo_clip_grad, ppo.clipped_tokens
SEQUENCE = gspo_loss, gspo_grad, gspo_clipped_tokens
TRUNCATE = cispo_loss, cispo_grad
CENTRED = partial(group_advantage, center_only=True)
OTHERS = policy_gradient.leave_one_out_advantage

VARIANTS = {variant.name: variant for variant in (
    Variant("document", group_advantage, weights.sequence_mean, *DOCUMENT),
    Variant("grpo", group_advantage, weights.sequence_mean, *CLIP, eps_low=0.2, eps_high=0.2, beta=0.04),
    Variant("dr_grpo", CENTRED, weights.constant_length, *CLIP, eps_low=0.2, eps_high=0.2),
    Variant("dapo", group_advantage, weights.token_mean, *CLIP, eps_low=0.2, eps_high=0.28, redraw=True),
    Variant("gspo", group_advantage, weights.sequence_mean, *SEQUENCE, eps_low=3e-4, eps_high=4e-4),
    Variant("cispo", group_advantage, weights.token_mean, *TRUNCATE, eps_low=1.0, eps_high=4.0),
    Variant("rloo", OTHERS, weights.sequence_sum, *DOCUMENT, beta=0.05),
)}


def variant(name: str, **numbers: float | None) -> Variant:
    """The preset of that name, with other numbers where they are not None.

    numbers  beta >= 0; eps_low in [0, 1] and eps_high >= 0 for those with a clip range

    Raises ValueError for an unknown name, with those that there are, and as Variant does.

    >>> variant("dapo").eps_high, variant("dapo", eps_high=0.2).eps_high
    (0.28, 0.2)
    """
    check.one_of(tuple(VARIANTS), variant=name)
    return replace(VARIANTS[name], **{key: value for key, value in numbers.items() if value is not None})


def agree(**settings: Any) -> None:
    """Raise ValueError for settings of a method of which its preset has no use."""
    variant(settings["variant"], **{name: settings[name] for name in ("beta", "eps_low", "eps_high")})


def flat_groups(rewards: Array) -> Array:
    """(P,), True where all answers to a prompt earned the same; rewards (P, G)."""
    return rewards.max(axis=1) == rewards.min(axis=1)

