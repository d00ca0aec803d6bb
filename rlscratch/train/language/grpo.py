"""GRPO on a transformer: groups of answers to one prompt, and no critic.

Each step:

    P prompts, G answers to each from pi_old, and their rewards
    A_i compares an answer with its group                        (variants: z-score, centred, leave-one-out)
    for each epoch, the answers in a new random order, cut into minibatches:
        logp <- the model's forward pass                         (policy.forward)
        seed <- the variant's gradient in logp                   (formulas.grpo)
        logp.backward(seed), one step of the optimiser           (policy.backpropagate, policy.descend)

All tokens of an answer share its A.  The reward is a task's own function, or a reward model.

What the stages want imitated beside it, as PPO-ptx does, adds its gradient before the step (sft.beside).

On the first minibatch every ratio is 1, and clipping starts with the second.  With one epoch and one minibatch,
the default, all variants but for advantage, weight and KL are REINFORCE.

An answer whose advantage is 0 has gradient 0 if there is no KL in the loss, so it is not passed through
the model; and equal answers of a group pass through it once, with the weight of all.  As a policy gets good most
groups are flat, the others hold few answers that differ, and a step costs little more than its rollouts.

Source: document 002, GRPO steps 1-4; DeepSeekMath, arXiv:2402.03300; variants has the others.
Leaves out: rewards for parts of an answer.
"""
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import kl
from rlscratch.optim import AdamW
from rlscratch.train import settings, variants
from rlscratch.train.language.chat import texts
from rlscratch.train.language.evaluation import held_out
from rlscratch.train.language.method import Beside, LanguageMethod, Learner, Stages, judges, optimizer_of
from rlscratch.train.language.policy import (
    Batch,
    Experience,
    Objective,
    Policy,
    Score,
    backpropagate,
    copied,
    descend,
    outputs,
    scored,
    surprise,
)
from rlscratch.train.language.worlds import NAMES, World
from rlscratch.train.on_policy import deviation
from rlscratch.train.settings import Choice
from rlscratch.train.variants import REDRAWS, Variant, flat_groups
from rlscratch.transformer import Transformer


def step(policy: Policy, reference: Transformer, optimizer: AdamW, score: Score, prompts: Sequence[str],
         rng: np.random.Generator, *, variant: Variant, groups: int, group: int, epochs: int = 1, minibatches: int = 1,
         max_norm: float = 1.0, gold: Score | None = None, beside: Beside = Stages.beside) -> dict[str, float]:
    """One update on P = groups prompts with G = group answers each; its figures.

    reference    the frozen model that the KL is measured from
    score        a batch -> its rewards
    prompts      to draw from, each once if there are enough
    group        >= 2
    epochs       passes over the answers
    minibatches  parts of a pass, a step of the optimiser each
    max_norm     of the gradient of a step
    gold         a batch -> the rewards that `score` stands for; a figure that training never reads
    beside       as in Stages

    Raises ValueError or TypeError, before anything is drawn, for numbers out of range and for no prompts; RewardError
    for rewards that will not do; RuntimeError, before the policy changes, for ratios that do not begin at 1.
    """
    check.integer(1, groups=groups, epochs=epochs, minibatches=minibatches)
    check.integer(2, group=group)
    check.positive(max_norm=max_norm)
    batch, rewards, figures = collect(policy, score, prompts, rng, groups, group, REDRAWS if variant.redraw else 0,
                                      gold)
    logp_ref = outputs(reference, batch.rows, policy.temperature)["logp"]
    divergence = kl.kl_k1(batch.logp, logp_ref).sum(axis=1)
    figures |= {"kl": divergence.mean().item(), "entropy": surprise(batch), "cut": batch.cut.mean().item(),
                "answer_length": batch.tokens / len(batch)}
    found = Experience.of(batch, logp_ref, variant.advantages(rewards, divergence))
    return figures | learn(policy, optimizer, found, rng, variant=variant, epochs=epochs, minibatches=minibatches,
                           max_norm=max_norm, beside=beside)


def collect(policy: Policy, score: Score, prompts: Sequence[str], rng: np.random.Generator, groups: int, group: int,
            redraws: int = 0, gold: Score | None = None) -> tuple[Batch, Array, dict[str, float]]:
    """Answers to P prompts, G each, in the order of the groups; their rewards (P, G); the figures.

    redraws  how often flat groups are replaced by answers to other prompts.  The figures are of the first draw all
             the same: what is kept was chosen by its rewards and says nothing of how good the policy is

    The others as in `step`, which checks them.
    """
    prompts = texts("prompts", prompts)

    def drawn(count: int) -> tuple[Batch, Array]:
        chosen = rng.choice(len(prompts), count, replace=len(prompts) < count)
        batch = policy.answer([prompts[i] for i in chosen for _ in range(group)], rng)
        return batch, scored(score, batch).reshape(count, group)

    batch, rewards = drawn(groups)
    figures = {"reward": rewards.mean().item(), "flat_groups": flat_groups(rewards).mean().item(),
               "tokens": batch.tokens}
    if gold is not None:
        figures["gold"] = gold(batch).mean().item()
    for _ in range(redraws):
        flat = flat_groups(rewards)
        if not flat.any():
            break
        others, their_rewards = drawn(int(flat.sum()))
        figures["tokens"] += others.tokens
        if flat.all():
            batch, rewards = others, their_rewards
        else:
            batch = batch.at(np.flatnonzero(np.repeat(~flat, group))).followed_by(others, policy.chat.pad)
            rewards = np.concatenate([rewards[~flat], their_rewards])
    return batch, rewards, figures


def learn(policy: Policy, optimizer: AdamW, found: Experience, rng: np.random.Generator, *, variant: Variant,
          epochs: int, minibatches: int, max_norm: float = 1.0, beside: Beside = Stages.beside) -> dict[str, float]:
    """The epochs; what happened in them.

    Returns the mean norm of the gradients, the share of chosen tokens that the clip took out of them, and how far a
    ratio was from 1 before the first update.  Arguments as in `step`, which checks them.
    """
    norms, clipped, off = [], 0.0, 0.0
    for _ in range(epochs):
        for part in np.array_split(rng.permutation(len(found)), min(minibatches, len(found))):
            now = minibatch(found.at(part), variant, policy.max_new_tokens)
            if not len(now):
                continue
            optimizer.zero_grad()
            said = backpropagate(policy.model, now.rows, objective(variant, now), temperature=policy.temperature)
            if not norms:
                off = deviation(said["logp"], now.logp_old, now.rows.mask)
            beside(policy.model, rng)
            norms.append(descend(optimizer, max_norm))
            dropped = variant.clipped_tokens(said["logp"], now.logp_old, now.advantage, now.weight)
            clipped += (now.copies[:, None] * dropped).sum()
    return {"gradient_norm": float(np.mean(norms or 0)), "clip_fraction": float(clipped / (epochs * found.tokens)),
            "ratio_deviation": off}


def minibatch(found: Experience, variant: Variant, longest: int) -> Experience:
    """The answers with the weights of their minibatch, equal ones merged; those that can teach nothing are left out."""
    found = replace(found, weight=variant.weights(found.rows.mask, longest))
    teaches = (found.advantage[:, 0] != 0) | (variant.kl_in_loss and variant.beta > 0)
    return found.at(np.flatnonzero(teaches)).merged() if teaches.any() else found.at(np.arange(0))


def objective(variant: Variant, now: Experience) -> Objective:
    """dL/dlogp at the rows of a minibatch, from what the model says of them."""
    def seeds(part: slice, said: dict[str, Array]) -> dict[str, Array]:
        return {"logp": variant.seed(said["logp"], now.logp_old[part], now.logp_ref[part], now.advantage[part],
                                     now.weight[part])}

    return seeds


# ---------------------------------------------------------------- the method

def begin(world: World, rng: np.random.Generator, stages: Stages, *, variant: str, lr: float, groups: int, group: int,
          epochs: int, minibatches: int, temperature: float, **numbers: float | None) -> Learner:
    """The fine-tuned policy twice: to train, and as the frozen reference."""
    model, reference = copied(stages.policy.model), copied(stages.policy.model)
    policy = Policy(model, stages.policy.chat, world.recipe.max_new_tokens, temperature, world.task.tool)
    optimizer, (score, gold) = optimizer_of(model, lr), judges(world, stages)
    chosen = variants.variant(variant, **numbers)

    def one() -> dict[str, float]:
        return step(policy, reference, optimizer, score, world.task.prompts, rng, variant=chosen, groups=groups,
                    group=group, epochs=epochs, minibatches=minibatches, gold=gold, beside=stages.beside)

    return Learner(model, optimizer, rng, policy.chat, one,
                   lambda: held_out(policy, world, reference=reference, proxy=stages.reward_model), policy)


CHOICES = (*settings.GRPO, Choice("minibatches", {"": 1}, "parts of a pass", settings.at_least_1), settings.TEMPERATURE)
METHOD = LanguageMethod("grpo", NAMES, CHOICES, {"": 100, "every-third-character": 200, "addition": 800, "cups": 60,
                                                 "products": 200}, begin, ("sft", "reward-model"),
                        agree=variants.agree)
