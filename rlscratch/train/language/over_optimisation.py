"""Reward against distance: what a policy earns for the nats that it moves away from its reference.

A reward model (the proxy) learned from answers of the reference, so the farther a policy goes, the less the proxy
knows.  Two ways lead away, and both are drawn over KL(pi || ref), nats an answer:

    best-of-n    n answers, the one that the proxy likes most; its distance is known       (formulas.best_of_n)
    training     a run of PPO, a point a step; its distance is measured

Where gold, the reward that the proxy stands for, is known, both curves can be drawn twice.  The proxy climbs all
the way, since it is what is maximised; gold climbs with it as long as the proxy is right, and then turns.

Best-of-n is computed for every n from one pool of answers (formulas.best_of_n, equation 4).

The turn.  A step's gold is a mean over few answers, so it is averaged over `window` steps in a row, and the turn is
the largest of the averages.  The largest of noisy numbers is too large: the noise of one step is taken
from the differences of neighbours, whose variance is twice its own, and only a fall of more than SURE
standard errors counts as one.

Source: Gao, Schulman and Hilton 2022, arXiv:2210.10760, figure 1.
Leaves out: their laws d (a - b d) and d (a - b log d) with d = sqrt(KL), which want more scales than one.
"""
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas.best_of_n import best_of_n_by_prompt, best_of_n_kl_bound
from rlscratch.tasks.task import Task
from rlscratch.train.language.evaluation import means
from rlscratch.train.language.policy import Policy, Score, scored

AT_ONCE = 8192          # answers that are drawn together
SURE = 3.0              # standard errors


# ---------------------------------------------------------------- best of n

class Pool(NamedTuple):
    """N answers to each of P prompts, as what they are worth.

    proxies  a row of scores (P, N) for each reward model that was asked, by its name
    gold     (P, N)  the task's own reward
    lengths  (P, N)  tokens, the end included
    """

    proxies: dict[str, Array]
    gold: Array
    lengths: Array


def pool(policy: Policy, task: Task, prompts: Sequence[str], most: int, proxies: Mapping[str, Score],
         rng: np.random.Generator) -> Pool:
    """Draw `most` answers to each prompt, at the policy's temperature, and ask everybody what they are worth."""
    check.positive(count=len(prompts), called="the number of prompts")
    asked = [prompt for prompt in prompts for _ in range(check.integer(1, most=most))]
    found: list[list[Array]] = []
    for start in range(0, len(asked), AT_ONCE):
        batch = policy.answer(asked[start:start + AT_ONCE], rng)
        found.append([task.rewards(batch.prompts, batch.texts), batch.rows.mask.sum(axis=1),
                      *(scored(score, batch) for score in proxies.values())])
    gold, lengths, *scores = (np.concatenate(part).reshape(-1, most) for part in zip(*found, strict=True))
    return Pool(dict(zip(proxies, scores, strict=True)), gold, lengths)


def best_of_curve(found: Pool, name: str, sizes: Iterable[int]) -> list[dict[str, float]]:
    """For each n: n, kl, and what the choice of that proxy brings on average: proxy, reward (gold), answer_length.

    Each mean is over `prompts` and has beside it NAME_error, its standard error from their spread, where there are
    several.  kl is the bound, no measurement.
    """
    scores = found.proxies[name]
    worth = {"proxy": scores, "reward": found.gold, "answer_length": found.lengths}
    curve = []
    for n in sizes:
        by_prompt = {key: best_of_n_by_prompt(scores, column, n) for key, column in worth.items()}
        curve.append({"n": n, "kl": best_of_n_kl_bound(n), **means(by_prompt), "prompts": len(scores)})
    return curve


# ---------------------------------------------------------------- training

class Trajectory(NamedTuple):
    """A run of PPO against a reward model, (S,) each.

    step   counted from 1
    kl     KL(pi || ref) of the policy that answered, nats an answer
    proxy  the mean score of its answers
    gold   the mean of the task's own reward
    """

    step: Array
    kl: Array
    proxy: Array
    gold: Array

    @classmethod
    def of(cls, figures: Iterable[Mapping[str, Any]]) -> "Trajectory":
        """From the figures of each step, as method.learn yields them and metrics.jsonl keeps them.

        Raises ValueError for no steps, and for a run that has no gold beside its reward.
        """
        figures = list(figures)
        check.positive(count=len(figures), called="the number of steps")
        if "gold" not in figures[0]:
            check.fail("the figures of a step", sorted(figures[0]), "gold among them: a run against a reward model")
        columns = (np.array([one[name] for one in figures], float) for name in ("kl", "reward", "gold"))
        return cls(np.arange(1.0, len(figures) + 1), *columns)

    def smoothed(self, window: int) -> "Trajectory":
        """All four averaged over `window` steps in a row: (S - window + 1,) each."""
        check.integer(1, len(self.step), window=window)
        return Trajectory(*(np.convolve(column, np.ones(window), "valid") / window for column in self))


def turn(run: Trajectory, window: int = 9) -> dict[str, Any]:
    """Where smoothed gold is largest, and what happens from there to the end.

    Returns step, kl, gold, proxy there (step the middle of the window); end_kl, end_gold, end_proxy; fall, by how
    much gold is lower at the end; rise, by how much the proxy is higher; error, the standard error of the fall;
    turned, whether gold fell by more than SURE errors while the proxy rose.

    >>> climbs = np.arange(8.0)
    >>> found = turn(Trajectory(climbs + 1, climbs, climbs, np.array([0, 2, 4, 6, 6, 4, 2, 0.])), window=2)
    >>> found["step"], found["kl"], found["gold"], found["fall"], found["rise"]
    (4.5, 3.5, 6.0, 5.0, 3.0)
    """
    smooth = run.smoothed(window)
    top = int(smooth.gold.argmax())
    at = {name: column[top].item() for name, column in smooth._asdict().items()}
    end = {f"end_{name}": column[-1].item() for name, column in smooth._asdict().items() if name != "step"}
    noise = np.square(np.diff(run.gold)).mean() / 2 if len(run.gold) > 1 else 0.0
    fall, rise, error = at["gold"] - end["end_gold"], end["end_proxy"] - at["proxy"], math.sqrt(2 * noise / window)
    return {**at, **end, "fall": fall, "rise": rise, "error": error, "turned": bool(fall > SURE * error and rise > 0)}
