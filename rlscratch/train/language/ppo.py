"""PPO on a transformer: an actor, a critic in the same network, and a KL penalty that holds it near its reference.

Each step:

    B prompts, an answer each from pi_old; its score on its last token                  (a task, or a reward model)
    log-probabilities and values of all tokens in one pass; A_t by GAE; the critic's targets A_t + V_t
    for each epoch, the answers in a new random order, cut into minibatches:
        seeds <- ppo_clip_grad in logp, value_grad in the values, the entropy bonus' gradient
        one walk back for all of them, one step of the optimiser
    no further epoch once the mean k3 of KL(pi_old || pi), per token, exceeded target_kl in the last one (0: never);
        each minibatch measures it before its own step

The KL penalty.  KL(pi || ref) of an answer is the sum over its tokens, in nats.  Where it counts is a choice:

    k1-reward   r_t = - beta (logp_t - logp_ref_t), and the score on top of the last token's.  The critic sees it, and
                at lambda 1, not whitened, the gradient is that of E[R] - beta KL
    k2-loss     beta k2_t in the loss: the gradient of each token's KL(pi || ref) where pi is what was sampled from
    k3-loss     beta k3_t in the loss, GRPO's: its gradient is that of each token's KL(ref || pi)

In the reward a token is also charged for the KL of the tokens after it.  In the loss it is charged for its own alone,
and what stands before it is held fixed.  formulas.kl has the derivations.  k2 and k3 in the reward are not offered:
they are no penalties, since near pi = ref they push away from it in some directions.

beta is fixed, or it follows a target: formulas.kl.adaptive_beta, with gain .2, moves it by at most 4% per step.

Whitening divides the advantages of a batch by their standard deviation, however small it is.  When all answers earn
the same, only the critic's error is left, and whitening makes it as large as a real advantage.  So a long run may
lose a task that it has solved.  Without whitening the step shrinks as the advantages do.

Too large a step size cannot be mended.  On preferences with lr 1e-3 most runs are stable, and one left its reference
within ten steps.  Rare tokens have a large k1, so the critic's error grows with the KL.  Policy and critic share one
gradient that is cut to max_norm: the critic's part fills it, and the part that leads back to the reference is lost.
Hence the smaller default there.

One token is one step of the MDP: gamma is 1, and the last token terminates, whether it is the end or the longest
answer's last.  Values and policy share all but their heads; value_weight says how loud the critic is.

Source: document 002, "PPO Steps" and the phase of RLHF; document 004, 1.5.2; Ziegler et al. 2019, arXiv:1909.08593
        (KL in the reward, adaptive beta); Ouyang et al. 2022, arXiv:2203.02155.
Leaves out: a critic of its own; mixing in the gradient of pre-training (InstructGPT's ptx).
"""
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import grpo, kl, ppo, returns, weights
from rlscratch.optim import AdamW
from rlscratch.train import settings
from rlscratch.train.language.chat import Rows, texts
from rlscratch.train.language.evaluation import held_out
from rlscratch.train.language.method import LanguageMethod, Learner, Stages, judges, optimizer_of
from rlscratch.train.language.policy import (
    Batch,
    Experience,
    Objective,
    Policy,
    Score,
    copied,
    outputs,
    scored,
    surprise,
    update,
)
from rlscratch.train.language.worlds import NAMES, World
from rlscratch.train.on_policy import deviation
from rlscratch.train.settings import Choice
from rlscratch.train.variants import by_name
from rlscratch.transformer import Transformer

# The gradient in logp by where the KL counts: in the reward, then the surrogate is all; or in the loss.
KL_PENALTIES = {"k1-reward": ppo.ppo_clip_grad, "k2-loss": partial(grpo.grpo_clip_grad, estimator="k2"),
                "k3-loss": grpo.grpo_clip_grad}
GAIN = 0.2              # of the controller of beta


def step(policy: Policy, reference: Transformer, optimizer: AdamW, score: Score, prompts: Sequence[str],
         rng: np.random.Generator, *, batch: int, beta: float, kl_penalty: str, lam: float, whiten: bool,
         gold: Score | None = None, **options: Any) -> dict[str, float]:
    """One update: a batch and its epochs; its figures.

    policy      its model has a value head
    reference   the frozen model that the KL is measured from
    score       a batch -> its rewards
    prompts     to draw from, each once if there are enough
    batch       how many are drawn
    beta        >= 0, units of reward a nat
    kl_penalty  one of KL_PENALTIES
    lam         lambda of GAE, in [0, 1]
    whiten      whether the advantages of a batch get mean 0 and standard deviation 1
    gold        a batch -> the rewards that `score` stands for; a figure that training never reads
    options     of `learn`

    Raises ValueError or TypeError, before anything is drawn, for numbers out of range and for no prompts; RewardError
    for rewards that will not do; RuntimeError, before the policy changes, for ratios that do not begin at 1.
    """
    prompts = texts("prompts", prompts)
    _checked(batch=batch, beta=beta, kl_penalty=kl_penalty, lam=lam, whiten=whiten, **options)
    chosen = rng.choice(len(prompts), batch, replace=len(prompts) < batch)
    answers = policy.answer([prompts[i] for i in chosen], rng)
    found, figures = experience(policy, reference, answers, scored(score, answers), beta=beta, kl_penalty=kl_penalty,
                                lam=lam, whiten=whiten)
    if gold is not None:
        figures["gold"] = gold(answers).mean().item()
    return figures | learn(policy, optimizer, found, rng, kl_penalty=kl_penalty, beta=beta, **options)


def _checked(*, batch: int, beta: float, kl_penalty: str, lam: float, whiten: bool, epochs: int, minibatches: int,
             clip: float, value_clip: float, value_weight: float, entropy: float, target_kl: float,
             max_norm: float = 1.0) -> None:
    check.integer(1, batch=batch, epochs=epochs, minibatches=minibatches)
    check.between(0, 1, lam=lam, clip=clip)
    check.non_negative(beta=beta, value_clip=value_clip, value_weight=value_weight, entropy=entropy,
                       target_kl=target_kl)
    check.positive(max_norm=max_norm)
    check.one_of(tuple(KL_PENALTIES), kl_penalty=kl_penalty)
    check.one_of((False, True), whiten=whiten)


def experience(policy: Policy, reference: Transformer, answers: Batch, scores: Array, *, beta: float, kl_penalty: str,
               lam: float, whiten: bool) -> tuple[Experience, dict[str, float]]:
    """What the epochs need of answers and their scores (B,), and the figures of the batch.  Arguments as in step."""
    rows = answers.rows
    before = outputs(policy.model, rows, policy.temperature, ("logp", "value"))
    off = deviation(before["logp"], answers.logp, rows.mask)
    logp_ref = outputs(reference, rows, policy.temperature)["logp"]
    divergence = kl.kl_k1(answers.logp, logp_ref)
    rewards = on_the_last_token(rows, scores)
    if kl_penalty == "k1-reward":
        rewards = rewards - beta * divergence
    advantage = advantages(rows, rewards, before["value"], lam)
    figures = {"reward": scores.mean().item(), "kl": divergence.sum(axis=1).mean().item(), "beta": beta,
               "entropy": surprise(answers), "cut": answers.cut.mean().item(),
               "answer_length": answers.tokens / len(answers), "tokens": answers.tokens, "ratio_deviation": off}
    return Experience.of(answers, logp_ref, returns.whitened(advantage, rows.mask, ddof=0) if whiten else advantage,
                         values_old=before["value"], value_target=advantage + before["value"]), figures


def on_the_last_token(rows: Rows, scores: Array) -> Array:
    """(B, T): each answer's score (B,) where its last token stands, whether that is the end or it was cut there."""
    rewards = np.zeros(rows.mask.shape)
    rewards[np.arange(len(rewards)), rows.lengths - 1] = scores
    return rewards


def advantages(rows: Rows, rewards: Array, values: Array, lam: float) -> Array:
    """GAE over the chosen tokens of each answer, (B, T), gamma 1; the last one terminates, a tool's result is skipped.

    rewards  (B, T)  r_t of each token
    values   (B, T)  V_t before the token is chosen; both 0 where the mask is
    lam      in [0, 1]
    """
    return returns.gae_over_turns(rewards, values.astype(float), rows.mask, 1.0, lam)


def learn(policy: Policy, optimizer: AdamW, found: Experience, rng: np.random.Generator, *, epochs: int,
          minibatches: int, target_kl: float, clip: float, max_norm: float = 1.0, **losses: Any) -> dict[str, float]:
    """The epochs; what happened in them.

    epochs        passes over the answers, at most
    minibatches   parts of a pass, a step of the optimiser each
    target_kl     >= 0       KL from pi_old, nats per token, after which no epoch follows; 0: never
    max_norm      > 0        of the gradient of a step
    clip, losses  of `objective`

    Returns the mean norm of the gradients, the share of tokens that the clip took out of them, the epochs made, and
    the KL from pi_old in the last one.  `step` checks the arguments.
    """
    wanted = ("logp", "value", *(["entropy"] if losses["entropy"] else []))
    norms, seen = [], []
    made, moved, count = 0, 0.0, len(found)
    while made < epochs and not 0 < target_kl < moved:
        parts = np.array_split(rng.permutation(count), min(minibatches, count))
        for part in parts:
            now = found.at(part)
            now = replace(now, weight=weights.token_mean(now.rows.mask))
            norm, said = update(policy.model, optimizer, now.rows, objective(now, clip=clip, **losses),
                                temperature=policy.temperature, wanted=wanted, max_norm=max_norm)
            norms.append(norm)
            clipped = ppo.clip_fraction(said["logp"], now.logp_old, now.advantage, now.rows.mask, clip, clip)
            seen.append((kl.kl_k3(now.logp_old, said["logp"]).sum() / now.tokens, clipped, now.tokens))
        made, moved = made + 1, _mean(seen[-len(parts):], 0)
    return {"gradient_norm": float(np.mean(norms)), "clip_fraction": _mean(seen, 1), "epochs_made": made,
            "kl_from_old": moved}


def objective(now: Experience, *, kl_penalty: str, beta: float, clip: float, value_clip: float, value_weight: float,
              entropy: float) -> Objective:
    """dL/dlogp, dL/dvalue and dL/dentropy at the rows of a minibatch, from what the model says of them.

    kl_penalty, beta  as in step
    clip          in [0, 1]  the ratio counts within [1 - clip, 1 + clip]
    value_clip    >= 0       values count within so much of the old ones, in units of reward; 0: no limit
    value_weight  >= 0       how much the critic's loss counts
    entropy       >= 0       how much the entropy counts, in units of advantage a nat
    """
    def seeds(part: slice, said: dict[str, Array]) -> dict[str, Array]:
        weight = now.weight[part]
        near = {"values_old": now.values_old[part], "clip": value_clip} if value_clip else {}
        dlogp = by_name(KL_PENALTIES[kl_penalty], logp=said["logp"], logp_old=now.logp_old[part],
                        logp_ref=now.logp_ref[part], advantage=now.advantage[part], weight=weight, eps_low=clip,
                        eps_high=clip, beta=beta)
        dvalue = value_weight * ppo.value_grad(said["value"], now.value_target[part], weight, **near)
        return {"logp": dlogp, "value": dvalue} | ({"entropy": -entropy * weight} if entropy else {})

    return seeds


def _mean(seen: list[tuple[float, float, float]], column: int) -> float:
    """Of figures per token in minibatches with so many tokens, the last column."""
    table = np.array(seen)
    return np.average(table[:, column], weights=table[:, -1]).item()


# ---------------------------------------------------------------- the method

def begin(world: World, rng: np.random.Generator, stages: Stages, *, lr: float, beta: float, kl_target: float,
          temperature: float, **options: Any) -> Learner:
    """The fine-tuned policy twice: to train, with a new head for values, and as the frozen reference."""
    model, reference = copied(stages.policy.model, world.stream("value head")), copied(stages.policy.model)
    policy = Policy(model, stages.policy.chat, world.recipe.max_new_tokens, temperature, world.task.tool)
    optimizer, (score, gold), facts = optimizer_of(model, lr), judges(world, stages), {"beta": beta}

    def one() -> dict[str, float]:
        figures = step(policy, reference, optimizer, score, world.task.prompts, rng, beta=facts["beta"], gold=gold,
                       **options)
        if kl_target:
            facts["beta"] = kl.adaptive_beta(facts["beta"], figures["kl"], kl_target, GAIN)
        return figures

    return Learner(model, optimizer, rng, policy.chat, one,
                   lambda: held_out(policy, world, reference=reference, proxy=stages.reward_model), policy, facts)


def agree(*, beta: float, kl_target: float, **others: object) -> None:
    """Raise ValueError for a target that beta cannot be steered to: what is multiplied must not be 0."""
    if kl_target:
        check.positive(beta=beta, called="beta with a kl_target")


CHOICES = (
    *settings.PPO, settings.TEMPERATURE,
    Choice("batch", {"": 256}, "prompts of each update, an answer to each", settings.at_least_1),
    Choice("value_clip", {"": 0.0}, "values count within so much of the old ones; 0: no limit", check.non_negative),
    Choice("value_weight", {"": 0.1}, "how much the critic's loss counts", check.non_negative),
    Choice("beta", {"": 0.05, "preferences": 0.3}, "price of a nat from the reference, in units of reward",
           check.non_negative),
    Choice("kl_target", {"": 0.0, "preferences": 1.6}, "nats per answer that beta is steered to; 0: beta stays",
           check.non_negative),
    Choice("kl_penalty", {"": "k1-reward"}, "where the KL counts", options=tuple(KL_PENALTIES)),
)
METHOD = LanguageMethod("ppo", NAMES, CHOICES, {"": 100, "preferences": 150}, begin, ("sft", "reward-model"),
                        agree=agree)
