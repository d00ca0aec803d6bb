"""DPO and IPO: a policy from pairs of answers, without a reward model and without a single rollout.

    pairs (prompt, better, worse), a minibatch as rows; L = log pi(answer) = sum over its tokens of logp
    h     = L_better - L_worse, each minus the same of the reference                   (formulas.preference)
    seed  = dpo_grad, one number a pair: to every token of the better answer, and its negative to the worse one's

The gradient of a sum is 1 for each of its terms, so dL/dlogp_t of a token is that of its answer.

A ranking of K answers makes K(K-1)/2 pairs, all learned from in one step: K rows pay for them all.  beta is the
price of a nat: small beta, far from the reference.  No sample is drawn, so nothing here measures how far the policy
has gone; the command does so as it goes along and stops when KL(pi || ref) reaches --max-kl.  How well it is doing
is `margin`, the mean of beta h, and the share of pairs with h > 0.

Both probabilities usually fall: the loss asks for a difference, and answers that are in no pair gain.

Source: document 002, "PPO vs GRPO: Side-by-Side Comparison", which lists DPO among the uses of GRPO, wrongly, as
        formulas.preference says; Rafailov et al. 2023, arXiv:2305.18290; Azar et al. 2023, arXiv:2310.12036.
Leaves out: label smoothing; the length-normalised relatives (IPO as some libraries have it).
"""
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import preference
from rlscratch.optim import AdamW
from rlscratch.train.language import feedback
from rlscratch.train.language.chat import Rows
from rlscratch.train.language.evaluation import held_out, of_answers
from rlscratch.train.language.method import LanguageMethod, Learner, Stages, optimizer_of
from rlscratch.train.language.policy import Policy, copied, update
from rlscratch.train.language.scoring import accuracy
from rlscratch.train.language.worlds import NAMES, World
from rlscratch.train.settings import Choice, at_least_1

LOSSES = {"dpo": (preference.dpo_loss, preference.dpo_grad), "ipo": (preference.ipo_loss, preference.ipo_grad)}


def pairs(count: int, K: int) -> Array:
    """(N, 2): the places of better and worse answers among the rows of `count` rankings of K, best first.

    >>> pairs(2, 3).tolist()
    [[0, 1], [0, 2], [1, 2], [3, 4], [3, 5], [4, 5]]
    """
    better, worse = np.triu_indices(check.integer(2, K=K), 1)
    first = K * np.arange(check.integer(1, count=count))[:, None]
    return np.stack([first + better, first + worse], axis=-1).reshape(-1, 2)


def step(policy: Policy, optimizer: AdamW, rows: Rows, pairs: Array, ref: Array, rng: np.random.Generator, *, loss: str,
         batch: int, beta: float) -> dict[str, float]:
    """One update on pairs drawn from all.

    rows   answers
    pairs  (N, 2)  places among the rows: better, worse; or (N, P, 2), all P pairs of a ranking, drawn together
    ref    (B,)    log pi_ref of each answer, natural log
    loss   one of LOSSES
    batch  pairs, or rankings, of this step
    beta   > 0     price of a nat from the reference
    """
    value, slope = LOSSES[check.one_of(tuple(LOSSES), loss=loss)]
    check.positive(beta=beta)
    count = check.integer(1, count=len(pairs), called="the number of pairs")
    drawn = pairs[rng.integers(count, size=check.integer(1, batch=batch))].reshape(-1, 2)
    answers, place = np.unique(drawn, return_inverse=True)              # an answer is read once, whatever its pairs
    better, worse = place.reshape(-1, 2).T
    chosen, ref = rows.at(answers), ref[answers]

    def sides(said: dict[str, Array]) -> tuple[Array, Array, Array, Array]:
        total = said["logp"].sum(axis=1, dtype=float)
        return total[better], total[worse], ref[better], ref[worse]

    def seeds(part: slice, said: dict[str, Array]) -> dict[str, Array]:
        dbetter, danswer = slope(*sides(said), beta), np.zeros(len(answers))
        np.add.at(danswer, better, dbetter)
        np.add.at(danswer, worse, -dbetter)
        return {"logp": chosen.mask * danswer[:, None]}

    norm, said = update(policy.model, optimizer, chosen, seeds, temperature=policy.temperature,
                        at_once=len(chosen.tokens))
    reward = preference.implicit_reward(said["logp"].sum(axis=1, dtype=float), ref, beta)
    margin = reward[better] - reward[worse]
    return {"loss": value(*sides(said), beta), "margin": margin.mean().item(), "preferred": np.mean(margin > 0).item(),
            "gradient_norm": norm, "tokens": int(chosen.mask.sum())}


# ---------------------------------------------------------------- the method

LOOK = 20               # steps between two measurements of the KL
SEEN = 1000             # answers that it is measured on


def begin(world: World, rng: np.random.Generator, stages: Stages, *, lr: float, loss: str, batch: int, beta: float,
          rankings: int | None, answers: int | None, noise: float | None, max_kl: float) -> Learner:
    """The fine-tuned policy twice: to train, and as the reference; and the rankings that a reward model would see."""
    model, reference = copied(stages.policy.model), stages.policy
    policy, optimizer = reference.with_model(model), optimizer_of(model, lr)
    said = feedback.gathered(world, reference, rankings=rankings, answers=answers, noise=noise)
    rows = said.batch.rows
    count, facts = len(said.rewards), {"steps": 0}
    places = pairs(count, said.K).reshape(count, -1, 2)
    ref = reference.logp(rows).sum(axis=1, dtype=float)

    def one() -> dict[str, float]:
        figures = step(policy, optimizer, rows, places, ref, rng, loss=loss, batch=batch, beta=beta)
        facts["steps"] += 1
        if facts["steps"] % LOOK:
            return figures
        prompts = [world.task.prompts[i] for i in rng.integers(len(world.task.prompts), size=SEEN)]
        seen = of_answers(policy.answer(prompts, rng), world.task, reference)
        figures |= {name: seen[name] for name in ("kl", "kl_error", "reward", "reward_error", "measured_answers")}
        return figures | {"enough": 0 < max_kl < seen["kl"]}

    def report() -> dict[str, float]:
        found = held_out(policy, world, reference=reference.model)
        if not world.data.rankings:
            return found
        others = feedback.gathered(world, reference, rankings=None, answers=None, noise=None, held_out=True)
        gained = (policy.logp(others.batch.rows) - reference.logp(others.batch.rows)).sum(axis=1, dtype=float)
        name = "learned_preferred" if others.batch.prompts == said.batch.prompts else "held_out_preferred"
        return found | {name: accuracy(gained.reshape(-1, others.K), others.ranked)}

    return Learner(model, optimizer, rng, policy.chat, one, report, policy, facts)


def agree(*, world: World, **settings: Any) -> None:
    """Raise ValueError for labels, which make no pairs, and as feedback.agree does."""
    if world.data.labels:
        check.fail("preferences", None, "a file of comparisons; labels are grades, of which a reward model learns")
    feedback.agree(world=world, **settings)


CHOICES = (
    Choice("lr", {"": 5e-4}, "largest step size", check.positive),
    Choice("loss", {"": "dpo"}, "the logistic or the squared loss of a pair", options=tuple(LOSSES)),
    Choice("batch", {"": 32}, "rankings of a step", at_least_1),
    Choice("beta", {"": 0.6}, "price of a nat from the reference, > 0", check.positive),
    *feedback.CHOICES,
    Choice("max_kl", {"": 0.0, "preferences": 1.7}, "stop at so many nats an answer from the reference; 0: never",
           check.non_negative),
)
METHOD = LanguageMethod("dpo", ("preferences", *(name for name in NAMES if name != "preferences")), CHOICES, {"": 400},
                        begin, shown="loss", agree=agree)
