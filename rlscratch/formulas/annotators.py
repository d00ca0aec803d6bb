"""Labellers who differ: how far they agree, how reliable each one is, and what is true, estimated together.

Agreement.  J labellers rank the same K answers; R_jk is the place that labeller j gives answer k, the mean of the
places for answers that tie.  S is the sum over answers of (R_k - J (K+1)/2)^2, where R_k = sum_j R_jk.  It is largest
where all say the same, J^2 (K^3 - K) / 12.  A tie of t answers takes (t^3 - t) / 12 off a labeller's own sum of
squares, J times over; with T the sum of t^3 - t over all ties of all labellers, Kendall's coefficient is

    W = 12 S / ( J^2 (K^3 - K) - J T )                                                              (1)

1 where all agree.  Labellers who rank at random have E[W] = 1/J: E[S] = J (K^3 - K) / 12.  Without ties the mean of
Spearman's correlation over the pairs of labellers is (J W - 1) / (J - 1).  More direct is the share of agreement: of
all pairs of labellers with all pairs of answers, those in the same order.  A tie is no order, and leaves the pair out;
or it counts as a third thing to say ("counted").

Labels: Dawid and Skene.  Item i has a true class z_i, drawn from p; labeller j says x_ij = l of class k with
probability pi_jkl, whatever the others say.  Nobody knows z:

    L = - mean_i log sum_k p_k prod_j pi_jk,x_ij                                                    (2)

With q_i(k) the probability of class k given all labels of item i, log sum_k f_k >= sum_k q_k log(f_k / q_k), an
equality at this q and a bound at every other p, pi (Jensen).  The bound is largest in p, pi at frequencies:

    E    q_i(k) = p_k prod_j pi_jk,x_ij / (the sum over k)                                          (3)
    M    p_k = mean_i q_i(k),   pi_jkl = C_jkl / sum_l C_jkl,   C_jkl = sum_i q_i(k) [x_ij = l]     (4)

so no sweep makes L larger.  Under pi = softmax(z) over l, d log pi_l / dz_m = [l = m] - pi_m, hence

    dL/dz_jkl = - ( C_jkl - pi_jkl sum_m C_jkm ) / N                                                (5)

which is 0 exactly where (4) changes nothing.  The classes have no names of their own: EM begins at the shares of votes,
which gives them the labellers', and finds a stationary point near them.

Rankings: Bradley and Terry with a temperature for each labeller.  Answers have worths s_k, drawn from a standard normal
distribution: the spread of the answers is the unit.  Labeller j puts a before b with probability
sigma(a_j (s_a - s_b)), where a_j is their reliability, and 1 / a_j their temperature: 0 tosses a coin, below 0 prefers
what is worse.  W_jab counts how often they did; a tie counts half each way.

Reliabilities and worths must not be maximised at once, for each prompt has worths of its own.  Let them follow one
labeller in all that he says: his a_j grows, the others' fall to 0, and J - 1 tosses of a coin a pair are left to pay,
(J - 1) log 2.  That is so whoever is followed, the worst labeller too, and the truth may cost more.  So the worths are
summed out.  A pair has the margin m = s_a - s_b, normal with variance 2, and with nodes m_q of weights p_q (Gauss and
Hermite's)

    L(a) = - mean over pairs of  log sum_q p_q prod_j sigma(a_j m_q)^W_jab sigma(-a_j m_q)^W_jba    (6)
    dL/da_j = - mean over pairs of  sum_q r_q m_q ( W_jab sigma(-a_j m_q) - W_jba sigma(a_j m_q) )  (7)

with r_q the probability of node q given what all said: d log sum f = sum r d log f.  (6) treats the pairs of a prompt
as if they were independent, which leaves the estimate consistent: in a ranking by Plackett and Luce each pair is (1) of
formulas.preference.  EM again: (3) gives r, and the M step uses that log(2 cosh(x/2)) is concave in x^2, so that

    log sigma(x) >= x/2 - omega(y) x^2 / 2 + (what depends on y alone),  omega(y) = tanh(y/2)/(2y)   (8)

with equality at x = y (Jaakkola and Jordan).  With y = the present a_j m_q, the bound is a parabola in a_j, largest at

    a_j = sum r_q m_q (W_jab - W_jba) / 2   /   sum r_q m_q^2 omega(a_j m_q) (W_jab + W_jba)        (9)

sums over pairs and nodes.  What (6) knows is how often two labellers agree: of three, all reliabilities; of two, or
where the third tosses a coin, little more than a product.  The signs of all a_j may be turned together; EM begins at 1.

Worths, given the reliabilities: the likeliest under the same prior,

    L(s) = ( - sum W_jab log sigma(a_j (s_a - s_b)) + sum_k s_k^2 / 2 ) / N                         (10)
    dL/ds_a = ( s_a - sum_jb a_j ( W_jab sigma(-a_j d) - W_jba sigma(a_j d) ) ) / N,  d = s_a - s_b (11)

By (8) again each sweep solves a linear system for the K worths of a prompt, and none makes (10) larger.

Source: Kendall and Babington Smith 1939; Dawid and Skene 1979, Applied Statistics 28; Bock and Aitkin 1981,
        Psychometrika 46, for (6); Jaakkola and Jordan 2000, for (8); temperatures as in Chen et al. 2013, WSDM.
        Written from memory of these, and checked by enumeration and by differences.
Leaves out: how sure the estimates are; labellers who are good at some prompts only, or who copy; what a tie tells.
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.distribution import log_softmax, softmax
from rlscratch.formulas.preference import bradley_terry, logaddexp

SPREAD = 2.0                            # variance of the difference of two worths
MOST = 300                              # nodes: from some more on, polynomials and weights leave float64


def kendall_w(places: ArrayLike) -> float:
    """Equation (1).

    places  (J, K)  what each of J >= 2 labellers says of K >= 2 answers, the least for the best; equals tie

    Raises ValueError where every labeller ties all answers.

    Sums of places 4, 4, 4, 8, their mean 5: S = 12, of at most 20.

    >>> kendall_w([[1, 2, 3, 4], [3, 2, 1, 4]])
    0.6

    Proof: tests/test_formulas_annotators.py, test_w_is_1_for_one_voice_and_1_over_j_for_chance
    """
    places = check.real(places=check.array(ndim=2, places=places))
    J, K = (check.integer(2, **{name: n}) for name, n in zip(("labellers", "answers"), places.shape, strict=True))
    before = (places[:, None, :] < places[:, :, None]).sum(-1)
    equal = (places[:, None, :] == places[:, :, None]).sum(-1)          # itself among them
    sums = (before + (equal + 1) / 2).sum(0)
    most = J**2 * (K**3 - K) - J * (equal**2 - 1).sum()                 # t answers with t^2 - 1 each
    if not most:
        check.fail("places", places[0], "a labeller who puts one answer before another")
    return (12 * ((sums - J * (K + 1) / 2) ** 2).sum() / most).item()


def agreement(places: ArrayLike, ties: str = "apart") -> float:
    """The share of agreement, over pairs of labellers and of answers.

    places  (N, J, K)  the place of each of K answers to N prompts by J labellers; nan where one did not say
    ties    "apart"    a pair of answers that one of the two ties is left out
            "counted"  two who tie it agree, and one who does not disagrees with one who does

    Raises ValueError where nothing is compared.

    Two pairs of three in one order:

    >>> round(agreement([[[1, 2, 3], [2, 1, 3]]]), 4)
    0.6667

    Proof: tests/test_formulas_annotators.py, test_agreement_is_kendall_s_tau_and_what_reliabilities_predict
    """
    places = _places(places)
    check.one_of(("apart", "counted"), ties=ties)
    a, b = np.triu_indices(places.shape[2], 1)
    order = np.sign(places[..., a] - places[..., b])                    # nan: not said
    one, other = np.triu_indices(places.shape[1], 1)
    said, same = order[:, one] * order[:, other], order[:, one] == order[:, other]
    counts = ~np.isnan(said) & ((said != 0) | (ties == "counted"))
    check.positive(count=counts.sum(), called="the number of pairs that two labellers compare")
    return same[counts].mean().item()


# ---------------------------------------------------------------- labels

def dawid_skene_loss(logits: ArrayLike, prior: ArrayLike, labels: ArrayLike) -> float:
    """Equation (2), mean nats an item.

    logits  (J, L, L)  of what each labeller says, last axis, of each true class; log pi will do
    prior   (L,)       p
    labels  (N, J)     integers in [0, L); -1 where one did not say

    Two coins that show heads: log 4.

    >>> round(dawid_skene_loss(np.zeros((2, 2, 2)), [.5, .5], [[0, 0]]), 4)
    1.3863

    Proof: tests/test_formulas_annotators.py, test_the_likelihood_of_labels_is_that_of_all_truths
    """
    joint = _joint(*_labelled(logits, prior, labels))
    return -_logsumexp(joint).mean().item()


def dawid_skene_grad(logits: ArrayLike, prior: ArrayLike, labels: ArrayLike) -> Array:
    """Equation (5), (J, L, L).  Arguments as in dawid_skene_loss.

    A labeller who says 0 of what is 0 or 1, each with 1/2:

    >>> dawid_skene_grad(np.zeros((1, 2, 2)), [.5, .5], [[0]]).tolist()
    [[[-0.25, 0.25], [-0.25, 0.25]]]

    Proof: tests/test_formulas_annotators.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    logits, prior, said = _labelled(logits, prior, labels)
    joint = _joint(logits, prior, said)
    counts = np.einsum("ik,ijl->jkl", np.exp(joint - _logsumexp(joint)[:, None]), said)
    return (softmax(logits) * counts.sum(-1, keepdims=True) - counts) / len(said)


def dawid_skene_posterior(logits: ArrayLike, prior: ArrayLike, labels: ArrayLike) -> Array:
    """Equation (3), (N, L): how likely each class is for each item.  Arguments as in dawid_skene_loss.

    One labeller who is right 3 times in 4:

    >>> dawid_skene_posterior(np.log([[[.75, .25], [.25, .75]]]), [.5, .5], [[0]]).round(9).tolist()
    [[0.75, 0.25]]

    Proof: tests/test_formulas_annotators.py, test_the_likelihood_of_labels_is_that_of_all_truths
    """
    joint = _joint(*_labelled(logits, prior, labels))
    return np.exp(joint - _logsumexp(joint)[:, None])


def dawid_skene(labels: ArrayLike, classes: int, sweeps: int = 100) -> tuple[Array, Array, Array, Array]:
    """EM by (3) and (4) from the shares of votes: q (N, L), pi (J, L, L), p (L,), and the loss after each sweep.

    labels   (N, J)  integers in [0, L); -1 where one did not say
    classes  >= 2    L
    sweeps   >= 1

    Raises ValueError for an item that nobody labels.

    Two agree always, the third says 1 of everything; the vote is overruled nowhere:

    >>> q, pi, p, losses = dawid_skene([[0, 0, 1], [1, 1, 1]], 2)
    >>> q.round(6).tolist(), pi[2].round(6).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]])

    Proof: tests/test_formulas_annotators.py, test_no_sweep_makes_a_loss_larger
    """
    said = _indicators(labels, check.integer(2, classes=classes))
    votes = said.sum(1)
    if not votes.any(axis=1).all():
        check.fail(f"labels[{np.argmin(votes.any(axis=1))}]", -1, "a label by somebody")
    q, losses = votes / votes.sum(1, keepdims=True), []
    for _ in range(check.integer(1, sweeps=sweeps)):
        p, counts = q.mean(0), np.einsum("ik,ijl->jkl", q, said)
        total = counts.sum(-1, keepdims=True)
        pi = np.where(total > 0, counts / np.where(total > 0, total, 1), 1 / classes)
        joint = _joint(_log(pi), p, said)
        losses.append(-_logsumexp(joint).mean())
        q = np.exp(joint - _logsumexp(joint)[:, None])
    return q, pi, p, np.array(losses)


# ---------------------------------------------------------------- rankings

def wins(places: ArrayLike) -> Array:
    """W of the module, (N, J, K, K): 1 where a labeller puts the first of two answers before the second, 1/2 each way
    for a tie, 0 where one did not say.

    places  as in agreement

    >>> wins([[[1, 2, 2]]])[0, 0].tolist()
    [[0.0, 1.0, 1.0], [0.0, 0.0, 0.5], [0.0, 0.5, 0.0]]

    Proof: tests/test_formulas_annotators.py, test_wins_are_counted_from_both_sides
    """
    places = _places(places)
    first, second = places[..., :, None], places[..., None, :]
    return ((first < second) + (first == second) / 2) * ~np.eye(places.shape[2], dtype=bool)


def panel_loss(reliability: ArrayLike, wins: ArrayLike, nodes: int = 21) -> float:
    """Equation (6), mean nats a pair.

    reliability  (J,)          a_j, per standard deviation of worths
    wins         (N, J, K, K)  as `wins` counts them
    nodes        1 to 300      of the quadrature; 1: all margins are 0

    Who tosses a coin says each of two with 1/2:

    >>> round(panel_loss([0.0], [[[[0, 1], [0, 0]]]]), 6)
    0.693147

    Proof: tests/test_formulas_annotators.py, test_the_likelihood_of_a_panel_is_the_integral_over_margins
    """
    _, joint, _ = _margins(*_panel(reliability, wins), nodes)
    return -_logsumexp(joint).mean().item()


def panel_grad(reliability: ArrayLike, wins: ArrayLike, nodes: int = 21) -> Array:
    """Equation (7), (J,).  Arguments as in panel_loss.

    One comparison tells nothing of who made it:

    >>> abs(panel_grad([1.0], [[[[0, 1], [0, 0]]]]).round(9)).tolist()
    [0.0]

    Proof: tests/test_formulas_annotators.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    reliability, won, lost = _panel(reliability, wins)
    margin, joint, (better, worse) = _margins(reliability, won, lost, nodes)
    r = np.exp(joint - _logsumexp(joint)[:, None])
    pull = won[:, :, None] * np.exp(worse) - lost[:, :, None] * np.exp(better)
    return -np.einsum("iq,ijq,q->j", r, pull, margin) / len(won)


def panel(wins: ArrayLike, sweeps: int = 500, nodes: int = 21) -> tuple[Array, Array]:
    """EM by (9) from reliabilities of 1: a (J,), and the loss after each sweep.

    wins    (N, J, K, K)  as `wins` counts them
    sweeps  >= 1          the way is long where labellers nearly agree, and short where they differ
    nodes   as in panel_loss

    Raises ValueError for a labeller who compares nothing.

    Of three, the third says the opposite of two:

    >>> a, losses = panel(wins([[[1, 2], [1, 2], [2, 1]]] * 9), sweeps=2)
    >>> np.sign(a).tolist()
    [1.0, 1.0, -1.0]

    Proof: tests/test_formulas_annotators.py, test_a_panel_is_found_again
    """
    reliability, won, lost = _panel(None, wins)
    for j in np.flatnonzero(~(won + lost).any(axis=0)):
        check.fail(f"wins[:, {j}]", 0, "a labeller who compares something")
    losses = []
    for sweep in range(check.integer(1, sweeps=sweeps) + 1):
        margin, joint, _ = _margins(reliability, won, lost, nodes)
        losses.append(-_logsumexp(joint).mean())
        if sweep < sweeps:
            r = np.exp(joint - _logsumexp(joint)[:, None])
            gain = ((won - lost).T / 2 @ r) @ margin
            reliability = gain / ((won + lost).T @ r * _omega(reliability[:, None] * margin) * margin**2).sum(-1)
    return reliability, np.array(losses[1:])


def worth_loss(scores: ArrayLike, reliability: ArrayLike, wins: ArrayLike) -> float:
    """Equation (10), mean nats a prompt.

    scores       (N, K)        s, in standard deviations of worths
    reliability  (J,)          a_j
    wins         (N, J, K, K)  as `wins` counts them

    >>> round(worth_loss([[0.0, 0.0]], [1.0], [[[[0, 1], [0, 0]]]]), 6)
    0.693147

    Proof: tests/test_formulas_annotators.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    scores, reliability, wins = _worth(scores, reliability, wins)
    x = reliability[:, None, None] * (scores[:, :, None] - scores[:, None, :])[:, None]
    return ((wins * logaddexp(0, -x)).sum() + (scores**2).sum() / 2).item() / len(scores)


def worth_grad(scores: ArrayLike, reliability: ArrayLike, wins: ArrayLike) -> Array:
    """Equation (11), (N, K).  Arguments as in worth_loss.

    >>> worth_grad([[0.0, 0.0]], [1.0], [[[[0, 1], [0, 0]]]]).tolist()
    [[-0.5, 0.5]]

    Proof: tests/test_formulas_annotators.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    scores, reliability, wins = _worth(scores, reliability, wins)
    a = reliability[:, None, None]
    pull = a * wins * bradley_terry(-a * (scores[:, :, None] - scores[:, None, :])[:, None])
    return (scores - (pull - pull.swapaxes(-1, -2)).sum((1, 3))) / len(scores)


def worths(reliability: ArrayLike, wins: ArrayLike, sweeps: int = 50) -> Array:
    """The least of (10) by the bound (8), (N, K); a prompt's mean is 0.  Arguments as in worth_loss.

    sweeps  >= 1

    Where the slope (11) is 0, with one comparison, s = sigma(-2 s):

    >>> s = worths([1.0], [[[[0, 1], [0, 0]]]])[0, 0].item()
    >>> round(s, 6) == round(1 / (1 + np.exp(2 * s)).item(), 6)
    True

    Proof: tests/test_formulas_annotators.py, test_worths_are_least_and_no_sweep_makes_the_loss_larger
    """
    wins = check.array(ndim=4, wins=wins)
    scores, reliability, wins = _worth(np.zeros((len(wins), wins.shape[-1])), reliability, wins)
    a, back = reliability[:, None, None], wins.swapaxes(-1, -2)
    gain = (a * (wins - back) / 2).sum((1, 3))
    for _ in range(check.integer(1, sweeps=sweeps)):
        x = a * (scores[:, :, None] - scores[:, None, :])[:, None]
        pull = (a**2 * (wins + back) * _omega(x)).sum(1)
        system = np.eye(scores.shape[1]) * (1 + pull.sum(-1, keepdims=True)) - pull
        scores = np.linalg.solve(system, gain[..., None])[..., 0]
    return scores


# ---------------------------------------------------------------- checked arguments, and pieces

def _places(places: ArrayLike) -> Array:
    """(N, J, K), nan where nothing is said."""
    places = check.asarray("places", places)
    heard = np.nan_to_num(places) if places.dtype.kind == "f" and not np.isinf(places).any() else places
    check.real(places=check.array(ndim=3, places=heard))
    return places.astype(float)


def _indicators(labels: ArrayLike, classes: int) -> Array:
    """[x_ij = l], (N, J, L)."""
    labels = check.asarray("labels", labels)
    check.ids(classes, ndim=2, labels=labels if labels.dtype.kind not in "iu" else labels * (labels != -1))
    if not labels.size:
        check.fail("the shape of labels", labels.shape, "at least one item and one labeller")
    return (labels[..., None] == np.arange(classes)).astype(float)


def _labelled(logits: ArrayLike, prior: ArrayLike, labels: ArrayLike) -> tuple[Array, Array, Array]:
    """logits, p, [x_ij = l]."""
    logits, prior = check.logits(ndim=3, logits=logits), check.probabilities(ndim=1, prior=prior)
    said = _indicators(labels, len(prior))
    check.shape((said.shape[1], len(prior), len(prior)), "(J, L, L)", logits=logits)
    return logits, prior, said


def _joint(logits: Array, prior: Array, said: Array) -> Array:
    """log p_k + sum_j log pi_jk,x_ij, (N, L)."""
    logp = log_softmax(logits)
    spoken = np.where(said[:, :, None, :] > 0, logp, 0).sum((1, 3))     # 0 times -inf is nothing, as nobody said it
    joint = _log(prior) + spoken
    for i in np.flatnonzero((joint.real == -np.inf).all(axis=1)):
        check.fail(f"the probability of labels[{i}]", 0.0, "a number > 0: a class of which they can be said")
    return joint


def _worth(scores: ArrayLike, reliability: ArrayLike, wins: ArrayLike) -> tuple[Array, Array, Array]:
    """All three, of fitting shapes."""
    scores, reliability = check.array(ndim=2, scores=scores), check.array(ndim=1, reliability=reliability)
    wins, (N, K) = check.real(wins=check.array(ndim=4, wins=wins)), scores.shape
    check.shape((N, len(reliability), K, K), "(N, J, K, K)", wins=wins)
    check.entries_between(0, np.inf, wins=wins)
    return scores, reliability, wins


def _panel(reliability: ArrayLike | None, wins: ArrayLike) -> tuple[Array, Array, Array]:
    """a; of the pairs that somebody compares, how often each labeller put the first before, (P, J), and after."""
    wins = check.array(ndim=4, wins=wins)
    reliability = np.ones(wins.shape[1]) if reliability is None else reliability
    _, reliability, wins = _worth(np.zeros((len(wins), wins.shape[-1])), reliability, wins)
    a, b = np.triu_indices(wins.shape[-1], 1)
    won, lost = (np.moveaxis(wins[:, :, i, k], 1, 2).reshape(-1, wins.shape[1]) for i, k in ((a, b), (b, a)))
    said = (won + lost).any(axis=1)
    check.positive(count=said.sum(), called="the number of pairs that are compared")
    return reliability, won[said], lost[said]


def _margins(reliability: Array, won: Array, lost: Array, nodes: int) -> tuple[Array, Array, tuple[Array, Array]]:
    """m (Q,), log of the summands of (6) (P, Q), and log sigma(a m), log sigma(-a m) (J, Q)."""
    margin, weight = np.polynomial.hermite_e.hermegauss(check.integer(1, MOST, nodes=nodes))
    margin = margin * np.sqrt(SPREAD)
    x = reliability[:, None] * margin
    better, worse = -logaddexp(0, -x), -logaddexp(0, x)
    return margin, won @ better + lost @ worse + np.log(weight / weight.sum()), (better, worse)


def _omega(y: Array) -> Array:
    """omega of (8), and its limit 1/4."""
    small = np.abs(y) < 1e-8
    y = np.where(small, 1, y)
    return np.where(small, 0.25, np.tanh(y / 2) / (2 * y))


def _log(p: Array) -> Array:
    """log p, -inf at 0."""
    return np.where(p > 0, np.log(np.where(p > 0, p, 1)), -np.inf)


def _logsumexp(x: Array) -> Array:
    """log sum e^x along the last axis, of real or complex x."""
    top = x.real.max(axis=-1, keepdims=True)
    return (top + np.log(np.exp(x - top).sum(axis=-1, keepdims=True)))[..., 0]
