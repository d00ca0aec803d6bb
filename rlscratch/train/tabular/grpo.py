"""GRPO on a table: groups of answers to one prompt, or of episodes from one state, and no critic.

Each update draws P states from the start distribution, G episodes from each, and compares the total
return of an episode with those of its group: A_i, one for all its steps.  What is made of it is a preset of
train.variants, and `epochs` passes over the batch descend its loss:

    document   -A_i log pi, as document 002 has it
    grpo       the paper's: ratio, clip, and beta times k3 against the first policy, held fixed as the reference
    ...        the others of the family

On the first pass these two are one, but for beta; from the second on the document's keeps pushing with the whole A.

A group in which all earn the same teaches nothing.  On a lake that is every group until one reaches
the goal: a uniform policy's group of 64 on the 4x4 lake contains a goal with probability 1 - (1 - .0139)^64
= .59.  Divided by its standard deviation, a single success in the group has A = (G - 1) / sqrt(G), 7.9 for 64.

Source: document 002, GRPO steps 1-4; DeepSeekMath, arXiv:2402.03300; the variants in formulas.grpo.
Leaves out: a reward for each step (process supervision); a reference that moves.
"""
import numpy as np

from rlscratch.check import Array
from rlscratch.formulas import kl, returns
from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import Episodes
from rlscratch.train import settings, variants
from rlscratch.train.on_policy import deviation
from rlscratch.train.tabular import table
from rlscratch.train.tabular.method import Figures, Tables, TabularMethod, report, shared_steps
from rlscratch.train.tabular.worlds import TabularWorld
from rlscratch.train.variants import REDRAWS


def initial(world: TabularWorld, rng: np.random.Generator, **options: object) -> Tables:
    """The world's first policy, twice: to train, and as the reference."""
    return {"logits": world.logits.copy(), "reference": world.logits.copy()}


def step(world: TabularWorld, tables: Tables, rng: np.random.Generator, *, variant: str, groups: int, group: int,
         lr: float, epochs: int, **numbers: float | None) -> tuple[Tables, Figures]:
    """One update: P groups of G and the passes over them.  tables: logits, reference (S, A); as in CHOICES."""
    logits, reference, chosen = tables["logits"], tables["reference"], variants.variant(variant, **numbers)
    policy = softmax(logits)
    batch, figures = collect(world, policy, groups, group, rng, REDRAWS if chosen.redraw else 0)
    rewards = returns.total_return(batch.rewards).reshape(groups, group)

    def logp_of(logits: Array) -> Array:
        return batch.mask * table.logp(logits, batch.states, batch.actions)

    logp_old = np.log(np.where(batch.mask == 1, policy[batch.states, batch.actions], 1.0))
    logp_ref, off = logp_of(reference), deviation(logp_of(logits), logp_old)
    advantage = chosen.advantages(rewards, kl.kl_k1(logp_old, logp_ref).sum(axis=1))
    weight = chosen.weights(batch.mask, world.horizon)
    for _ in range(epochs):
        dlogp = chosen.seed(logp_of(logits), logp_old, logp_ref, advantage, weight)
        logits = logits - lr * table.logits_grad(logits, batch.states, batch.actions, dlogp)
    figures |= {"ratio_deviation": off,
                "kl_from_reference": float(kl.kl(softmax(logits), softmax(reference))[~world.mdp.terminal].mean())}
    return {"logits": logits, "reference": reference}, figures


def collect(world: TabularWorld, policy: Array, groups: int, group: int, rng: np.random.Generator, redraws: int = 0,
            ) -> tuple[Episodes, Figures]:
    """P groups of G episodes, rows in the order of the groups, and the figures; a group shares its first state.

    redraws  how often flat groups are replaced by others; the figures are of the first draw all the same
    """
    def drawn(count: int) -> list[Episodes]:
        starts = rng.choice(len(world.logits), count, p=world.mdp.start)
        return [world.collect(policy, group, rng, start=int(s)) for s in starts]

    def flat(parts: list[Episodes]) -> Array:
        return variants.flat_groups(np.stack([returns.total_return(part.rewards) for part in parts]))

    parts = drawn(groups)
    figures = {"mean_return": np.mean([returns.total_return(part.rewards) for part in parts]).item(),
               "flat_groups": flat(parts).mean().item()}
    for _ in range(redraws):
        others = flat(parts)
        if not others.any():
            break
        parts = [part for part, is_flat in zip(parts, others, strict=True) if not is_flat] + drawn(int(others.sum()))
    return Episodes(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True))), figures


LAKES = {"frozen-lake": 150, "frozen-lake-slippery": 400, "frozen-lake-8x8": 300, "frozen-lake-8x8-slippery": 600}
METHOD = TabularMethod("grpo", settings.GRPO, shared_steps(LAKES, 300), initial, step, report, variants.agree)
