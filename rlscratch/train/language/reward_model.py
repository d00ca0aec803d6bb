"""Reward models: a transformer with a head that gives an answer one number, learned from comparisons.

    a prompt and an answer as rows  ->  value head, read where the last token stands           s, a score (scoring)
    K answers to one prompt, best first  ->  dL/ds by the formulas of preference
    backward(ds)

    loss             data                 per prompt
    pairs            rankings             all K(K-1)/2 pairs, each a Bradley-Terry duel; K = 2 is Bradley-Terry
    plackett-luce    rankings             the ranking as K - 1 draws
    ratings          grades in [0, 1]     half the squared error

With `reliability` a duel of labeller j is lost with probability sigma(-a_j (s_c - s_r)): their scores are a_j s, and
the gradient of s has the factor a_j.  The a_j come from the rankings alone (formulas.annotators, EM over margins), in
units in which the mean ranking has a_j = 1; who tosses a coin then teaches nothing, and who errs little teaches more.

The model begins where the policy does, at the fine-tuned one, with a new head.  Comparisons see differences
within one prompt only, so a score has no zero: after the last step the head's bias is moved such that the answers
which it learned from have the mean score 0.  That makes curves comparable and changes no comparison.  Grades have
a zero, and scores learned from them keep it.

Source: document 002, step 2; document 003, part 6, step 2; Ouyang et al. 2022, arXiv:2203.02155.
Leaves out: a model that reads several answers at once.
"""
from functools import partial
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import preference
from rlscratch.optim import AdamW
from rlscratch.train.language import feedback
from rlscratch.train.language.chat import Rows
from rlscratch.train.language.evaluation import named
from rlscratch.train.language.feedback import Feedback
from rlscratch.train.language.method import LanguageMethod, Learner, Stages, optimizer_of
from rlscratch.train.language.policy import copied, update
from rlscratch.train.language.scoring import (
    RewardModel,
    accuracy,
    accuracy_error,
    calibration,
    read_off,
    score_of,
    scores,
)
from rlscratch.train.language.worlds import NAMES, OWN_LABELS, World
from rlscratch.train.settings import Choice, at_least_1
from rlscratch.transformer import Transformer

LOSSES = {"pairs": (preference.ranking_loss, preference.ranking_grad),
          "plackett-luce": (preference.plackett_luce_loss, preference.plackett_luce_grad),
          "ratings": (preference.rating_loss, preference.rating_grad)}


def step(model: Transformer, optimizer: AdamW, rows: Rows, rng: np.random.Generator, *, loss: str, batch: int, K: int,
         ratings: Array | None = None, reliability: Array | None = None, belief: float = 0.0) -> dict[str, float]:
    """One update on prompts drawn from all.

    rows     (N K, T)  K answers to each of N prompts, best first, at least 2 unless they are graded; in the order of
                       the prompts
    loss     one of LOSSES
    batch    prompts of this step
    ratings  (N, K)    grades of the same answers, which "ratings" learns from and nothing else reads
    reliability (N,)   a of the labeller of each ranking; None: all 1
    belief             b of the score, whose ds/dlogp_t it is
    """
    value, slope = LOSSES[check.one_of(tuple(LOSSES), loss=loss)]
    check.integer(1 if loss == "ratings" else 2, K=K)
    count = check.integer(1, count=len(rows.tokens) // K, called="the number of rankings")
    drawn = rng.integers(count, size=check.integer(1, batch=batch))
    chosen = rows.at((drawn[:, None] * K + np.arange(K)).ravel())
    grades = ()
    if loss == "ratings":
        ratings = check.shape((count, K), "a grade for each answer", ratings=check.array(ratings=ratings))
        grades = (ratings[drawn],)
    a = 1.0 if reliability is None else reliability[drawn, None]

    def scored(said: dict[str, Array]) -> Array:
        return a * score_of(said, chosen, belief).reshape(batch, K)

    def seeds(part: slice, said: dict[str, Array]) -> dict[str, Array]:
        dscore, ds = np.zeros_like(said["score"]), (a * slope(scored(said), *grades)).ravel()
        dscore[np.arange(len(dscore)), chosen.lengths - 1] = ds
        return {"score": dscore, "logp": belief * chosen.mask * ds[:, None]} if belief else {"score": dscore}

    norm, said = update(model, optimizer, chosen, seeds, wanted=read_off(belief), at_once=len(chosen.tokens))
    loss = value(scored(said), *grades)
    return {"loss": loss, "gradient_norm": norm, "tokens": int(chosen.mask.sum())}


# ---------------------------------------------------------------- the method

HELD_OUT = 500          # rankings that accuracy and calibration are measured on


def begin(world: World, rng: np.random.Generator, stages: Stages, *, lr: float, loss: str, batch: int,
          rankings: int | None, answers: int | None, noise: float | None, weight_decay: float,
          reliability: bool, belief: float) -> Learner:
    """A copy of the fine-tuned policy with a head, and what people say: of files, or labellers of its own answers.

    Few lines of a file may hold out nothing that can be compared; then accuracy is that of all lines.
    Raises ValueError for a policy all of whose answers to a held-out prompt earn the same: nothing can be measured.
    """
    said = feedback.gathered(world, stages.policy, rankings=rankings, answers=answers, noise=noise)
    others = feedback.gathered(world, stages.policy, rankings=HELD_OUT, answers=answers, noise=noise, held_out=True)
    if world.data.judged and (others.batch.prompts == said.batch.prompts or flat(others)):
        others = said
    if flat(others):
        check.fail("the answers to rank", others.batch.texts[:max(others.K, 2)],
                   f"answers{' to one prompt' if others.K > 1 else ''} whose rewards differ")
    rows, K, trusted = said.batch.rows, said.K, said.reliability if reliability else None
    model = copied(stages.policy.model, world.stream("reward head"))
    optimizer = optimizer_of(model, lr, weight_decay)

    def end() -> None:
        if loss != "ratings":
            RewardModel(model, stages.policy.chat, belief).centred_on(said.batch)

    def report() -> dict[str, Any]:
        found, learned = (compared(which, scores(model, which.batch.rows, belief)) for which in (others, said))
        curve = calibration(found, compared(others, others.ranked if K > 1 else others.rewards))
        apart = world.data.judged or bool(world.task.held_out)
        name = "learned_accuracy" if others is said else named(apart, "accuracy")
        truth = compared(others, others.rewards)
        return {name: accuracy(found, truth), f"{name}_error": accuracy_error(found, truth),
                "measured_rankings": len(others.rewards),
                "learned_accuracy": accuracy(learned, compared(said, said.rewards)),
                "calibration": {name: array.round(4).tolist() for name, array in curve.items()}}

    return Learner(model, optimizer, rng, stages.policy.chat,
                   partial(step, model, optimizer, rows, rng, loss=loss, batch=batch, K=K, ratings=said.grades,
                           reliability=trusted, belief=belief),
                   report, end=end)


def agree(*, world: World, loss: str, reliability: bool, **labellers: Any) -> None:
    """Raise ValueError for a loss that has nothing to learn from, and as feedback.agree does."""
    if reliability and (loss == "ratings" or not world.data.rankings or not world.data.rankings[0][2:]):
        check.fail("reliability", reliability, 'False, or preferences whose lines all have a field "who"')
    if world.data.labels and loss != "ratings":
        check.fail("loss", loss, "'ratings': labels are grades, which compare no answers")
    grades = {grade for *_, grade in world.data.of(world.data.labels, held_out=False)}
    if len(grades) == 1:
        check.fail("labels", grades.pop(), "labels that differ; where all are equal there is nothing to learn")
    feedback.agree(world=world, **labellers)


def compared(said: Feedback, numbers: Array) -> Array:
    """Numbers of the answers, (N K,) or (N, K), in rows of which all pairs are compared.

    Answers to one prompt, (N, K); where each prompt has one answer, K = 1, the first of them with each other, (1, N).
    """
    return numbers.reshape(-1, said.K) if said.K > 1 else numbers.reshape(1, -1)[:, :HELD_OUT]


def flat(said: Feedback) -> bool:
    """Whether all answers that are compared earn the same."""
    rewards = compared(said, said.rewards)
    return bool((rewards == rewards[:, :1]).all())


METHOD = LanguageMethod("reward-model", ("preferences", *(name for name in NAMES if name != "preferences")), (
    Choice("lr", {"": 2e-3}, "largest step size", check.positive),
    Choice("loss", {"": "pairs", OWN_LABELS: "ratings"},
           "what is learned from: all pairs of a ranking, the ranking as it was drawn, or grades",
           options=tuple(LOSSES)),
    Choice("batch", {"": 32}, "rankings of a step", at_least_1),
    *feedback.CHOICES,
    Choice("weight_decay", {"": 0.01}, "AdamW's, on matrices", check.non_negative),
    Choice("reliability", {"": False}, 'of the labellers, the "who" of lines of preferences, is estimated and counts'),
    Choice("belief", {"": 0.0}, "so many times the log-probability that the model gives an answer are added to its "
           "score: some tenths where what is true counts", partial(check.between, 0, 100)),
), {"": 2000}, begin, shown="loss", agree=agree)
