"""Expert iteration: what a score is worth without a gradient of it.

Best-of-N draws N answers and gives the one with the highest score (formulas.best_of_n).  Expert iteration makes that
choice the teacher.  Each step:

    P prompts, G answers to each from the policy, and their scores
    of each group the best `kept`, as far as they earn more than its mean; a flat group has none
    one step of supervised fine-tuning on them, each of their N tokens with weight 1/N

Only differences within a group count, as in GRPO, and P G answers a step cost the same; but how much better an answer
is does not matter, and from a bad one nothing is learned.  With rewards of 0 and 1 and kept = G this is REINFORCE
on the groups that are not flat, without the failures.

Source: Anthony et al. 2017, arXiv:1705.08439.  The documents do not have it.
Leaves out: N that differs by prompt; starting each round from the first policy again.
"""
from collections.abc import Sequence

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import kl
from rlscratch.formulas.cross_entropy import cross_entropy_grad, cross_entropy_loss
from rlscratch.formulas.weights import token_mean
from rlscratch.optim import AdamW
from rlscratch.train import settings
from rlscratch.train.language import grpo
from rlscratch.train.language.evaluation import held_out
from rlscratch.train.language.method import LanguageMethod, Learner, Stages, judges, optimizer_of
from rlscratch.train.language.policy import Batch, Policy, Score, backpropagate, copied, descend, outputs
from rlscratch.train.language.worlds import NAMES, World
from rlscratch.train.on_policy import deviation
from rlscratch.train.settings import Choice
from rlscratch.transformer import Transformer


def step(policy: Policy, reference: Transformer, optimizer: AdamW, score: Score, prompts: Sequence[str],
         rng: np.random.Generator, *, groups: int, group: int, kept: int = 1,
         gold: Score | None = None) -> dict[str, float]:
    """One update on what is kept of P = groups prompts with G = group answers each; its figures.

    reference  for `kl`, how far the policy has gone from it; it holds nothing back
    score      a batch -> its rewards
    prompts    to draw from, each once if there are enough
    group      >= 2
    kept       answers of a group, at most
    gold       as in grpo.step

    Where nothing is kept there is no update.  Raises as grpo.step does.
    """
    check.integer(1, groups=groups, kept=kept)
    check.integer(2, group=group)
    batch, rewards, figures = grpo.collect(policy, score, prompts, rng, groups, group, gold=gold)
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
    rows, weight = batch.rows, token_mean(batch.rows.mask)

    def seeds(part: slice, said: dict[str, Array]) -> dict[str, Array]:
        return {"logp": cross_entropy_grad(said["logp"], weight[part])}

    optimizer.zero_grad()
    said = backpropagate(policy.model, rows, seeds, temperature=policy.temperature)
    off = deviation(said["logp"], batch.logp, rows.mask)
    return {"loss": cross_entropy_loss(said["logp"], weight), "gradient_norm": descend(optimizer),
            "ratio_deviation": off}


# ---------------------------------------------------------------- the method

def begin(world: World, rng: np.random.Generator, stages: Stages, *, lr: float, groups: int, group: int, kept: int,
          temperature: float) -> Learner:
    """The fine-tuned policy twice: to train, and to measure how far it goes."""
    model, reference = copied(stages.policy.model), copied(stages.policy.model)
    policy = Policy(model, stages.policy.chat, world.recipe.max_new_tokens, temperature, world.task.tool)
    optimizer, (score, gold) = optimizer_of(model, lr), judges(world, stages)

    def one() -> dict[str, float]:
        return step(policy, reference, optimizer, score, world.task.prompts, rng, groups=groups, group=group,
                    kept=kept, gold=gold)

    return Learner(model, optimizer, rng, policy.chat, one,
                   lambda: held_out(policy, world, reference=reference, proxy=stages.reward_model), policy)


# Rollouts are the budget: as many prompts, answers and steps as GRPO has, whatever is chosen there.
CHOICES = (
    Choice("lr", {"": 1e-3}, "largest step size", check.positive),
    Choice("kept", {"": 1}, "answers of a group that are learned from, at most", settings.at_least_1),
    *(choice.of_text() for choice in grpo.CHOICES if choice.name in ("groups", "group", "temperature")),
)
METHOD = LanguageMethod("expert-iteration", NAMES, CHOICES, grpo.METHOD.steps, begin, ("sft", "reward-model"))
