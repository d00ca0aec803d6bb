"""GRPO: advantages from a group of answers to one prompt, and the losses that use them.

G answers to one prompt earn r_1 .. r_G.  Their mean is the baseline, no value network is needed:

    m = sum_j r_j / G,    s^2 = sum_j (r_j - m)^2 / (G - ddof),    A_i = (r_i - m) / (s + eps)       (1)

All tokens of answer i share A_i.  Two losses go by the name.  The documents' is REINFORCE's:

    L = - sum_it w_it A_i logp_it                     dL/dlogp_it = - w_it A_i                       (2)

The paper's is PPO's surrogate (formulas.ppo) with a penalty, k3 of formulas.kl, against a reference:

    L = sum_it w_it [ - min(rho_it A_i, clip(rho_it) A_i) + beta k3_it ]                             (3)
    dL/dlogp_it = - w_it [ live_it rho_it A_i - beta (1 - pi_ref / pi) ]                             (4)

At pi = pi_old all rho are 1 and live, and (4) is (2) if beta = 0 or pi = pi_ref: on the first step of a
batch the two are one algorithm.  On the next they part.  With the document's A = [.80, .32, -1.12], pi_old
= .33 each and pi = [.50, .40, .10], the ratios are [1.52, 1.21, .30]: (4) without penalty is 0 for all three,
(2) still pushes with the whole A.  The values say nothing of progress: A adds to 0, so with equal weights (3)
is 0 at pi = pi_old = pi_ref whatever was learned, and (2) at a uniform policy; their gradients are not 0.

Variants change the advantage, the weight matrix, the ratio or the clip.  None needs a loss of its own except
GSPO, one ratio a sequence, the weighted geometric mean of its tokens' ratios,

    log s_i = sum_t w_it (logp - logp_old)_it / W_i,   W_i = sum_t w_it                              (5)
    L = - sum_i W_i min(s_i A_i, clip(s_i) A_i)       dL/dlogp_it = - w_it live_i s_i A_i            (6)

(PPO's surrogate on B sequences of weight W_i; then the chain rule, d log s_i / d logp_it = w_it / W_i), and
CISPO, which clips the ratio but never drops a token: the clipped ratio is data, as A is,

    L = - sum_it w_it clip(rho_it) A_i logp_it        dL/dlogp_it = - w_it clip(rho_it) A_i          (7)

As calls, r (N, G) rewards of N prompts, B = N G, A reshaped to (B, 1), rho = ratio(logp, old), n a constant:

    variant    advantage A                            weight w                  loss
    document   group_advantage(r)                     sequence_mean(mask)       grpo_loss(logp, A, w)
    GRPO       group_advantage(r)                     sequence_mean(mask)       grpo_clip_loss(logp, old, ref, A, w)
    Dr. GRPO   group_advantage(r, center_only=True)   constant_length(mask, n)  ppo_clip_loss(logp, old, A, w)
    DAPO       group_advantage(r)                     token_mean(mask)          ppo_clip_loss(logp, old, A, w, .2, .28)
    RLOO       leave_one_out_advantage(r)             sequence_sum(mask)        grpo_loss(logp, A, w)
    GSPO       group_advantage(r)                     sequence_mean(mask)       gspo_loss(logp, old, A, w)
    CISPO      group_advantage(r)                     token_mean(mask)          cispo_loss(logp, rho, A, w, 1, 4)

    ratio and clip range: document, RLOO none; GRPO, Dr. GRPO a token's, .8 to 1.2; DAPO .8 to 1.28;
    GSPO a sequence's, .9997 to 1.0004; CISPO a token's, no lower bound (eps_high is not printed; 4 is ours).
    KL: GRPO k3 in the loss, .04; RLOO k1 in the reward r; none elsewhere.

What (1) estimates, for G independent answers of weight 1/G each, J = E[r].  m contains r_i itself:

    r_i - m = (1 - 1/G) (r_i - mean of the others)                                                   (8)

The mean of the others does not depend on answer i, so it leaves E[score (r_i - b)] = grad J alone, and

    leave-one-out, G/(G-1) (r_i - m):   grad J exactly          centred, r_i - m:  (1 - 1/G) grad J  (9)

Dividing by s has no such factor: s depends on the answers drawn, and the direction changes.  Take the uniform
policy over the document's rewards [10, 5, -10] and G = 2.  Any two different answers get A = +-1/sqrt(2),
however far apart, and the mean gradient in the logits is [.157, 0, -.157]; grad J is [2.78, 1.11, -3.89].
The answer worth 5, better than the mean of 1.67, is not raised.

Source: document 002, GRPO steps 1-4 (mean 5/3 = 1.666667, which it prints as "1.67310" and uses as 1.67; std
        10.41, that is ddof=1; ddof=0 is 8.50); DeepSeekMath, arXiv:2402.03300, for (1) and (3); Dr. GRPO,
        arXiv:2503.20783; DAPO, arXiv:2503.14476; RLOO, arXiv:2402.14740; GSPO, arXiv:2507.18071; CISPO
        (MiniMax-M1), arXiv:2506.13585.
Leaves out: what is done to the data before (DAPO's resampling of flat groups and its penalty on length),
        rewards for each step of an answer.  GSPO-token, GMPO, SAPO and LUSPO: formulas.surrogates; other advantages:
        formulas.group.
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.kl import kl_k2, kl_k2_grad, kl_k3, kl_k3_grad
from rlscratch.formulas.policy_gradient import reinforce_grad, reinforce_loss
from rlscratch.formulas.ppo import (
    clip_ratio,
    dead,
    exp_of,
    ppo_clip_grad,
    ppo_clip_loss,
    surrogate_loss,
    surrogate_slope,
)

ESTIMATORS = {"k2": (kl_k2, kl_k2_grad), "k3": (kl_k3, kl_k3_grad)}     # of the penalty in (3): value, derivative


def group_advantage(
    rewards: ArrayLike, ddof: int = 1, eps: float = 0.0, zero_std: str = "zero", center_only: bool = False,
) -> Array:
    """Equation (1), in the shape and dtype of rewards.

    rewards      (..., G)  one reward for each of the G >= 2 answers to a prompt
    ddof         1 or 0    1 as in the document's 10.41, TRL, veRL and OpenRLHF; 0 in GRPO-Zero and open-instruct.
                           The paper writes std and does not say which
    eps          >= 0      added to the std, in units of reward.  The document writes "+ eps" without a value
                           and computes with 0, the paper has none; 1e-4 in TRL and GRPO-Zero, 1e-6 in veRL,
                           1e-8 in open-instruct, 1e-9 in OpenRLHF
    zero_std     "zero"    a flat group (largest reward = smallest) teaches nothing and gets 0, which is what
                           an eps > 0 gives these libraries; "error" if it should have been left out (DAPO)
    center_only  bool      r_i - m, without the division (Dr. GRPO); ddof and eps then change nothing

    A group is flat by its rewards and not by its std: in floats the std of [.1, .1, .1] is 1.7e-17.  So is
    the difference between .1 + .2 and .3, and without eps that group gets a full-sized advantage.

    Raises ValueError for a group of one, which has no one to be compared with, and for a flat one on request.

    The document's group, "cream", "hockey", "donkey":

    >>> group_advantage([10, 5, -10]).round(2).tolist()
    [0.8, 0.32, -1.12]

    Proof: tests/test_formulas_grpo.py, test_the_advantage_is_the_distance_from_the_mean_in_standard_deviations
    """
    rewards = check.group(2, rewards=rewards)
    ddof, eps = check.integer(0, 1, ddof=ddof), check.non_negative(eps=eps)
    check.one_of(("zero", "error"), zero_std=zero_std)
    check.one_of((False, True), center_only=center_only)
    flat = rewards.real.max(axis=-1, keepdims=True) == rewards.real.min(axis=-1, keepdims=True)
    if zero_std == "error" and flat.any():
        group = tuple(int(i) for i in np.argwhere(flat[..., 0])[0])
        check.fail(f"rewards[{', '.join(map(str, group))}]" if group else "rewards", rewards[group].tolist(),
                   "rewards that differ within the group, because zero_std is 'error'")
    # Counted from the first reward a flat group is 0 exactly, and a large common offset costs no digits.
    centred = rewards - rewards[..., :1]
    centred = centred - centred.mean(axis=-1, keepdims=True)
    if center_only:
        return centred
    # The squares of centred / widest neither overflow nor vanish, however large or small the rewards.
    widest = np.where(flat, 1, np.abs(centred.real).max(axis=-1, keepdims=True))
    std = widest * np.sqrt(np.sum((centred / widest) ** 2, axis=-1, keepdims=True) / (rewards.shape[-1] - ddof))
    return centred / np.where(flat, 1, std + eps)


def rank_advantage(rewards: ArrayLike) -> Array:
    """A_i = the share of the others that i beats, less the share that beats i; in [-1, 1], and 0 in sum.

    rewards  (..., G)  of a group; G >= 2.  Only their order counts: "A is better than B", as document 002 says

    Any growing function of the rewards gives the same, and one reward of a million moves no other answer's A.

    >>> rank_advantage([10, 5, -10]).tolist(), rank_advantage([1e6, 5, 5]).tolist()
    ([1.0, 0.0, -1.0], [1.0, -0.5, -0.5])

    Proof: tests/test_formulas_grpo.py, test_ranks_know_the_order_alone
    """
    rewards = check.group(2, rewards=rewards).real
    return np.sign(rewards[..., :, None] - rewards[..., None, :]).sum(axis=-1) / (rewards.shape[-1] - 1)


def grpo_loss(logp: ArrayLike, advantage: ArrayLike, weight: ArrayLike) -> float:
    """Equation (2), the documents' loss; reinforce_loss under its GRPO name.  To be minimised.

    logp       (B, T)            log pi of each token, natural log; any rank will do
    advantage  (B, 1) or (B, T)  A_i of (1)
    weight     (B, T)            how much each token counts, >= 0; 0 where the policy did not choose it

    The document's step 4 for "cream" at a uniform policy, .80 log 3:

    >>> round(grpo_loss([[np.log(1 / 3)]], [[.800641]], [[1]]), 6)
    0.879594

    Proof: tests/test_formulas_grpo.py, test_each_row_of_the_table_is_its_paper_s_loss_and_gradient
    """
    logp, advantage, weight = check.weighted(weight, logp=logp, advantage=advantage)
    return reinforce_loss(logp, advantage, weight)


def grpo_grad(logp: ArrayLike, advantage: ArrayLike, weight: ArrayLike) -> Array:
    """Equation (2): dL/dlogp, in the shape and dtype of logp.  Arguments as in grpo_loss.

    >>> grpo_grad(np.log([[1 / 3]] * 3), [[.8], [.32], [-1.12]], [[.5]] * 3).tolist()
    [[-0.4], [-0.16], [0.56]]

    Proof: tests/test_formulas_grpo.py, test_the_document_s_loss_is_reinforce_by_another_name
    """
    logp, advantage, weight = check.weighted(weight, logp=logp, advantage=advantage)
    return reinforce_grad(logp, advantage, weight)


def grpo_clip_loss(
    logp: ArrayLike, logp_old: ArrayLike, logp_ref: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.2, eps_high: float = 0.2, beta: float = 0.04, estimator: str = "k3",
) -> float:
    """Equation (3), the paper's loss, to be minimised.

    logp       (B, T)            log pi of each token, natural log; any rank will do
    logp_old   (B, T)            the same under the policy that sampled the tokens
    logp_ref   (B, T)            the same under the frozen reference
    advantage  (B, 1) or (B, T)  A_i of (1)
    weight     (B, T)            how much each token counts, >= 0; it weighs the penalty too
    eps_low, eps_high            clip range of the ratio, [1 - eps_low, 1 + eps_high]; as in ppo_clip_loss
    beta       >= 0              units of advantage per nat.  .04 is the paper's: who passes a reference
                                 means it.  TRL's default is 0; without a penalty ppo_clip_loss is enough
    estimator  "k3" or "k2"      the paper's k3; k2 in its place descends KL(pi || ref), see formulas.kl (5)

    Raises ValueError as ppo_clip_loss does, and where the penalty is not finite.

    Ratio 1, and a token half as likely as under the reference: k3 = 2 - 1 - log 2.

    >>> round(grpo_clip_loss([[np.log(.4)]], [[np.log(.4)]], [[np.log(.8)]], [[1]], [[1]], beta=1), 6)
    -0.693147

    Proof: tests/test_formulas_grpo.py, test_each_row_of_the_table_is_its_paper_s_loss_and_gradient
    """
    logp, logp_old, logp_ref, advantage, weight, beta = _referred(logp, logp_old, logp_ref, advantage, weight, beta)
    value, _ = ESTIMATORS[check.one_of(tuple(ESTIMATORS), estimator=estimator)]
    surrogate = ppo_clip_loss(logp, logp_old, advantage, weight, eps_low, eps_high)
    if beta == 0:                       # a penalty that weighs nothing may be as large as it likes
        return surrogate
    penalty = check.array(penalty=value(logp, logp_ref), called=f"the penalty {estimator}")
    return surrogate + beta * np.sum(weight * penalty).item()


def grpo_clip_grad(
    logp: ArrayLike, logp_old: ArrayLike, logp_ref: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.2, eps_high: float = 0.2, beta: float = 0.04, estimator: str = "k3",
) -> Array:
    """Equation (4): dL/dlogp, in the shape and dtype of logp.  Arguments and errors as in grpo_clip_loss.

    -1 from the surrogate, 1 - .8/.4 = -1 from the penalty: both want the token more often.

    >>> grpo_clip_grad(np.log([[.4]]), np.log([[.4]]), np.log([[.8]]), [[1]], [[1]], beta=1).round(9).tolist()
    [[-2.0]]

    Proof: tests/test_formulas_grpo.py, test_the_paper_s_gradient_is_the_derivative_of_its_loss
    """
    logp, logp_old, logp_ref, advantage, weight, beta = _referred(logp, logp_old, logp_ref, advantage, weight, beta)
    _, slope = ESTIMATORS[check.one_of(tuple(ESTIMATORS), estimator=estimator)]
    surrogate = ppo_clip_grad(logp, logp_old, advantage, weight, eps_low, eps_high)
    if beta == 0:
        return surrogate
    penalty = check.array(penalty=slope(logp, logp_ref), called=f"the derivative of {estimator}")
    return (surrogate + beta * weight * penalty).astype(logp.dtype)


def gspo_loss(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 3e-4, eps_high: float = 4e-4,
) -> float:
    """Equation (6), to be minimised.

    logp       (B, T)            log pi of each token, natural log; or (..., T)
    logp_old   (B, T)            the same under the policy that sampled the tokens
    advantage  (B, 1) or (B, T)  A_i of (1): one for all tokens of a row whose weight is not 0
    weight     (B, T)            >= 0; a row of zeros contributes 0
    eps_low, eps_high            clip range of s_i; a mean of many log-ratios is near 0, so the range is narrow

    Raises ValueError as ppo_clip_loss does, and where advantages differ within a row.

    Two tokens with ratios 2 and 8: s = 4 with A = -1, and clipping does not help a bad answer.

    >>> round(gspo_loss(np.log([[.5, .8]]), np.log([[.25, .1]]), [[-1]], [[.5, .5]]), 9)
    4.0

    Proof: tests/test_formulas_grpo.py, test_each_row_of_the_table_is_its_paper_s_loss_and_gradient
    """
    _, s, advantage, total, _ = sequences(logp, logp_old, advantage, weight)
    return surrogate_loss(s, advantage, total, eps_low, eps_high)


def gspo_grad(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 3e-4, eps_high: float = 4e-4,
) -> Array:
    """Equation (6): dL/dlogp, in the shape and dtype of logp.  Arguments and errors as in gspo_loss.

    >>> gspo_grad(np.log([[.5, .8]]), np.log([[.25, .1]]), [[-1]], [[.5, .5]]).round(9).tolist()
    [[2.0, 2.0]]

    Proof: tests/test_formulas_grpo.py, test_gspo_s_gradient_is_the_derivative_of_its_loss
    """
    logp, s, advantage, total, share = sequences(logp, logp_old, advantage, weight)
    return (surrogate_slope(s, advantage, total, eps_low, eps_high) * share).astype(logp.dtype)


def gspo_clipped_tokens(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 3e-4, eps_high: float = 4e-4,
) -> Array:
    """True at the tokens of the sequences that are not live in (6): booleans, in the shape of logp.

    Arguments and errors as in gspo_loss.  A token of weight 0 never counted, so it is not switched off.

    >>> gspo_clipped_tokens(np.log([[.5, .8, .5]]), np.log([[.25, .1, .5]]), [[1]], [[.5, .5, 0]]).tolist()
    [[True, True, False]]

    Proof: tests/test_formulas_grpo.py, test_gspo_s_clipped_tokens_are_those_without_a_gradient
    """
    _, s, advantage, _, share = sequences(logp, logp_old, advantage, weight)
    return dead(s, advantage, eps_low, eps_high) & (share > 0)


def cispo_loss(
    logp: ArrayLike, ratio: ArrayLike, advantage: ArrayLike, weight: ArrayLike, eps_low: float, eps_high: float,
) -> float:
    """Equation (7), to be minimised.

    logp       (B, T)            log pi of each token, natural log; any rank will do
    ratio      (B, T)            formulas.ppo.ratio(logp, logp_old): data, the stop-gradient as an argument
    advantage  (B, 1) or (B, T)  A_i of (1)
    weight     (B, T)            how much each token counts, >= 0
    eps_low    in [0, 1]         1 for no lower bound, as in the paper
    eps_high   >= 0              the paper tunes it and prints no value, so there is no default.  TRL's
                                 epsilon_high is the bound itself, 1 + eps_high here, and unset it is .2;
                                 veRL's bounds are 1 - clip_ratio_low and 1 + clip_ratio_high

    Raises ValueError as ppo_clip_loss does, and for a ratio below 0.

    Ratio 8 cut to 5, the token kept: 5 log 2.

    >>> round(cispo_loss([[np.log(.5)]], [[8]], [[1]], [[1]], eps_low=1, eps_high=4), 6)
    3.465736

    Proof: tests/test_formulas_grpo.py, test_each_row_of_the_table_is_its_paper_s_loss_and_gradient
    """
    return reinforce_loss(*_truncated(logp, ratio, advantage, weight, eps_low, eps_high))


def cispo_grad(
    logp: ArrayLike, ratio: ArrayLike, advantage: ArrayLike, weight: ArrayLike, eps_low: float, eps_high: float,
) -> Array:
    """Equation (7): dL/dlogp with the ratio held, in the shape and dtype of logp.  Arguments as in cispo_loss.

    >>> cispo_grad([[np.log(.5)]], [[8]], [[1]], [[1]], eps_low=1, eps_high=4).tolist()
    [[-5.0]]

    Proof: tests/test_formulas_grpo.py, test_cispo_s_gradient_is_the_derivative_of_its_loss_with_the_ratio_held
    """
    return reinforce_grad(*_truncated(logp, ratio, advantage, weight, eps_low, eps_high))


def _referred(
    logp: ArrayLike, logp_old: ArrayLike, logp_ref: ArrayLike, advantage: ArrayLike, weight: ArrayLike, beta: float,
) -> tuple[Array, Array, Array, Array, Array, float]:
    """The checked arguments of (3)."""
    arrays = check.weighted(weight, logp=logp, logp_old=logp_old, logp_ref=logp_ref, advantage=advantage)
    check.log_probabilities(logp=arrays[0], logp_old=arrays[1], logp_ref=arrays[2])
    return *arrays, check.non_negative(beta=beta)


def sequences(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
) -> tuple[Array, Array, Array, Array, Array]:
    """logp, then s_i, A_i and W_i of (5), each (..., 1), and the shares w_it / W_i.  Arguments as in gspo_loss.

    Proof: tests/test_formulas_grpo.py, test_gspo_s_ratio_is_the_geometric_mean_and_equal_for_all_tokens
    """
    check.array(min_ndim=1, logp=logp)
    logp, logp_old, advantage, weight = check.weighted(weight, logp=logp, logp_old=logp_old, advantage=advantage)
    check.log_probabilities(logp=logp, logp_old=logp_old)
    advantage, weight = np.broadcast_to(advantage, logp.shape), np.broadcast_to(weight, logp.shape)
    counts = weight != 0
    first = np.take_along_axis(advantage, counts.argmax(axis=-1)[..., None], axis=-1)
    differs = counts & (advantage != first)
    if differs.any():
        place = tuple(np.argwhere(differs)[0].tolist())
        check.fail(f"advantage[{', '.join(map(str, place))}]", advantage[place],
                   f"{first[(*place[:-1], 0)]}, as for the other tokens of this sequence")
    total = weight.sum(axis=-1, keepdims=True)
    share = weight / np.where(total == 0, 1, total)
    return logp, exp_of(np.sum(share * (logp - logp_old), axis=-1, keepdims=True)), first, total, share


def _truncated(
    logp: ArrayLike, ratio: ArrayLike, advantage: ArrayLike, weight: ArrayLike, eps_low: float, eps_high: float,
) -> tuple[Array, Array, Array]:
    """logp, clip(ratio) A, weight: the arguments of REINFORCE."""
    logp, ratio, advantage, weight = check.weighted(weight, logp=logp, ratio=ratio, advantage=advantage)
    return logp, clip_ratio(ratio, eps_low, eps_high) * advantage, weight
