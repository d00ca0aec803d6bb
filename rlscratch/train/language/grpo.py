"""GRPO on a transformer: groups of answers to one prompt, and no critic.

Each step:

    P prompts, G answers to each from pi_old, and their rewards
    A_i compares an answer with its group                        (variants: z-score, centred, leave-one-out)
    for each epoch, the answers in a new random order, cut into minibatches:
        logp <- model.logp(rows)
        seed <- the variant's gradient in logp                   (formulas.grpo, formulas.ppo)
        one step of the optimiser

All tokens of an answer share its A.  The reward is a task's own function, or a reward model.

On the first minibatch every ratio is 1, and clipping starts with the second.  With one epoch and one minibatch,
the default, all variants but for advantage, weight and KL are REINFORCE.

An answer whose advantage is 0 has gradient 0 if there is no KL in the loss, so it is not passed through
the model; and equal answers of a group pass through it once, with the weight of all.  As a policy gets good most
groups are flat, the others hold few answers that differ, and a step costs little more than its rollouts.

Source: document 002, GRPO steps 1-4; DeepSeekMath, arXiv:2402.03300; variants has the others.
Leaves out: rewards for parts of an answer.
"""
from collections.abc import Sequence

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import kl
from rlscratch.optim import AdamW
from rlscratch.train.choices import Choice
from rlscratch.train.language import variants
from rlscratch.train.language.chat import texts
from rlscratch.train.language.measure import held_out
from rlscratch.train.language.method import Learner, Method, Stages, optimizer_of, watched
from rlscratch.train.language.policy import Batch, Policy, Score, copied, deviation, outputs, scored, surprise, update
from rlscratch.train.language.variants import REDRAWS, Variant
from rlscratch.train.language.worlds import NAMES, World
from rlscratch.transformer import Transformer


def step(policy: Policy, reference: Transformer, optimizer: AdamW, score: Score, prompts: Sequence[str],
         rng: np.random.Generator, *, variant: Variant, groups: int, group: int, epochs: int = 1, minibatches: int = 1,
         max_norm: float = 1.0) -> dict[str, float]:
    """One update on P = groups prompts with G = group answers each; its figures.

    reference    the frozen model that the KL is measured from
    score        a batch -> its rewards
    prompts      to draw from, each once if there are enough
    group        >= 2
    epochs       passes over the answers
    minibatches  parts of a pass, a step of the optimiser each
    max_norm     of the gradient of a step

    Raises ValueError or TypeError, before anything is drawn, for numbers out of range and for no prompts; RewardError
    for rewards that will not do; RuntimeError, before the policy changes, for ratios that do not begin at 1.
    """
    check.integer(1, groups=groups, epochs=epochs, minibatches=minibatches)
    check.integer(2, group=group)
    check.positive(max_norm=max_norm)
    batch, rewards, figures = collect(policy, score, prompts, rng, groups, group, REDRAWS if variant.redraw else 0)
    logp_ref = outputs(reference, batch.rows, policy.temperature)["logp"]
    divergence = kl.kl_k1(batch.logp, logp_ref).sum(axis=1)
    counted = rewards
    if variant.kl == "reward":
        counted = rewards - variant.beta * divergence.reshape(rewards.shape)
    figures |= {"kl": divergence.mean().item(), "entropy": surprise(batch), "cut": batch.cut.mean().item(),
                "answer_length": batch.tokens / len(batch)}
    return figures | learn(policy, optimizer, batch, logp_ref, variant.advantage(counted).reshape(-1, 1), rng,
                           variant=variant, epochs=epochs, minibatches=minibatches, max_norm=max_norm)


def collect(policy: Policy, score: Score, prompts: Sequence[str], rng: np.random.Generator, groups: int, group: int,
            redraws: int = 0) -> tuple[Batch, Array, dict[str, float]]:
    """Answers to P prompts, G each, in the order of the groups; their rewards (P, G); the figures.

    redraws  how often flat groups are replaced by answers to other prompts.  `reward` and `flat_groups` are of the
             first draw all the same: what is kept was chosen by its rewards and says nothing of how good the policy is

    The others as in `step`, which checks them.
    """
    prompts = texts("prompts", prompts)

    def drawn(count: int) -> tuple[Batch, Array]:
        chosen = rng.choice(len(prompts), count, replace=len(prompts) < count)
        batch = policy.answer([prompts[i] for i in chosen for _ in range(group)], rng)
        return batch, scored(score, batch).reshape(count, group)

    batch, rewards = drawn(groups)
    figures = {"reward": rewards.mean().item(), "flat_groups": _flat(rewards).mean().item(), "tokens": batch.tokens}
    for _ in range(redraws):
        flat = _flat(rewards)
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


def learn(policy: Policy, optimizer: AdamW, batch: Batch, logp_ref: Array, advantage: Array, rng: np.random.Generator,
          *, variant: Variant, epochs: int, minibatches: int, max_norm: float = 1.0) -> dict[str, float]:
    """The epochs; what happened in them.

    logp_ref   (B, T)  log pi_ref of the chosen tokens, natural log
    advantage  (B, 1)  A_i

    Returns the mean norm of the gradients, the share of chosen tokens that the clip took out of them, and how far a
    ratio was from 1 before the first update.  The others as in `step`, which checks them.
    """
    silent = (advantage[:, 0] == 0) & (variant.penalty == 0)
    norms, clipped, off = [], [], [0.0]

    def minibatch(part: Array) -> None:
        weight = variant.weight(batch.rows.mask[part], policy.max_new_tokens)
        heard, clipped_tokens = ~silent[part], 0
        if not heard.any():
            return
        part, weight, copies = _merged(batch, advantage, part[heard], weight[heard])
        rows = batch.rows.at(part)
        width = rows.tokens.shape[1]
        A, old, ref, weight = advantage[part], batch.logp[part, :width], logp_ref[part, :width], weight[:, :width]

        def objective(piece: slice, found: dict[str, Array]) -> dict[str, Array]:
            nonlocal clipped_tokens
            if not norms:
                off.append(deviation(found["logp"], old[piece], rows.mask[piece]))
            dropped = variant.dropped(found["logp"], old[piece], A[piece], weight[piece])
            clipped_tokens += (copies[piece, None] * dropped).sum()
            return {"logp": variant.grad(found["logp"], old[piece], ref[piece], A[piece], weight[piece])}

        norms.append(update(policy.model, optimizer, rows, objective, temperature=policy.temperature,
                            max_norm=max_norm))
        clipped.append(clipped_tokens)

    for _ in range(epochs):
        for part in np.array_split(rng.permutation(len(batch)), min(minibatches, len(batch))):
            minibatch(part)
    return {"gradient_norm": float(np.mean(norms or 0)), "clip_fraction": float(sum(clipped) / (epochs * batch.tokens)),
            "ratio_deviation": max(off)}


def _flat(rewards: Array) -> Array:
    """(P,), True where all answers to a prompt earned the same."""
    return rewards.max(axis=1) == rewards.min(axis=1)


def _merged(batch: Batch, advantage: Array, part: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Equal answers of a group as one row with the weight of all, since every loss here is linear in the weights.

    part    (N,)    which answers
    weight  (N, T)

    Returns, for M that differ: which answers stand for all (M,), their weights (M, T), how many each stands for (M,).
    """
    same = np.column_stack([batch.rows.tokens[part], advantage[part]])
    _, first, place, copies = np.unique(same, axis=0, return_index=True, return_inverse=True, return_counts=True)
    total = np.zeros((len(first), weight.shape[1]))
    np.add.at(total, place.ravel(), weight)
    return part[first], total, copies


# ---------------------------------------------------------------- the method

def begin(world: World, rng: np.random.Generator, stages: Stages, *, variant: str, lr: float, groups: int, group: int,
          epochs: int, minibatches: int, temperature: float, **changes: float) -> Learner:
    """The fine-tuned policy twice: to train, and as the frozen reference."""
    model, reference = copied(stages.policy.model), copied(stages.policy.model)
    policy = Policy(model, stages.policy.chat, world.recipe.max_new_tokens, temperature)
    optimizer, (score, beside) = optimizer_of(model, lr), watched(world, stages)
    chosen = variants.variant(variant, **{name: value if value >= 0 else None for name, value in changes.items()})

    def one() -> dict[str, float]:
        return step(policy, reference, optimizer, score, world.task.prompts, rng, variant=chosen, groups=groups,
                    group=group, epochs=epochs, minibatches=minibatches) | beside

    return Learner(model, optimizer, rng, policy.chat, one,
                   lambda: held_out(policy, world, reference=reference, proxy=stages.reward_model), policy)


def _preset_or(**named: float) -> float:
    """A number >= 0, or -1 for the preset's own."""
    (_, value), = named.items()
    return value if value == -1 else check.non_negative(**named)


CHOICES = (
    Choice("variant", {"": "grpo"}, "which of the family", options=tuple(variants.VARIANTS)),
    Choice("lr", {"": 1e-3}, "largest step size", check.positive),
    Choice("groups", {"": 64, "ice-cream-text": 4, "capital-of-france-text": 4}, "prompts of each update",
           lambda **n: check.integer(1, **n)),
    Choice("group", {"": 16}, "answers to a prompt, at least 2", lambda **n: check.integer(2, **n)),
    Choice("epochs", {"": 1}, "passes over each batch", lambda **n: check.integer(1, **n)),
    Choice("minibatches", {"": 1}, "parts of a pass", lambda **n: check.integer(1, **n)),
    Choice("temperature", {"": 1.0}, "of sampling and training, > 0", check.temperature),
    Choice("beta", {"": -1.0, "every-third-character": 0.0, "addition": 0.0},
           "weight of the KL from the reference; -1: the variant's own", _preset_or),
    Choice("eps_low", {"": -1.0}, "the ratio counts from 1 - this, in [0, 1]; -1: the variant's own",
           lambda **x: check.between(0, 1, **x) if _preset_or(**x) != -1 else -1.0),
    Choice("eps_high", {"": -1.0}, "the ratio counts up to 1 + this; -1: the variant's own", _preset_or),
)
METHOD = Method("grpo", NAMES, CHOICES, {"": 100, "every-third-character": 200, "addition": 800}, begin,
                ("sft", "reward-model"))
