"""GRPO on a table: groups of answers to one prompt, or of episodes from one state, and no critic.

Each update draws P states from the start distribution, G episodes from each, and compares the total
return of an episode with those of its group: A_i, one for all its steps (formulas.grpo).  Then one of
two losses that go by the name:

    document   -A_i log pi, as document 002 has it
    paper      ratio, clip, and beta times k3 against the first policy, held fixed as the reference

and `epochs` passes over the batch.  On the first pass they are one, but for beta; from the second on
the document's keeps pushing with the whole A.

A group in which all earn the same teaches nothing.  On a lake that is every group until one reaches
the goal: a uniform policy's group of 64 on the 4x4 lake contains a goal with probability 1 - (1 - .0139)^64
= .59.  Divided by its standard deviation, a single success in the group has A = (G - 1) / sqrt(G), 7.9 for 64.

Source: document 002, GRPO steps 1-4; DeepSeekMath, arXiv:2402.03300; the variants in formulas.grpo.
Leaves out: a reward for each step (process supervision); a reference that moves.
"""
import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import grpo, kl, returns, weights
from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import Episodes
from rlscratch.train.tabular import table
from rlscratch.train.tabular.method import Figures, Method, Tables, choice, report, shared_steps
from rlscratch.train.tabular.worlds import World

AVERAGES = {"sequence_mean": weights.sequence_mean, "token_mean": weights.token_mean,
            "sequence_sum": weights.sequence_sum}


def initial(world: World, rng: np.random.Generator, **settings: object) -> Tables:
    """The world's first policy, twice: to train, and as the reference."""
    return {"logits": world.logits.copy(), "reference": world.logits.copy()}


def step(world: World, tables: Tables, rng: np.random.Generator, *, groups: int, group: int, lr: float, loss: str,
         epochs: int, clip: float, beta: float, ddof: int, eps: float, center_only: bool, average: str,
         ) -> tuple[Tables, Figures]:
    """One update: P groups of G and the passes over them.  tables: logits, reference (S, A); as in CHOICES."""
    logits, reference = tables["logits"], tables["reference"]
    policy = softmax(logits)
    batch = collect(world, policy, groups, group, rng)
    rewards = returns.total_return(batch.rewards).reshape(groups, group)
    advantage = grpo.group_advantage(rewards, ddof=ddof, eps=eps, center_only=center_only).reshape(-1, 1)
    weight, taken = AVERAGES[average](batch.mask), batch.mask == 1

    def chosen(logits: Array) -> Array:
        return batch.mask * table.logp(logits, batch.states, batch.actions)

    logp_old = np.log(np.where(taken, policy[batch.states, batch.actions], 1.0))
    logp_ref, deviation = chosen(reference), table.deviation(chosen(logits), logp_old)
    for _ in range(epochs):
        logp = chosen(logits)
        dlogp = grpo.grpo_grad(logp, advantage, weight) if loss == "document" else grpo.grpo_clip_grad(
            logp, logp_old, logp_ref, advantage, weight, clip, clip, beta)
        logits = logits - lr * table.logits_grad(logits, batch.states, batch.actions, dlogp)
    figures = {"mean_return": rewards.mean().item(), "ratio_deviation": deviation,
               "flat_groups": float(np.mean(rewards.max(axis=1) == rewards.min(axis=1))),
               "kl_from_reference": float(kl.kl(softmax(logits), softmax(reference))[~world.mdp.terminal].mean())}
    return {"logits": logits, "reference": reference}, figures


def collect(world: World, policy: Array, groups: int, group: int, rng: np.random.Generator) -> Episodes:
    """P groups of G episodes, rows in the order of the groups; a group shares its first state."""
    starts = rng.choice(len(world.logits), groups, p=world.mdp.start)
    parts = [world.collect(policy, group, rng, start=int(s)) for s in starts]
    return Episodes(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


CHOICES = (
    choice("groups", 4, 8, "groups of each update", lambda **n: check.integer(1, **n)),
    choice("group", 64, 8, "episodes of a group, at least 2", lambda **n: check.integer(2, **n)),
    choice("lr", 50.0, 0.2, "length of a step", check.positive),
    choice("loss", "document", "document", "-A log pi, or ratio, clip and KL", options=("document", "paper")),
    choice("epochs", 1, 1, "passes over each batch", lambda **n: check.integer(1, **n)),
    choice("clip", 0.2, 0.2, "the ratio counts within [1 - clip, 1 + clip]; paper",
           lambda **x: check.between(0, 1, **x)),
    choice("beta", 0.0, 0.0, "weight of the KL from the first policy; paper", check.non_negative),
    choice("ddof", 1, 1, "0 or 1: the standard deviation divides by G - ddof", lambda **n: check.integer(0, 1, **n)),
    choice("eps", 0.0, 0.0, "added to the standard deviation, in units of reward", check.non_negative),
    choice("center_only", False, False, "do not divide by the standard deviation (Dr. GRPO)"),
    choice("average", "sequence_mean", "sequence_mean", "how steps become one number", options=tuple(AVERAGES)),
)
LAKES = {"frozen-lake": 150, "frozen-lake-slippery": 400, "frozen-lake-8x8": 300, "frozen-lake-8x8-slippery": 600}
METHOD = Method("grpo", CHOICES, shared_steps(LAKES, 300), initial, step, report)
