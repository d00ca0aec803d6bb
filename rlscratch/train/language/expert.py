"""Best-of-N and expert iteration: what a score is worth without a gradient of it.

Best-of-N draws N answers and gives the one with the highest score.  The policy stays as it is, and yet the answers
come from another distribution.  Let F(y) be the chance of an answer that scores at most what y does, and F(y-) of one
that scores less.  Where no two answers have the same score, y is the best of N with the chance

    F(y)^N - F(y-)^N                                                                           (1)

If no answer is likely to come twice, u = F is uniform on (0, 1) and the density of the best is N u^(N-1), so

    KL(best of N || policy) = int_0^1 N u^(N-1) log( N u^(N-1) ) du = log N - (N - 1) / N      (2)

by int_0^1 N u^(N-1) log u du = -1/N.  Where answers do come twice, or scores tie, (2) is an upper bound: 1.835 nats
for N = 16.  It is the yardstick for every policy that was trained against the same score: who is as far away
should have gained as much.

Expert iteration makes the choice the teacher.  Each step:

    P prompts, G answers to each from the policy, and their scores
    of each group the best `kept`, as far as they earn more than its mean; a flat group has none
    one step of supervised fine-tuning on them, each of their N tokens with weight 1/N

Only differences within a group count, as in GRPO, and P G answers a step cost the same; but how much better an answer
is does not matter, and from a bad one nothing is learned.  With rewards of 0 and 1 and kept = G this is REINFORCE
on the groups that are not flat, without the failures.

Source: Stiennon et al. 2020, arXiv:2009.01325 (2); Beirami et al. 2024, arXiv:2401.01879 (the bound); Anthony
        et al. 2017, arXiv:1705.08439 (expert iteration).  The documents have neither.
Leaves out: N that differs by prompt; starting each round from the first policy again.
"""
import math
from collections.abc import Sequence

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import kl
from rlscratch.formulas.cross_entropy import cross_entropy_grad, cross_entropy_loss
from rlscratch.formulas.weights import token_mean
from rlscratch.optim import AdamW
from rlscratch.train.choices import Choice
from rlscratch.train.language import grpo
from rlscratch.train.language.measure import held_out
from rlscratch.train.language.method import Learner, Method, Stages, optimizer_of, watched
from rlscratch.train.language.policy import Batch, Policy, Score, copied, deviation, outputs, scored, update
from rlscratch.train.language.worlds import NAMES, World
from rlscratch.transformer import Transformer

# ---------------------------------------------------------------- best of N, for measuring

def divergence(n: int) -> float:
    """Equation (2), nats.

    >>> round(divergence(16), 4)
    1.8351
    """
    return math.log(check.integer(1, n=n)) - (n - 1) / n


def best_of(policy: Policy, score: Score, prompts: Sequence[str], n: int, rng: np.random.Generator,
            ) -> tuple[Batch, Array]:
    """The best by score of n answers to each prompt, the first among equals, and the scores (B,).

    score  a batch -> its rewards
    """
    check.integer(1, n=n)
    batch = policy.answer([prompt for prompt in prompts for _ in range(n)], rng)
    scores = scored(score, batch).reshape(len(prompts), n)
    best = scores.argmax(axis=1)
    return batch.at(best + n * np.arange(len(prompts))), scores.max(axis=1)


# ---------------------------------------------------------------- expert iteration

def step(policy: Policy, reference: Transformer, optimizer: AdamW, score: Score, prompts: Sequence[str],
         rng: np.random.Generator, *, groups: int, group: int, kept: int = 1) -> dict[str, float]:
    """One update on what is kept of P = groups prompts with G = group answers each; its figures.

    reference  for `kl`, how far the policy has gone from it; it holds nothing back
    score      a batch -> its rewards
    prompts    to draw from, each once if there are enough
    group      >= 2
    kept       answers of a group, at most

    Where nothing is kept there is no update.  Raises as grpo.step does.
    """
    check.integer(1, groups=groups, kept=kept)
    check.integer(2, group=group)
    batch, rewards, figures = grpo.collect(policy, score, prompts, rng, groups, group)
    logp_ref = outputs(reference, batch.rows, policy.temperature)["logp"]
    chosen = better(rewards, kept)
    figures |= {"kl": kl.kl_k1(batch.logp, logp_ref).sum(axis=1).mean().item(), "cut": batch.cut.mean().item(),
                "answer_length": batch.tokens / len(batch), "kept": len(chosen) / len(batch)}
    if not len(chosen):
        return figures | {"loss": 0.0, "gradient_norm": 0.0, "ratio_deviation": 0.0}
    return figures | _imitate(policy, optimizer, batch.at(chosen))


def better(rewards: Array, kept: int) -> Array:
    """The places, among the P G answers, of the best `kept` of each group that earn more than its mean.

    rewards  (P, G)

    >>> better([[0.0, 3.0, 1.0, 2.0], [1.0, 1.0, 1.0, 1.0]], kept=3).tolist()      # the mean is 1.5; and a flat group
    [1, 3]
    """
    rewards = check.array(ndim=2, rewards=rewards)
    order = np.argsort(-rewards, axis=1, kind="stable")[:, :check.integer(1, kept=kept)]
    # The mean of equal numbers may be rounded to below them, so a flat group is asked for by its extremes.
    differ = rewards.max(axis=1, keepdims=True) > rewards.min(axis=1, keepdims=True)
    above = differ & (rewards > rewards.mean(axis=1, keepdims=True))
    places = order + rewards.shape[1] * np.arange(len(rewards))[:, None]
    return places[np.take_along_axis(above, order, axis=1)]


def _imitate(policy: Policy, optimizer: AdamW, batch: Batch) -> dict[str, float]:
    """The update; loss in nats per token."""
    rows, losses, off = batch.rows, [], []
    weight = token_mean(rows.mask)

    def objective(part: slice, found: dict[str, Array]) -> dict[str, Array]:
        off.append(deviation(found["logp"], batch.logp[part], rows.mask[part]))
        losses.append(cross_entropy_loss(found["logp"], weight[part]))
        return {"logp": cross_entropy_grad(found["logp"], weight[part])}

    norm = update(policy.model, optimizer, rows, objective, temperature=policy.temperature)
    return {"loss": sum(losses), "gradient_norm": norm, "ratio_deviation": max(off)}


# ---------------------------------------------------------------- the method

def begin(world: World, rng: np.random.Generator, stages: Stages, *, lr: float, groups: int, group: int, kept: int,
          temperature: float) -> Learner:
    """The fine-tuned policy twice: to train, and to measure how far it goes."""
    model, reference = copied(stages.policy.model), copied(stages.policy.model)
    policy = Policy(model, stages.policy.chat, world.recipe.max_new_tokens, temperature)
    optimizer, (score, beside) = optimizer_of(model, lr), watched(world, stages)

    def one() -> dict[str, float]:
        return step(policy, reference, optimizer, score, world.task.prompts, rng, groups=groups, group=group,
                    kept=kept) | beside

    return Learner(model, optimizer, rng, policy.chat, one,
                   lambda: held_out(policy, world, reference=reference, proxy=stages.reward_model), policy)


# Rollouts are the budget: as many prompts, answers and steps as GRPO has, whatever is chosen there.
CHOICES = (
    Choice("lr", {"": 1e-3}, "largest step size", check.positive),
    Choice("kept", {"": 1}, "answers of a group that are learned from, at most", lambda **n: check.integer(1, **n)),
    *(choice for choice in grpo.CHOICES if choice.name in ("groups", "group", "temperature")),
)
METHOD = Method("expert-iteration", NAMES, CHOICES, grpo.METHOD.steps, begin, ("sft", "reward-model"))
