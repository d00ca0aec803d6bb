"""What a loss of a kind is given, and every convention that we know for it.

A contract is a kind of function.  Seven are enough for most of what is trained with:

    policy      log-probabilities (B, T), a mask, advantages or rewards -> a number.  Differentiated in logp
    advantage   rewards (P, G) -> advantages of that shape
    pairs       log-probabilities or scores of chosen and rejected answers (N,) -> a number, in the chosen one's
    kl          log-probabilities of two policies -> an estimate for each token, differentiated in the first
    value       values, returns and a mask (B, T), values of before -> a number, differentiated in the values
    gae         rewards, values and a mask (B, T), gamma, lam -> advantages of that shape, 0 under the mask
    counts      answers, right ones and k, three integers -> a probability; called for one pool after the other

A convention is a formula of rlscratch.formulas with all its choices made: tags, value, gradient.  The batches are
such that no two conventions agree on it: rows of six lengths, ratios in all regions of the clip, two groups.

A choice that enters linearly is not listed but fitted: beta, the weight of a KL in the loss.
"""
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from rlscratch.check import Array
from rlscratch.conformance.batches import (
    BETA,
    advantage_batch,
    counts_batch,
    gae_batch,
    kl_batch,
    pairs_batch,
    policy_batch,
    value_batch,
)
from rlscratch.formulas import (
    best_of_n,
    group,
    grpo,
    kl,
    off_policy,
    pairs,
    policy_gradient,
    ppo,
    preference,
    returns,
    surrogates,
    weights,
)


class Convention(NamedTuple):
    """A formula with its choices made, on one batch.

    tags      choice -> what was chosen
    value     a number, or an array for a contract whose functions return one
    gradient  in the first argument; None where nothing is differentiated
    """

    tags: dict[str, str]
    value: Any
    gradient: Array | None


# ---------------------------------------------------------------- conventions

def aggregates(batch: dict[str, Any]) -> dict[str, Array]:
    """Name -> a weight for each token."""
    mask = batch["mask"]
    return {"token mean": weights.token_mean(mask), "sequence mean": weights.sequence_mean(mask),
            "sequence sum": weights.sequence_sum(mask),
            "constant length": weights.constant_length(mask, batch["length"]),
            "the batch's width": weights.constant_length(mask, mask.shape[1]),
            "token mean of each prompt": weights.prompt_token_mean(mask, batch["group"])}


def surrogate(name: str, batch: dict[str, Any], A: Array, w: Array, *choices: float) -> tuple[float, Array]:
    """Value and gradient of one of the surrogates."""
    x, old = batch["logp"], batch["logp_old"]
    if name == "reinforce":
        return policy_gradient.reinforce_loss(x, A, w), policy_gradient.reinforce_grad(x, A, w)
    if name == "ratio":                                   # rho A without a clip
        rho = ppo.ratio(x, old)
        return -np.sum(w * rho * A).item(), -w * rho * A
    if name == "ppo of whole answers":                    # the ratio is a product: each token has its derivative
        rho = np.exp((x - old).sum(axis=1, keepdims=True))
        data = rho, A, w[:, :1], *choices
        return ppo.surrogate_loss(*data), ppo.surrogate_slope(*data) * batch["mask"]
    if name == "cispo":
        rho = np.clip(ppo.ratio(x, old), *choices)
        return policy_gradient.reinforce_loss(x, rho * A, w), policy_gradient.reinforce_grad(x, rho * A, w)
    home = {"ppo": (ppo.ppo_clip_loss, ppo.ppo_clip_grad), "gspo": (grpo.gspo_loss, grpo.gspo_grad),
            "dual clip": (surrogates.dual_clip_loss, surrogates.dual_clip_grad),
            "gmpo": (surrogates.gmpo_loss, surrogates.gmpo_grad),
            "sapo": (surrogates.sapo_loss, surrogates.sapo_grad)}[name]
    loss, grad = home
    return loss(x, old, A, w, *choices), grad(x, old, A, w, *choices)


# Surrogate, its choices, and how they are said.
SURROGATES: list[tuple[str, tuple[float, ...], str]] = [
    ("reinforce", (), "none"), ("ratio", (), "none"),
    *(("ppo", bounds, f"{1 - bounds[0]:g} to {1 + bounds[1]:g}") for bounds in (
        (.2, .2), (.2, .28), (.1, .1), (.3, .3))),
    *(("dual clip", (*bounds, 3.0), f"{1 - bounds[0]:g} to {1 + bounds[1]:g}, 3") for bounds in ((.2, .2), (.2, .28))),
    *(("ppo of whole answers", bounds, f"{1 - bounds[0]:g} to {1 + bounds[1]:g}") for bounds in ((.2, .2), (.2, .28))),
    *(("gspo", bounds, f"{1 - bounds[0]:g} to {1 + bounds[1]:g}") for bounds in ((3e-4, 4e-4), (.2, .2), (.2, .28))),
    *(("cispo", bounds, f"{bounds[0]:g} to {bounds[1]:g}") for bounds in (
        (0., 5.), (0., .2), (0., .28), (.8, 1.2), (.8, 1.28), (0., 1.2), (0., 1.28))),
    *(("gmpo", bounds, f"e^-{bounds[0]:g} to e^{bounds[1]:g}") for bounds in ((.4, .4), (.2, .2))),
    ("sapo", (1.0, 1.05), "tau 1, 1.05"),
]

ADVANTAGES: dict[str, Callable[[Array], Array]] = {
    "the reward itself": lambda r: r,
    **{f"z-score, ddof {ddof}, eps {eps:g}": lambda r, ddof=ddof, eps=eps: grpo.group_advantage(r, ddof, eps)
       for ddof in (1, 0) for eps in (0.0, 1e-4, 1e-5, 1e-6, 1e-8, 1e-9)},
    "r - mean": lambda r: grpo.group_advantage(r, center_only=True),
    "r - mean of the others": policy_gradient.leave_one_out_advantage,
    "mean and std of the others, ddof 1": group.leave_one_out_standardised,
    "mean and std of the others, ddof 0": lambda r: group.leave_one_out_standardised(r, ddof=0),
    "the batch as one group, ddof 1": lambda r: grpo.group_advantage(r.ravel()).reshape(r.shape),
    "the batch as one group, ddof 0": lambda r: grpo.group_advantage(r.ravel(), 0).reshape(r.shape),
    "r - mean, over the batch's std, ddof 1": lambda r: grpo.group_advantage(r, center_only=True) / r.std(ddof=1),
    "r - mean, over the batch's std, ddof 0": lambda r: grpo.group_advantage(r, center_only=True) / r.std(),
}


def kl_terms(batch: dict[str, Any], w: Array) -> Iterator[tuple[str, float, Array]]:
    """KLs in the loss, beta 1: name, value, gradient."""
    x, old, ref = batch["logp"], batch["logp_old"], batch["logp_ref"]
    for name, (value, slope) in off_policy.ESTIMATORS.items():
        yield name, np.sum(w * value(x, ref)).item(), w * slope(x, ref)
        yield (f"{name} times the ratio", off_policy.weighted_kl_loss(x, old, ref, w, name),
               off_policy.weighted_kl_grad(x, old, ref, w, name))
    yield "k3 of the reverse, exp(d) - 1 - d", np.sum(w * kl.kl_k3(ref, x)).item(), w * np.expm1(x - ref)


def policy_conventions(batch: dict[str, Any], takes: set[str]) -> Iterator[tuple[Convention, Convention | None]]:
    """Each convention without a KL, and the KL that may be added to it times beta, or None."""
    if "rewards" in takes and "advantage" not in takes:
        given = {name: f(batch["rewards"].reshape(-1, batch["group"])).ravel() for name, f in ADVANTAGES.items()}
    else:
        given = {"": batch["advantage"]}
    each = {"the given weight": batch["weight"]} if "weight" in takes else aggregates(batch)
    for aggregate, w in each.items():
        terms = list(kl_terms(batch, w)) if "logp_ref" in takes else []
        for name, choices, said in SURROGATES:
            if "logp_old" not in takes and "ratio" not in takes and name != "reinforce":
                continue
            for advantage, A in given.items():
                value, gradient = surrogate(name, batch, A[:, None], w, *choices)
                tags = {"surrogate": name, "range": said, "aggregate": aggregate}
                plain = Convention(tags | ({"advantage": advantage} if advantage else {}), value, gradient)
                yield plain, None
                for term, cost, slope in terms:
                    yield plain, Convention({"KL in the loss": term}, cost, slope)


def advantage_conventions(batch: dict[str, Any], takes: set[str]) -> Iterator[tuple[Convention, None]]:
    """Every advantage of the table, MaxRL and pass@k."""
    r = batch["rewards"]
    others = {"MaxRL, (r - mean) / mean": lambda r: (r - r.mean(-1, keepdims=True)) / r.mean(-1, keepdims=True),
              "gain in the best of 2": lambda r: group.pass_at_k_advantage(r, 2)}
    for name, f in (ADVANTAGES | others).items():
        yield Convention({"advantage": name}, f(r), None), None


def pairs_conventions(batch: dict[str, Any], takes: set[str]) -> Iterator[tuple[Convention, None]]:
    """DPO and its kin over a grid of beta, or a reward model if no reference is asked for."""
    c, r = batch["chosen"], batch["rejected"]
    both = np.stack([c, r], axis=1)
    if "ref_chosen" not in takes:
        yield Convention({"loss": "Bradley-Terry"}, preference.bradley_terry_loss(c, r),
                         preference.bradley_terry_grad(c, r)), None
        for center in (.01, .1):
            value, slope = (f(both, 0, center) for f in (pairs.reward_margin_loss, pairs.reward_margin_grad))
            yield Convention({"loss": "Bradley-Terry", "centred": f"{center:g}"}, value, slope[:, 0]), None
        return
    refs = np.stack([batch["ref_chosen"], batch["ref_rejected"]], axis=1)
    data = batch["ref_chosen"], batch["ref_rejected"]
    for beta in (BETA, .01, .05, .2, .25, .5, 1.0):
        said = {"beta": f"{beta:g}"}
        yield Convention({"loss": "DPO"} | said, preference.dpo_loss(c, r, *data, beta),
                         preference.dpo_grad(c, r, *data, beta)), None
        yield Convention({"loss": "IPO"} | said, preference.ipo_loss(c, r, *data, beta),
                         preference.ipo_grad(c, r, *data, beta)), None
        for flip in (.1, .2):
            for name, unbiased in (("cDPO", False), ("rDPO", True)):
                smooth = both, refs, beta, flip, unbiased
                yield Convention({"loss": name, "flip": f"{flip:g}"} | said, pairs.smoothed_dpo_loss(*smooth),
                                 pairs.smoothed_dpo_grad(*smooth)[:, 0]), None
        for link in ("forward_kl", "jensen_shannon"):
            yield Convention({"loss": f"f-DPO, {link}"} | said, pairs.f_dpo_loss(both, refs, beta, link),
                             pairs.f_dpo_grad(both, refs, beta, link)[:, 0]), None


def kl_conventions(batch: dict[str, Any], takes: set[str]) -> Iterator[tuple[Convention, None]]:
    """The estimators, forward, reversed, and with the gradient of k2 behind another value."""
    x, ref = batch["logp"], batch["logp_ref"]
    for name, (value, slope) in off_policy.ESTIMATORS.items():
        yield Convention({"estimator": name}, value(x, ref), slope(x, ref)), None
        if name != "k2":
            yield Convention({"estimator": f"{name}, with k2's gradient"}, value(x, ref), x - ref), None
    yield Convention({"estimator": "k1 of the reverse, -d"}, ref - x, -np.ones_like(x)), None
    yield Convention({"estimator": "k3 of the reverse, exp(d) - 1 - d"}, kl.kl_k3(ref, x), np.expm1(x - ref)), None
    yield Convention({"estimator": "|d|"}, np.abs(x - ref), np.sign(x - ref)), None


def value_conventions(batch: dict[str, Any], takes: set[str]) -> Iterator[tuple[Convention, None]]:
    """The square or its half; free, or within a reach of the old values in two forms."""
    forms: list[tuple[str, float | None]] = [("none", None)]
    if "values_old" in takes:
        forms += [(form, reach) for form in ("larger", "clipped") for reach in (.2, .1, .3, .5)]
    for aggregate, w in ({"the given weight": batch["weight"]} if "weight" in takes else aggregates(batch)).items():
        for form, reach in forms:
            data = batch["values"], batch["returns"], w
            how = () if reach is None else (batch["values_old"], reach, form)
            value, slope = ppo.value_loss(*data, *how), ppo.value_grad(*data, *how)
            for name, k in (("half the square", 1), ("the square", 2)):
                tags = {"loss": name, "form": form, "reach": "none" if reach is None else f"{reach:g}"}
                yield Convention(tags | {"aggregate": aggregate}, k * value, k * slope), None


def gae_conventions(batch: dict[str, Any], takes: set[str]) -> Iterator[tuple[Convention, None]]:
    """What tokens between turns are, and whether the batch is whitened."""
    r, v, mask = batch["rewards"], batch["values"], batch["mask"]
    following = np.concatenate([(v * mask)[:, 1:], np.zeros_like(v[:, :1])], axis=1)
    given = {name: batch[name] for name in ("gamma", "lam") if name in takes}
    choices = [(1.0, 1.0), (1.0, .95), (.99, .95), (.99, 1.0), (.99, .9), (1.0, .9), (.99, .97)]
    for gamma, lam in dict.fromkeys((given.get("gamma", gamma), given.get("lam", lam)) for gamma, lam in choices):
        for turns, A in (("gone", returns.gae_over_turns(r, v, mask, gamma, lam)),
                         ("zero values", returns.gae(r, v * mask, following, gamma, lam) * mask)):
            for white, whole in (("none", A), ("ddof 1", returns.whitened(A, mask)),
                                 ("ddof 0", returns.whitened(A, mask, 0))):
                yield Convention({"estimator": "GAE", "gamma": f"{gamma:g}", "lam": f"{lam:g}",
                                  "tokens between turns": turns, "whitened": white}, whole, None), None


def counts_conventions(batch: dict[str, Any], takes: set[str]) -> Iterator[tuple[Convention, None]]:
    """The unbiased estimate, and what is taken for it."""
    n, c, k = (batch[name] for name in ("answers", "right", "k"))
    each = zip(n.tolist(), c.tolist(), k.tolist(), strict=True)
    yield Convention({"estimate": "unbiased"}, np.array([best_of_n.pass_at_k(*pool) for pool in each]), None), None
    yield Convention({"estimate": "1 - (1 - c/n)^k, biased, with replacement"}, 1 - (1 - c / n) ** k, None), None
    yield Convention({"estimate": "the share of right answers, pass@1"}, c / n, None), None
    yield Convention({"estimate": "whether any of all n answers is right"}, np.sign(c) * 1.0, None), None
    yield Convention({"estimate": "the mean number of right answers, k c/n"}, k * c / n, None), None


class Contract(NamedTuple):
    """A kind of function: the argument differentiated, its batch and its conventions."""

    first: str
    batch: Callable[[], dict[str, Any]]
    conventions: Callable[..., Iterator[tuple[Convention, Convention | None]]]
    returns: str                        # "a number" or "an array"


CONTRACTS = {
    "policy": Contract("logp", policy_batch, policy_conventions, "a number"),
    "advantage": Contract("rewards", advantage_batch, advantage_conventions, "an array"),
    "pairs": Contract("chosen", pairs_batch, pairs_conventions, "a number"),
    "kl": Contract("logp", kl_batch, kl_conventions, "an array"),
    "value": Contract("values", value_batch, value_conventions, "a number"),
    "gae": Contract("rewards", gae_batch, gae_conventions, "an array"),
    "counts": Contract("right", counts_batch, counts_conventions, "an array"),
}


@cache
def conventions(kind: str, takes: frozenset[str]) -> tuple[tuple[Convention, Convention | None], ...]:
    """Those of a kind on its batch, for functions that take these arguments; kept, for the next function."""
    contract = CONTRACTS[kind]
    return tuple(contract.conventions(contract.batch(), set(takes)))
