"""The GRPO family as presets: what each paper changes, a row each.

    preset     advantage               weight of a token        ratio and clip range        KL
    document   z-score                 1/(B n_i)                none                        none
    grpo       z-score                 1/(B n_i)                token, .8 to 1.2            k3 in the loss, .04
    dr_grpo    r - mean                1/(B L), L the longest   token, .8 to 1.2            none
    dapo       z-score                 1/N                      token, .8 to 1.28           none
    gspo       z-score                 1/(B n_i)                sequence, .9997 to 1.0004   none
    cispo      z-score                 1/N                      token, 0 to 5, all count    none
    rloo       r - mean of the others  1/B                      none                        k1 in the reward, .05

n_i tokens of answer i, B answers of a minibatch, N tokens of all of them; L is max_new_tokens.  The equations are in
formulas.grpo and formulas.weights.

Flat groups, in which all answers earn the same, have advantage 0 and teach nothing but by their KL.  They stay in
the batch and in B and N, so that the step shrinks as fewer groups have something to say; only dapo draws
other prompts in their place, up to REDRAWS times (the paper: until the batch is full).

Source: document 002, GRPO steps 1-4; for the others as in formulas.grpo.  The coefficient of rloo's KL is ours, its
        paper sweeps it; so is cispo's 5, whose paper prints no number.
Leaves out: DAPO's penalty on length.
"""
from collections.abc import Callable
from dataclasses import dataclass, replace

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import grpo, kl, policy_gradient, ppo, weights

REDRAWS = 3


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    name
    advantage  rewards (P, G) -> advantages (P, G)
    weight     mask (B, T), the most tokens of an answer -> (B, T)
    loss       "reinforce", "clip", "sequence" or "truncate": which formula
    eps_low, eps_high  clip range of the ratio; without effect on "reinforce"
    beta       weight of the KL from the reference, in units of advantage (loss) or reward (reward) a nat
    kl         where it counts: "loss" (k3) or "reward" (k1)
    redraw     whether flat groups are replaced
    """

    name: str
    advantage: Callable[[Array], Array]
    weight: Callable[[Array, int], Array]
    loss: str
    eps_low: float = 0.2
    eps_high: float = 0.2
    beta: float = 0.0
    kl: str = "loss"
    redraw: bool = False

    @property
    def penalty(self) -> float:
        """The weight of the KL in the loss: beta, or 0 where it counts in the reward."""
        return self.beta if self.kl == "loss" else 0.0

    def grad(self, logp: Array, logp_old: Array, logp_ref: Array, advantage: Array, weight: Array) -> Array:
        """dL/dlogp, in the dtype of logp; all (B, T) but advantage (B, 1)."""
        slope = self._surrogate(logp, logp_old, advantage, weight)
        if self.penalty:
            slope = slope + (self.penalty * weight * kl.kl_k3_grad(logp, logp_ref)).astype(logp.dtype)
        return slope

    def dropped(self, logp: Array, logp_old: Array, advantage: Array, weight: Array) -> Array:
        """(B, T), True at the tokens that the clip has taken out of the gradient, whatever their KL says."""
        return (self._surrogate(logp, logp_old, advantage, weight) == 0) & (weight > 0) & (advantage != 0)

    def _surrogate(self, logp: Array, logp_old: Array, advantage: Array, weight: Array) -> Array:
        if self.loss == "reinforce":
            return grpo.grpo_grad(logp, advantage, weight)
        if self.loss == "clip":
            return ppo.ppo_clip_grad(logp, logp_old, advantage, weight, self.eps_low, self.eps_high)
        if self.loss == "sequence":
            return grpo.gspo_grad(logp, logp_old, advantage, weight, self.eps_low, self.eps_high)
        return grpo.cispo_grad(logp, ppo.ratio(logp, logp_old), advantage, weight, self.eps_low, self.eps_high)


def _z(rewards: Array) -> Array:
    return grpo.group_advantage(rewards)


def _sequences(mask: Array, longest: int) -> Array:
    return weights.sequence_mean(mask)


def _tokens(mask: Array, longest: int) -> Array:
    return weights.token_mean(mask)


VARIANTS = {variant.name: variant for variant in (
    Variant("document", _z, _sequences, "reinforce"),
    Variant("grpo", _z, _sequences, "clip", beta=0.04),
    Variant("dr_grpo", lambda r: grpo.group_advantage(r, center_only=True), weights.constant_length, "clip"),
    Variant("dapo", _z, _tokens, "clip", eps_high=0.28, redraw=True),
    Variant("gspo", _z, _sequences, "sequence", 3e-4, 4e-4),
    Variant("cispo", _z, _tokens, "truncate", 1.0, 4.0),
    Variant("rloo", lambda r: r - policy_gradient.leave_one_out_baseline(r),
            lambda mask, longest: weights.sequence_sum(mask), "reinforce", beta=0.05, kl="reward"),
)}


def variant(name: str, *, beta: float | None = None, eps_low: float | None = None,
            eps_high: float | None = None) -> Variant:
    """The preset of that name, with other numbers where they are not None.

    beta      >= 0
    eps_low   in [0, 1]
    eps_high  >= 0

    Raises ValueError for an unknown name, with those that there are.

    >>> variant("dapo").eps_high, variant("dapo", eps_high=0.2).eps_high
    (0.28, 0.2)
    """
    check.one_of(tuple(VARIANTS), variant=name)
    numbers = {"beta": beta, "eps_low": eps_low, "eps_high": eps_high}
    given = {key: value for key, value in numbers.items() if value is not None}
    for key, value in given.items():
        check.between(0, 1, eps_low=value) if key == "eps_low" else check.non_negative(**{key: value})
    return replace(VARIANTS[name], **given)
