"""The referee is refereed: what is right is recognised, and what is planted is caught.

A plain GRPO in ten lines, with switches for mistakes that libraries and their users made: each mistake must be caught
by a law or told by the verdict, and each law must catch at least one.
"""
import inspect
import json
import math
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rlscratch import conformance
from rlscratch.__main__ import main
from rlscratch.conformance import cases, contracts, laws, names
from rlscratch.conformance.candidates import loaded
from rlscratch.conformance.oracle import oracle, world
from rlscratch.formulas import (
    best_of_n,
    group,
    grpo,
    kl,
    pairs,
    policy_gradient,
    ppo,
    preference,
    returns,
    surrogates,
    weights,
)

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

LOSS = '''
import numpy as np

def loss(logp, old_logps, ref_logps, advantages, mask, eps=0.2, beta=0.04):
    ratio = np.exp(logp - old_logps)
    A = advantages[:, None]
    surrogate = np.minimum(ratio * A, np.clip(ratio, 1 - eps, 1 + eps) * A)
    d = ref_logps - logp
    each = -surrogate + beta * (np.exp(d) - d - 1)
    return (each * mask).sum() / mask.sum()
'''


def changed(*changes):
    """The plain loss with some of its text replaced, as a function."""
    text = LOSS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    space = {}
    exec(text, space)
    return space["loss"]


def verdict(function, like, **how):
    return conformance.examine(function, like, **how)


# ---------------------------------------------------------------- what is right

RIGHT = {
    "token mean": (changed(), "dapo", "ppo, range 0.8 to 1.2, aggregate token mean, KL in the loss k3, beta 0.04"),
    "sequence mean": (changed(("(each * mask).sum() / mask.sum()",
                               "((each * mask).sum(1) / mask.sum(1).clip(1)).mean()")), "grpo",
                      "ppo, range 0.8 to 1.2, aggregate sequence mean, KL in the loss k3, beta 0.04"),
    "rewards": (changed(("A = advantages[:, None]", "A = ((rewards - rewards.mean(1, keepdims=True)) / (rewards.std(1, "
                                                    "keepdims=True, ddof=1) + 1e-4)).reshape(-1, 1)"),
                        ("advantages, mask", "rewards, mask")), "dapo", "z-score, ddof 1, eps 0.0001"),
    "clip higher": (changed(("1 + eps", "1.28"), ("beta=0.04", "beta=0")), "dapo", "ppo, range 0.8 to 1.28"),
    "ratio in front of the KL": (changed(("+ beta *", "+ beta * ratio *")), "dapo",
                                 "KL in the loss k3 times the ratio"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_recognised_with_its_convention(name):
    function, like, expected = RIGHT[name]
    found = verdict(function, like)
    assert found.ok or name == "sequence mean", str(found)
    assert expected in str(found).splitlines()[0]


FORMULAS = {
    "reinforce": (policy_gradient.reinforce_loss, policy_gradient.reinforce_grad, {"returns": "advantage"}),
    "ppo_clip": (ppo.ppo_clip_loss, ppo.ppo_clip_grad, {}),
    "grpo": (grpo.grpo_clip_loss, grpo.grpo_clip_grad, {}),
    "gspo": (grpo.gspo_loss, grpo.gspo_grad, {}),
    "dual_clip": (surrogates.dual_clip_loss, surrogates.dual_clip_grad, {}),
    "gmpo": (surrogates.gmpo_loss, surrogates.gmpo_grad, {}),
    "sapo": (surrogates.sapo_loss, surrogates.sapo_grad, {}),
    "dpo": (preference.dpo_loss, preference.dpo_grad, {}),
    "ipo": (preference.ipo_loss, preference.ipo_grad, {}),
    "reward_model": (preference.bradley_terry_loss, preference.bradley_terry_grad, {}),
    "k1": (kl.kl_k1, kl.kl_k1_grad, {"logp_policy": "logp"}), "k2": (kl.kl_k2, kl.kl_k2_grad, {"logp_policy": "logp"}),
    "k3": (kl.kl_k3, kl.kl_k3_grad, {"logp_policy": "logp"}),
    "value_loss": (lambda values, returns, weight: ppo.value_loss(values, returns, weight),
                   lambda values, returns, weight: ppo.value_grad(values, returns, weight), {}),
    "clipped_value_loss": (ppo.value_loss, ppo.value_grad, {}),
    "gae": (returns.gae_over_turns, None, {}),
    "pass_at_k": (lambda rewards: group.pass_at_k_advantage(rewards, 2), None, {}),
    "pass_at_k_estimate": (best_of_n.pass_at_k, None, {}),
    "group_advantage": (grpo.group_advantage, None, {}),
    "rloo_advantage": (policy_gradient.leave_one_out_advantage, None, {}),
}


@pytest.mark.parametrize("like", FORMULAS)
def test_our_own_formulas_are_what_they_say(like):
    loss, grad, called = FORMULAS[like]
    found = verdict(loss, like, grad=grad, names=called)
    assert found.ok and not found.breaches, str(found)


def test_no_two_conventions_agree_on_the_batch():
    for kind, contract in contracts.CONTRACTS.items():
        batch = contract.batch()
        takes = cases.TAKES[kind]
        each = [c for c, _ in contract.conventions(batch, takes)]
        outputs = np.array([np.r_[np.ravel(c.value), [] if c.gradient is None else np.ravel(c.gradient)] for c in each])
        gaps = np.abs(outputs[:, None] - outputs[None]).max(axis=-1) + np.eye(len(each))
        i, j = np.unravel_index(gaps.argmin(), gaps.shape)
        assert gaps.min() > 1e-10, (kind, each[i].tags, each[j].tags)


# ---------------------------------------------------------------- what is planted

def advantage(text):
    return eval(f"lambda rewards: {text}", {"np": np})


def pair(text):
    return eval(f"lambda chosen, rejected, ref_chosen, ref_rejected, beta=0.1: {text}",
                {"np": np, "H": "", "softplus": lambda m: np.logaddexp(0, m), "pairs": pairs})


def scored(text):
    return eval(f"lambda chosen, rejected: {text}", {"np": np})


def estimator(text):
    return eval(f"lambda logp, ref: {text}", {"np": np})


def critic(text):
    return eval(f"lambda values, old_values, returns, mask, clip=.2: {text}", {"np": np})


def gae(*changes):
    """GAE as it is often written, from the end; observations are passed over."""
    text = """
def gae(rewards, values, mask, gamma, lam):
    A, later, following = np.zeros_like(rewards), 0, 0
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * following - values[:, t]
        A[:, t] = delta + gamma * lam * later
        later = np.where(mask[:, t] == 1, A[:, t], later)
        following = np.where(mask[:, t] == 1, values[:, t], following)
    return A * mask
"""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    space = {"np": np}
    exec(text, space)
    return space["gae"]


def chance(text):
    return eval(f"lambda n, c, k: {text}", {"math": math})


REACH = "old_values + np.clip(values - old_values, -clip, clip)"
TWO = f"np.maximum((values - returns) ** 2, ({REACH} - returns) ** 2)"
MEAN, STD = "rewards.mean(1, keepdims=True)", "rewards.std(1, keepdims=True)"
H = "(chosen - ref_chosen - rejected + ref_rejected)"
AGGREGATE, TAKEN = "(each * mask).sum() / mask.sum()", "A = advantages[:, None]"
BY_ROW = "((each * mask).sum(1) / mask.sum(1).clip(1)).mean()"


def wrong_factor(logp, logp_old, advantage, weight):
    return ppo.ppo_clip_loss(logp, logp_old, advantage, weight), 1.001 * ppo.ppo_clip_grad(
        logp, logp_old, advantage, weight)


def only_double(logp, logp_old, advantage, weight):
    if logp.dtype != np.float64:
        raise TypeError("expected Double")
    return ppo.ppo_clip_loss(logp, logp_old, advantage, weight), ppo.ppo_clip_grad(logp, logp_old, advantage, weight)


def renormalised(logp, logp_old, advantage, weight):
    weight = weight / weight.sum()
    return ppo.ppo_clip_loss(logp, logp_old, advantage, weight), ppo.ppo_clip_grad(logp, logp_old, advantage, weight)


# name -> the function, what it says it is, what must be said of it
FAULTS = {
    "mean over padding too": (changed((AGGREGATE, "(each * mask).mean()")), "dapo", "law of padding: two columns"),
    "mask forgotten": (changed((AGGREGATE, "each.sum() / mask.sum()")), "dapo", "law of the mask: "),
    "KL outside of the mask": (changed(("-surrogate + beta", "-surrogate * mask + beta"), ("(each * mask)", "each")),
                               "dapo", "law of the mask: "),
    "mask one token late": (changed(("(each * mask)", "(each * np.roll(mask, 1, axis=1))")), "dapo",
                            "law of the mask: "),
    "Dr. GRPO by the padded width": (changed((AGGREGATE, "(each * mask).sum() / mask.size")), "dr_grpo",
                                     "the batch's width"),
    "Dr. GRPO without the batch": (changed((AGGREGATE, "(each * mask).sum() / 8")), "dr_grpo", "times 6"),
    "sequence mean called a token mean": (
        changed((AGGREGATE, "((each * mask).sum(1) / mask.sum(1)).mean()")), "dapo", "which is not dapo"),
    "empty rows divided by 0": (
        changed((AGGREGATE, "((each * mask).sum(1) / mask.sum(1)).mean()")), "grpo", "law of empty rows"),
    "loss not negated": (changed(("-surrogate", "surrogate")), "dapo", "law of on policy: the gradient has the wrong"),
    "maximum for minimum": (changed(("np.minimum", "np.maximum")), "dapo", "agrees with no known convention"),
    "ratio upside down": (changed(("logp - old_logps", "old_logps - logp")), "dapo", "wrong sign"),
    "clip bounds exchanged": (changed(("1 - eps, 1 + eps", "1 + eps, 1 - eps")), "dapo",
                              "agrees with no known convention"),
    "clip range of the square": (changed(("1 - eps, 1 + eps", "(1 - eps) ** 2, (1 + eps) ** 2")), "dapo",
                                 "agrees with no known convention; nearest is"),
    "no clip": (changed(("np.clip(ratio, 1 - eps, 1 + eps)", "ratio")), "dapo", "agrees with ratio"),
    "log-ratio clipped": (changed(("np.exp(logp - old_logps)", "np.exp(np.clip(logp - old_logps, -.1, .1))")), "dapo",
                          "agrees with no known convention"),
    "KL of the reverse, k3 inverted": (changed(("d = ref_logps - logp", "d = logp - ref_logps")), "dapo",
                                       "k3 of the reverse"),
    "k1 for k3 in the loss": (changed(("(np.exp(d) - d - 1)", "-d")), "dapo", "KL in the loss k1, beta 0.04"),
    "KL subtracted": (changed(("+ beta", "- beta")), "dapo", "law of the penalty: the KL is rewarded"),
    "KL twice": (changed(("+ beta", "+ 2 * beta")), "dapo",
                 "law of its own beta: it is 0.04, and counts as 0.08"),
    "sequence ratio by the sum": (
        changed(("np.exp(logp - old_logps)", "np.exp(((logp - old_logps) * mask).sum(1, keepdims=True))")), "gspo",
        "which is not gspo"),
    "GSPO's clip at PPO's range": (
        changed(("np.exp(logp - old_logps)", "np.exp(((logp - old_logps) * mask).sum(1, keepdims=True) / mask.sum(1, "
                 "keepdims=True))"), (AGGREGATE, BY_ROW), ("=0.04", "=0")), "gspo",
        "gspo, range 0.8 to 1.2"),
    "CISPO's ratio differentiated": (changed(("np.minimum(ratio * A, np.clip(ratio, 1 - eps, 1 + eps) * A)",
                                              "np.clip(ratio, 0, 5) * A * logp")), "cispo", "agrees with no known"),
    "dual clip for every sign": (changed(
        ("d = ref_logps - logp", "surrogate = np.maximum(surrogate, 3 * A); d = ref_logps - logp")), "dual_clip",
        "agrees with no known convention"),
    "advantages whitened in the loss": (changed((TAKEN, "A = (advantages - advantages.mean())[:, None]")), "dapo",
                                        "law of on policy: at pi = pi_old the gradient is no multiple"),
    "advantages squashed": (changed(("A = advantages[:, None]", "A = np.tanh(advantages)[:, None]")), "dapo",
                            "law of scale"),
    "first row as the baseline": (changed((TAKEN, "A = (advantages - advantages[0])[:, None]")), "dapo",
                                  "law of the order"),
    "token means anew for each half": (changed(), "dapo", "note: weights are made anew for each micro-batch"),
    "a given weight made anew": (renormalised, "ppo_clip", "law of micro-batches"),
    "0 times inf": (changed(), "dapo", "note: -inf under the mask in"),
    "gradient 1.001 times": (wrong_factor, "ppo_clip", "law of the derivative"),
    "double precision only": (only_double, "ppo_clip", "law of dtype: float32 fails"),
    "std with ddof 0": (advantage(f"(rewards - {MEAN}) / ({STD} + 1e-8)"), "group_advantage", "ddof 0, eps 1e-08"),
    "std of the batch": (advantage(f"(rewards - {MEAN}) / rewards.std()"), "group_advantage", "which is not group_adv"),
    "0 / 0 in a flat group": (advantage(f"(rewards - {MEAN}) / {STD}"), "group_advantage", "law of flat groups"),
    "a flat group of .1 blown up": (advantage(f"(rewards - {MEAN}) / ({STD} + 1e-30)"), "group_advantage",
                                    "law of flat groups: equal rewards of 0.1"),
    "mean with the answer itself": (advantage(f"rewards - {MEAN}"), "rloo_advantage", "which is not rloo_advantage"),
    "no mean": (advantage(f"rewards / ({STD} + 1e-8)"), "group_advantage", "law of shift"),
    "groups run the other way": (
        advantage("((r := rewards.ravel().reshape(3, 4)) - r.mean(0)).reshape(4, 3)"), "group_advantage",
        "note: rewards of one prompt change"),
    "positions in the advantage": (advantage(f"(rewards - {MEAN}) * [1, 1, 2]"), "group_advantage", "law of the order"),
    "mean less reward": (advantage(f"{MEAN} - rewards"), "group_advantage", "law of the sign"),
    "log(1 + exp) written out": (pair(f"np.log(1 + np.exp(-beta * {H})).mean()"), "dpo", "law of overflow"),
    "label smoothing ignored": (pair(f"softplus(-beta * {H}).mean()"), "cdpo", "which is not cdpo"),
    "pairs added": (pair(f"softplus(-beta * {H}).sum()"), "dpo", "note: every pair twice multiplies the loss by 2"),
    "reference forgotten on one side": (pair("softplus(-beta * (chosen - ref_chosen - rejected)).mean()"), "dpo",
                                        "agrees with no known convention"),
    "chosen and rejected exchanged": (pair(f"softplus(beta * {H}).mean()"), "dpo", "law of the sign"),
    "IPO's target 1/beta": (pair(f"(({H} - 1 / beta) ** 2).mean()"), "ipo",
                            "law of its own beta: it is 0.1, and counts as 0.05"),
    "likelihood added": (pair(f"softplus(-beta * {H}).mean() - chosen.mean()"), "dpo",
                         "note: the loss does not see diff"),
    "a reward model without the logarithm": (scored("(1 - 1 / (1 + np.exp(rejected - chosen))).mean()"), "reward_model",
                                             "agrees with no known convention"),
    "k3 without the 1": (estimator("np.exp(ref - logp) - (ref - logp)"), "k3", "law of zero: equal policies"),
    "k1 with the wrong sign": (estimator("ref - logp"), "k1", "k1 of the reverse"),
    "k2 without the half": (estimator("(logp - ref) ** 2"), "k2", "agrees with k2, times 2"),
    "the smaller of two squares": (critic(f"(np.minimum{TWO[10:]} * mask).sum() / mask.sum() / 2"),
                                   "clipped_value_loss", "agrees with no known convention"),
    "the clipped square alone": (critic(f"((({REACH} - returns) ** 2) * mask).sum() / mask.sum() / 2"),
                                 "clipped_value_loss", "which is not clipped_value_loss"),
    "a value loss over padding": (critic(f"({TWO} * mask).mean() / 2"), "clipped_value_loss", "law of padding"),
    "a value loss without its mask": (critic("((values - returns) ** 2).sum() / mask.sum()"), "value_loss",
                                      "law of the mask: "),
    "values away from returns": (critic("-((values - returns) ** 2 * mask).sum() / mask.sum()"), "value_loss",
                                 "law of the sign: descending"),
    "returns whitened for the loss": (
        critic("((values - (returns - returns[0, 0])) ** 2 * mask).sum() / mask.sum() / 2"), "value_loss",
        "law of home: a value that equals its return"),
    "a value loss by rows, 0 / 0": (critic("(((values - returns) ** 2 * mask).sum(1) / mask.sum(1)).mean()"),
                                    "value_loss", "law of empty rows"),
    "observations as zero values": (
        gae(("np.where(mask[:, t] == 1, A[:, t], later)", "A[:, t]"), ("values[:, t], following)", "values[:, t], 0)"),
            ("- values[:, t]", "- values[:, t] * mask[:, t]")), "gae", "which is not gae"),
    "values of observations read": (gae(("np.where(mask[:, t] == 1, values[:, t], following)", "values[:, t]")), "gae",
                                    "law of the mask: the value of a token that nobody chose"),
    "advantages from the start": (gae(("reversed(range(rewards.shape[1]))", "range(rewards.shape[1])")), "gae",
                                  "law of the arrow of time"),
    "lam forgotten": (gae(("gamma * lam * later", "gamma * later")), "gae", "agrees with no known convention"),
    "advantages under the mask": (gae(("return A * mask", "return A")), "gae",
                                  "note: tokens that nobody chose have advantages, such as"),
    "whitened, unsaid": (lambda rewards, values, mask, gamma, lam: returns.whitened(
        returns.gae_over_turns(rewards, values, mask, gamma, lam), mask), "gae", "note: a reward of one answer"),
    "pass@1 for pass@k": (policy_gradient.leave_one_out_advantage, "pass_at_k", "which is not pass_at_k"),
    "pass@k with replacement": (chance("1 - (1 - c / n) ** k"), "pass_at_k",
                                "1 - (1 - c/n)^k, biased, with replacement\n    which is not pass_at_k_estimate"),
    "pass@k by a sum": (chance("k * c / n"), "pass@k", "law of chances: answers 4, right 4, k 2 give 2 where"),
    "pass@k by large integers": (chance("1 - float(math.comb(n - c, k)) / float(math.comb(n, k))"), "pass_at_k",
                                 "law of large counts: 5000 answers"),
    "k2 for a KL": (estimator("(logp - ref) ** 2 / 2"), "k2", "note: it is biased as an estimate"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_and_said(fault):
    function, like, expected = FAULTS[fault]
    found = verdict(function, like)
    assert expected in str(found), str(found)
    if "note: " not in expected and "ddof 0" not in expected and "k3 of" not in expected \
            and "KL in the loss k1" not in expected and "gspo, range" not in expected:
        assert not found.ok, str(found)


def test_what_returns_no_number_is_told_that_and_nothing_else():
    none = changed(("return (each", "return None and (each"))
    assert str(verdict(none, "dapo")) == "loss returns None; expected a number: is a return missing?"
    said = str(verdict(changed(("/ mask.sum()", "/ mask.sum() * np.nan")), "dapo"))
    assert said.startswith("the answer is nan on a plain batch") and "\n" not in said
    rows = verdict(advantage("np.where(rewards > 2, np.nan, rewards)"), "group_advantage")
    assert str(rows).startswith("the answer has nan in 3 of 12 places") and not rows.ok
    assert "returns None; expected an array" in str(verdict(advantage("None"), "group_advantage"))
    assert "returns None" in str(verdict(chance("None"), "pass_at_k"))


def test_an_aggregation_that_differs_is_named_with_both():
    said = str(verdict(changed(), "grpo"))
    assert "which is not grpo: the aggregate is token mean in the place of sequence mean" in said


@pytest.mark.parametrize("like", ["dapo", "grpo", "ppo"])
def test_a_sign_error_is_called_one_before_anything_else(like):
    said = str(verdict(changed(("return (each", "return -(each"), ("=0.04", "=0")), like))
    assert said.startswith("has the wrong sign: it is minus ppo, range 0.8 to 1.2, aggregate token mean\n"), said
    alone = str(verdict(changed(("-surrogate", "surrogate")), "dapo"))
    assert alone.startswith("has the wrong sign") and "law of the sign: the surrogate alone" in alone


def test_obvious_names_are_other_names_of_the_kinds():
    assert verdict(ppo.ppo_clip_loss, "ppo", grad=ppo.ppo_clip_grad).like == "ppo_clip"
    assert [names.kind_of(name, ["rewards"]) for name in ("RLOO", "Dr-GRPO", "pass@k", "bradley_terry")] == [
        "rloo_advantage", "dr_grpo", "pass_at_k", "reward_model"]
    assert names.SHORT.keys().isdisjoint(names.LIKE) and set(names.SHORT.values()) <= names.LIKE.keys()


def test_help_is_short_and_the_list_is_whole(capsys):
    with pytest.raises(SystemExit):
        main(["conform", "--help"])
    said = capsys.readouterr().out
    assert "losses of a policy" in " ".join(said.split()) and "luspo" not in said
    assert main(["conform", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in (*names.LIKE, *names.SHORT)) and max(map(len, listed.splitlines())) <= 125


def test_there_are_faults_enough_and_each_law_catches_one():
    assert len(FAULTS) >= 30
    caught = set()
    for function, like, _ in FAULTS.values():
        kind, _ = names.LIKE[names.kind_of(like, inspect.signature(function).parameters)]
        from rlscratch.conformance.candidates import Candidate
        contract = contracts.CONTRACTS[kind]
        with np.errstate(all="ignore"):
            caught |= {(kind, law) for law, _ in laws.breaches(Candidate(function, contract), kind, contract.batch())}
    laws_there_are = {(kind, law.__name__) for kind, each in laws.LAWS.items() for law in each}
    differentiated = {("pairs", "derivative"), ("pairs", "single_precision"), ("kl", "derivative"),
                      ("kl", "single_precision"), ("value", "derivative"), ("value", "single_precision"),
                      ("value", "order")}                    # one law in several contracts: caught in the first
    assert laws_there_are - differentiated <= caught


def test_the_verdict_names_factors_by_row_where_rows_alone_differ():
    function = changed((AGGREGATE, "((each * mask).sum(1) / mask.sum(1).clip(1) ** .5).mean()"), ("=0.04", "=0"))
    assert "the gradient of each row times (its length)" in str(verdict(function, "grpo"))


# ---------------------------------------------------------------- the oracle

def test_the_oracle_names_what_a_loss_ascends():
    exact = oracle(grpo.grpo_loss, grad=grpo.grpo_grad)
    assert_allclose(exact.cosine, 1, atol=1e-12)
    k3 = oracle(changed(("=0.2", "=0.2")))
    assert k3.left < 1e-6 and abs(k3.parts["grad KL(ref || pi) by prefix"] / k3.parts["grad J"] - .04) < 1e-6
    through = oracle(changed(("+ beta *", "+ beta * ratio *")))
    beta = through.parts["grad KL(pi || ref) by prefix"] / through.parts["grad J"]
    assert through.left < 1e-6 and abs(beta - .04) < 1e-6
    assert "ascends 0.5 (grad J - 0.04 grad KL(pi || ref) by prefix)" in str(through)


def test_the_oracle_sees_the_std_turn_the_step_and_another_sampler_bias_it():
    z = oracle(RIGHT["rewards"][0], size=3)
    assert .9 < z.cosine < .999 and z.left > 1e-3 and "no sum of these" in str(z)
    assert oracle(grpo.grpo_loss, world(off_policy=True), grad=grpo.grpo_grad).left > 1e-3


# ---------------------------------------------------------------- cases, doors

@pytest.mark.parametrize("kind", contracts.CONTRACTS)
def test_the_cases_are_what_the_formulas_give_today(kind):
    whole, arrays = cases.table(kind)
    kept, stored = cases.read(kind)
    assert json.loads(json.dumps(whole)).keys() == kept.keys() and stored.keys() == arrays.keys()
    assert [row["tags"] for row in whole["cases"]] == [row["tags"] for row in kept["cases"]]
    for name, array in arrays.items():
        assert_allclose(stored[name], array, rtol=1e-12, atol=1e-15)
    for ours, theirs in zip(whole["cases"], kept["cases"], strict=True):
        if not isinstance(ours["value"], str):
            assert_allclose(theirs["value"], ours["value"], rtol=1e-12)


def test_the_command_writes_the_cases_and_examines_a_file(tmp_path, capsys):
    assert main(["conform", "--write-cases", str(tmp_path / "cases")]) == 0
    assert len(list((tmp_path / "cases").iterdir())) == 2 * len(contracts.CONTRACTS)
    (tmp_path / "mine.py").write_text(LOSS, "utf-8")
    begin = time.perf_counter()
    assert main(["conform", f"{tmp_path}/mine.py:loss", "--as", "dapo", "--oracle"]) == 0
    assert time.perf_counter() - begin < 10
    out = capsys.readouterr().out
    assert "agrees with ppo, range 0.8 to 1.2, aggregate token mean, KL in the loss k3, beta 0.04" in out
    assert "on policy: ascends 0.5 (grad J - 0.04 grad KL(ref || pi) by prefix)" in out
    assert main(["conform", f"{tmp_path}/mine.py:loss", "--as", "dapo", "--set", "eps=0.3"]) == 0
    assert "range 0.7 to 1.3" in capsys.readouterr().out
    assert main(["conform", f"{tmp_path}/mine.py:loss", "--as", "grpo"]) == 1


@pytest.mark.parametrize(("argv", "message"), [
    ([], "function is missing; expected FILE.py:name, the function to examine"),
    (["mine.py:loss"], "--as is missing; expected one of cdpo, "),
    (["mine.py", "--as", "grpo"], "function is 'mine.py'; expected FILE.py:name or package.module:name"),
    (["absent.py:loss", "--as", "grpo"], "function is 'absent.py:loss'; expected a file that is there"),
    (["mine.py:gone", "--as", "grpo"], "function is 'mine.py:gone'; expected a name that mine.py has"),
    (["mine.py:odd", "--as", "grpo"], "arguments whose names are known; banana is not: give names="),
    (["mine.py:odd", "--as", "grpo", "--names", "banana=new_logps"], "the name given for banana is 'new_logps'; expe"),
    (["mine.py:none", "--as", "grpo"], "expected a function with an argument for logp, found by its name"),
    (["mine.py:loss", "--as", "grpo", "--names", "x"], "--names is 'x'; expected NAME=VALUE"),
    (["mine.py:fails", "--as", "grpo"], "function fails fails on a plain batch: KeyError: 'oh'"),
])
def test_bad_arguments_are_named(argv, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(LOSS + "\ndef odd(logp, banana): ...\ndef none(mask): ...\n"
                                      "def fails(logp): raise KeyError('oh')\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["conform", *argv]) == 2
    assert message in capsys.readouterr().err


def test_names_of_arguments_can_be_given(tmp_path):
    function = eval("lambda x, y, m, A: -((np.exp(x - y) * A[:, None]) * m).sum() / m.sum()", {"np": np})
    found = verdict(function, "ppo_clip", names={"x": "logp", "y": "logp_old", "m": "mask", "A": "advantage"})
    assert str(found).startswith("agrees with ratio, aggregate token mean")


def test_log_probabilities_are_known_in_every_spelling():
    for theirs in ("new_logps", "logprobs", "new_log_probs", "newLogProbs", "log_prob", "per_token_logps"):
        assert names.named(theirs) == "logp", theirs
    for theirs in ("old_logps", "sampler_log_probs", "old_log_probabilities", "old_per_token_logps"):
        assert names.named(theirs) == "logp_old", theirs
    assert names.named("policy_chosen_logps") == "chosen" and names.named("logpower") is None


def test_values_beside_predictions_are_those_of_before():
    function = eval("lambda vpreds, returns, values, mask: (np.maximum((vpreds - returns) ** 2, (np.clip(vpreds, "
                    "values - .5, values + .5) - returns) ** 2) * mask).sum() / mask.sum() / 2", {"np": np})
    found = verdict(function, "clipped_value_loss")
    assert found.ok and "half the square, form larger, reach 0.5, aggregate token mean" in str(found)


def test_the_plugin_makes_two_tests(tmp_path):
    (tmp_path / "losses.py").write_text(LOSS, "utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\npythonpath = ['.']\n", "utf-8")
    code = "import pytest, sys; [print('status', int(pytest.main([*sys.argv[1:], *like]))) for like in (%s)]"
    run = [sys.executable, "-c", code % "['--as', 'dapo'], ['--as', 'grpo'], []", "-q", "-p", "no:cacheprovider",
           "--rlscratch-conformance", "losses:loss"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    right, other, nothing, _ = re.split(r"(?<=status \d)\n", done.stdout)
    assert "2 passed" in right and right.endswith("status 0"), done.stdout + done.stderr
    assert "1 failed, 1 passed" in other and "which is not grpo" in other and other.endswith("status 1")
    assert "ERROR: --rlscratch-conformance: like is None; expected one of" in done.stderr + nothing
    assert nothing.endswith("status 4")


def test_a_package_s_function_is_found_by_its_dotted_name():
    assert loaded("rlscratch.formulas.grpo:grpo_loss") is grpo.grpo_loss
    assert inspect.isfunction(loaded("rlscratch.formulas.weights:token_mean")) and weights.token_mean


def test_a_file_that_cannot_be_imported_and_a_framework_that_is_not_there_are_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.py").write_text("import nothing_of_that_name\n")
    assert main(["conform", f"{tmp_path / 'mine.py'}:loss", "--as", "grpo"]) == 2
    assert "expected a file that can be imported; ModuleNotFoundError: No module" in capsys.readouterr().err
    monkeypatch.setattr("rlscratch.conformance.command.find_spec", lambda name: None)
    assert main(["conform", f"{tmp_path / 'mine.py'}:loss", "--as", "grpo", "--framework", "torch"]) == 2
    assert "--framework is 'torch'; expected numpy, or an installed framework" in capsys.readouterr().err
