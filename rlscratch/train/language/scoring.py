"""The scores of a reward model, and two measures of their quality: accuracy and calibration.

The score of an answer y to x is the output of the value head at its last token, where the model has read the whole
prompt and the whole answer, and with a `belief` b what the model itself makes of the answer:

    s(x, y) = w . h_T  +  b sum_t log p(y_t | x, y_<t)

The head has to learn what is true from comparisons, and from few it learns what answers look like.  The model that it
sits on has read what is true: after "Ann Reed is a" it expects "baker" and not "smith".  With b = 0, the default, that
has no part in the score but by h_T.  The second term is the reward of SimPO, undivided: DPO's without the reference.

Both measures are over pairs of answers to one prompt, of which one is known to be better:

    accuracy       the share of pairs whose scores are in the right order
    calibration    scores s_i, s_j predict that answer i wins with probability p = sigma(s_i - s_j), equation (1) of
                   formulas.preference.  Of all pairs with this p, does the share p win?

Which answer is better, by whom?  Accuracy takes the gold reward, which makes no errors.  Calibration takes labellers
on held-out prompts.  A reward model is fitted to labellers: if they put one pair in four the wrong way round, the
right prediction is .75.  Against gold rewards it would look too modest.  Scores that were learned from grades are no
log-odds, so calibration does not apply to them.

Source: Ouyang et al. 2022, arXiv:2203.02155 (the head); Meng et al. 2024, arXiv:2405.14734 (SimPO).
Leaves out: an ensemble of models, whose disagreement would say where they guess.
"""
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import preference
from rlscratch.formulas.standard_error import ratio_error
from rlscratch.train.language.chat import Chat, Rows
from rlscratch.train.language.policy import Batch, outputs
from rlscratch.transformer import Transformer


@dataclass(frozen=True, eq=False)
class RewardModel:
    """A score for answers, of any length that fits the context.

    model  a Transformer with a value head
    chat   its template
    belief >= 0, of the score, per nat
    """

    model: Transformer
    chat: Chat
    belief: float = 0.0

    def __call__(self, batch: Batch) -> Array:
        """Scores of a policy's answers as it wrote them, token by token: (B,), float64."""
        return scores(self.model, batch.rows, self.belief)

    def centred_on(self, batch: Batch) -> "RewardModel":
        """The same with the mean score of these answers at 0: the bias of its head is moved."""
        self.model.parameters()["score.bias"].data -= self(batch).mean()
        return self


def scores(model: Transformer, rows: Rows, belief: float = 0.0) -> Array:
    """s of each row, (B,), float64."""
    return score_of(outputs(model, rows, wanted=read_off(belief)), rows, belief).astype(float)


def read_off(belief: float) -> tuple[str, ...]:
    """What a score is made of, among policy.OUTPUTS."""
    return ("score", "logp") if belief else ("score",)


def score_of(said: Mapping[str, Array], rows: Rows, belief: float) -> Array:
    """s of each row, (B,), of what `outputs` says of them."""
    score = at_the_end(said["score"], rows)
    return score + belief * said["logp"].sum(axis=1, dtype=float) if belief else score


def at_the_end(found: Array, rows: Rows) -> Array:
    """What stands at the last token of each row, (B,)."""
    return found[np.arange(len(found)), rows.lengths - 1]


# ---------------------------------------------------------------- how good it is

def accuracy(scores: Array, truth: Array) -> float:
    """The share of pairs in the right order.

    scores  (N, K)  of K >= 2 answers to each of N prompts; equal ones count half
    truth   (N, K)  the larger the better; pairs of equals are not asked about

    Raises ValueError where no pair differs.

    >>> accuracy([[3.0, 1.0, 2.0]], [[1.0, 0.0, 1.0]])           # 3 > 1 and 2 > 1 are right, 3 and 2 are equals
    1.0
    """
    _, right, _ = _pairs(scores, truth)
    return right.mean().item()


def accuracy_error(scores: Array, truth: Array) -> float | None:
    """The standard error of `accuracy`, for the rankings are independent and their pairs are not.

    Arguments as in accuracy; equation (4) of formulas.standard_error, over the rankings with a pair to order; None if
    there is one.

    >>> accuracy_error([[3.0, 1.0, 2.0]] * 2, [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])        # 2 of 2 and 0 of 2
    0.5
    """
    _, right, ranking = _pairs(scores, truth)
    pairs = np.bincount(ranking)
    some = pairs > 0
    return ratio_error(np.bincount(ranking, right)[some], pairs[some]) if some.sum() > 1 else None


def calibration(scores: Array, truth: Array, bins: int = 10) -> dict[str, Array]:
    """How often what has the chance p by the scores happened, for p in bins of equal width.

    Each pair counts from both sides, so the curve is symmetric about (1/2, 1/2).  Arguments as in accuracy.

    Returns for each bin that is not empty: chance (the mean p), frequency, count.

    >>> odds = np.log([[3.0, 1.0]] * 4)                            # 3 to 1, and so it comes
    >>> curve = calibration(odds, [[1.0, 0.0]] * 3 + [[0.0, 1.0]])
    >>> curve["chance"].round(9).tolist(), curve["frequency"].tolist(), curve["count"].tolist()
    ([0.25, 0.75], [0.25, 0.75], [4, 4])
    """
    margin, right, _ = _pairs(scores, truth)
    check.integer(1, bins=bins)
    chance = np.concatenate([preference.bradley_terry(margin), preference.bradley_terry(-margin)])
    happened = np.concatenate([right, 1 - right])
    # The bin of the side that is behind mirrors the other's, on the edges of bins too.
    place = np.minimum((chance[:len(margin)] * bins).astype(int), bins - 1)
    place = np.concatenate([place, bins - 1 - place])
    count = np.bincount(place, minlength=bins)
    some = count > 0
    return {"chance": np.bincount(place, chance, bins)[some] / count[some],
            "frequency": np.bincount(place, happened, bins)[some] / count[some], "count": count[some]}


def _pairs(scores: Array, truth: Array) -> tuple[Array, Array, Array]:
    """Over all pairs of a row whose truth differs: the margin |s_i - s_j|, 1 if the better one is ahead by it, the row.

    1/2 where the margin is 0.
    """
    scores, truth = check.array(ndim=2, scores=scores, truth=truth)
    scores, truth = check.real(scores=check.group(2, scores=scores), truth=truth)
    check.shape(scores.shape, "like scores", truth=truth)
    i, j = np.triu_indices(scores.shape[1], 1)
    margin, better = scores[:, i] - scores[:, j], np.sign(truth[:, i] - truth[:, j])
    differs = better != 0
    check.positive(count=differs.sum(), called="the number of pairs whose truth differs")
    return np.abs(margin[differs]), (1 + np.sign(margin[differs]) * better[differs]) / 2, np.nonzero(differs)[0]
