"""Labellers who differ.

By hand.  Places (1 2 3 4) and (3 2 1 4): sums 4 4 4 8, S = 1 + 1 + 1 + 9 = 12, of 2^2 (4^3 - 4) / 12 = 20: W = .6, and
Spearman's rho is 2 W - 1 = .2.  Two labellers who are right 3 times in 4 agree in (3/4)^2 + (1/4)^2 = 5/8 of all pairs.
Two coins say 00 with 1/4: log 4 nats.
"""
import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from derivatives import central_difference, complex_step
from rlscratch.formulas import annotators as an
from rlscratch.formulas.preference import bradley_terry, plackett_luce_loss
from rlscratch.tasks import labellers

pytestmark = pytest.mark.compiled_only("calls log_softmax alone, and its twins agree",
                                       kernels=("log_softmax", "softmax"))

ORDERS = [np.argsort(order) + 1 for order in itertools.permutations(range(3))]
place_tables = st.tuples(st.integers(2, 4), st.integers(2, 5)).flatmap(
    lambda shape: st.lists(st.integers(1, 4), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
        lambda places: np.array(places, float).reshape(shape)))


# ---------------------------------------------------------------- agreement

def test_w_is_1_for_one_voice_and_1_over_j_for_chance():
    assert_allclose(an.kendall_w([[2, 1, 3, 4]] * 5), 1)
    for J in (2, 3):
        all_w = [an.kendall_w(rankings) for rankings in itertools.product(ORDERS, repeat=J)]
        assert_allclose(np.mean(all_w), 1 / J)
        assert abs(np.mean([12 * w / 11 for w in all_w]) - 1 / J) > 0.01            # another denominator would show


@given(place_tables)
@example(np.array([[1.0, 2, 3, 4], [3, 2, 1, 4]]))
@example(np.array([[1.0, 1, 2], [2, 1, 1]]))
def test_w_is_the_mean_correlation_of_the_places_and_ties_share_theirs(places):
    if (places == places[:, :1]).all():
        with pytest.raises(ValueError, match="expected a labeller who puts one answer before another"):
            an.kendall_w(places)
        return
    J, K = places.shape
    middle = np.array([[np.mean([1 + sorted(row).index(x), K - sorted(row)[::-1].index(x)]) for x in row]
                       for row in places])                              # first and last place of all that tie
    centred = middle - (K + 1) / 2
    squares = (centred**2).sum(1)
    assert_allclose(an.kendall_w(places), (centred.sum(0) ** 2).sum() / (J * squares.sum()), rtol=1e-12)
    if (squares == (K**3 - K) / 12).all():                              # no tie
        rho = np.corrcoef(middle)[np.triu_indices(J, 1)]
        assert_allclose(rho.mean(), (J * an.kendall_w(places) - 1) / (J - 1), atol=1e-12)


def test_agreement_is_kendall_s_tau_and_what_reliabilities_predict():
    one, other = [1, 2, 3, 4], [3, 2, 1, 4]
    tau = np.mean([np.sign((one[i] - one[j]) * (other[i] - other[j])) for i, j in itertools.combinations(range(4), 2)])
    assert_allclose(an.agreement([[one, other]]), (1 + tau) / 2)
    right = bradley_terry(np.log(3.0))                                  # 3 times in 4
    all_pairs = [[[1, 2] if a else [2, 1], [1, 2] if b else [2, 1]] for a in (0, 1) for b in (0, 1)]
    weight = np.array([(right if a else 1 - right) * (right if b else 1 - right) for a in (0, 1) for b in (0, 1)])
    assert_allclose(weight @ [an.agreement([pair]) for pair in all_pairs], 5 / 8)


def test_a_tie_is_left_out_or_counted_and_silence_is_neither():
    nan = np.nan
    places = [[[1, 2, 2], [1, 2, 3]], [[1, 2, nan], [2, 1, nan]], [[nan] * 3, [1, 2, 3]]]
    assert_allclose(an.agreement(places), 2 / 3)                        # AB, AC; AB not
    assert_allclose(an.agreement(places, ties="counted"), 2 / 4)
    assert an.agreement([[[1, 1], [2, 2]]], ties="counted") == 1.0
    with pytest.raises(ValueError, match="the number of pairs that two labellers compare is 0"):
        an.agreement([[[1, 1], [2, 2]]])


def test_wins_are_counted_from_both_sides():
    W = an.wins([[[2, 1, np.nan, 2]]])[0, 0]
    assert W[1, 0] == W[1, 3] == 1 and W[0, 3] == W[3, 0] == 0.5 and W[0, 1] == W[3, 1] == 0
    assert not W[2].any() and not W[:, 2].any() and not W.diagonal().any()
    assert_allclose(an.wins([[[1, 2, 2]]]), an.wins([[[-7, 5, 5]]]))    # only the order counts


# ---------------------------------------------------------------- losses and their derivatives

def panel_of(rng, N=3, J=3, K=3):
    """Wins on a grid of halves, some of them absent."""
    return an.wins(np.where(rng.random((N, J, K)) < 0.2, np.nan, rng.integers(1, 4, size=(N, J, K))))


def labels_of(rng, N=4, J=3, L=2):
    return np.where(rng.random((N, J)) < 0.2, -1, rng.integers(L, size=(N, J)))


RNG = np.random.default_rng(0)
OBJECTIVES = {
    "dawid_skene": (an.dawid_skene_loss, an.dawid_skene_grad,
                    (RNG.normal(size=(3, 2, 2)), np.array([0.25, 0.75]), labels_of(RNG))),
    "panel": (an.panel_loss, an.panel_grad, (RNG.normal(size=3), panel_of(RNG), 7)),
    "worth": (an.worth_loss, an.worth_grad, (RNG.normal(size=(3, 3)), RNG.normal(size=3), panel_of(RNG))),
}


def compare(name, grad):
    loss, _, (first, *rest) = OBJECTIVES[name]
    claimed = grad(first, *rest)
    assert claimed.shape == first.shape and np.abs(claimed).max() > 1e-3
    assert_allclose(claimed, central_difference(lambda x: loss(x, *rest), first), rtol=1e-6, atol=1e-9)
    assert_allclose(claimed, complex_step(lambda x: loss(x, *rest), first), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_gradient_is_the_derivative_of_its_loss(name):
    compare(name, OBJECTIVES[name][1])


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("planted", [lambda g: 1.001 * g, lambda g: -g, lambda g: g[::-1]])
def test_a_planted_error_is_caught(name, planted):
    with pytest.raises(AssertionError):
        compare(name, lambda *args: planted(OBJECTIVES[name][1](*args)))


def test_the_likelihood_of_labels_is_that_of_all_truths():
    """Sum over every assignment of true classes to all items; then over all labels that could have been said."""
    rng = np.random.default_rng(1)
    pi, p = rng.dirichlet(np.ones(3), size=(2, 3)), rng.dirichlet(np.ones(3))
    labels = np.array([[0, 2], [1, 1], [2, 0]])
    total, by_item = 0.0, np.zeros((3, 3))
    for truth in itertools.product(range(3), repeat=3):
        chance = np.prod([p[z] * pi[0, z, a] * pi[1, z, b] for z, (a, b) in zip(truth, labels, strict=True)])
        total += chance
        by_item[range(3), truth] += chance
    assert_allclose(an.dawid_skene_loss(np.log(pi), p, labels), -np.log(total) / 3, rtol=1e-12)
    assert_allclose(an.dawid_skene_posterior(np.log(pi), p, labels), by_item / total, rtol=1e-12)
    said = [np.exp(-an.dawid_skene_loss(np.log(pi), p, [pair])) for pair in itertools.product(range(3), repeat=2)]
    assert_allclose(sum(said), 1)


def test_the_likelihood_of_a_panel_is_the_integral_over_margins():
    m = np.linspace(-20, 20, 40_001)
    density = np.exp(-(m**2) / 4) / np.sqrt(4 * np.pi)
    a, total = np.array([1.5, 0.5, -0.25]), 0.0
    for said in itertools.product([(1, 2), (2, 1)], repeat=3):
        chance = np.prod([bradley_terry(aj * m * (1 if first == 1 else -1))
                          for aj, (first, _) in zip(a, said, strict=True)], axis=0)
        integral = np.trapezoid(density * chance, m)
        assert_allclose(an.panel_loss(a, an.wins([said]), nodes=60), -np.log(integral), rtol=1e-6)
        total += np.exp(-an.panel_loss(a, an.wins([said])))
    assert_allclose(total, 1)                                           # a distribution, whatever the nodes
    ties = an.panel_loss(a, an.wins([[[1, 1]] * 3]), nodes=60)          # half each way
    assert_allclose(ties, -np.log(np.trapezoid(density * np.prod(
        [np.sqrt(bradley_terry(x * m) * bradley_terry(-x * m)) for x in a], axis=0), m)), rtol=1e-6)


def test_a_pair_of_a_ranking_is_a_duel_whatever_else_is_in_it():
    """Why (6) may take a ranking apart: its pairs, summed over all rankings of three, are those of two alone."""
    s, a = np.array([1.0, 0.25, -0.5]), 1.5
    W = sum(np.exp(-plackett_luce_loss(a * s[list(order)])) * an.wins([[np.argsort(order)]])[0, 0]
            for order in itertools.permutations(range(3)))
    assert_allclose(W + np.eye(3) / 2, bradley_terry(a * (s[:, None] - s)), rtol=1e-12)


# ---------------------------------------------------------------- EM

@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_no_sweep_makes_a_loss_larger(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=(6, 3))
    _, pi, p, losses = an.dawid_skene(labels, 3, sweeps=12)
    assert (np.diff(losses) < 1e-12).all()
    assert_allclose(losses[-1], an.dawid_skene_loss(np.log(np.maximum(pi, 1e-300)), p, labels), rtol=1e-9)
    W = panel_of(rng)
    if W.any(axis=(0, 2, 3)).all():
        a, losses = an.panel(W, sweeps=12)
        assert (np.diff([an.panel_loss(np.ones(3), W), *losses]) < 1e-12).all()
        assert_allclose(losses[-1], an.panel_loss(a, W), rtol=1e-12)


def test_a_step_that_is_too_long_does_make_it_larger():
    """The test above would see it: (9) with twice the numerator."""
    W = an.wins([[[1, 2, 3], [1, 3, 2], [3, 2, 1]]] * 4)
    a, losses = np.ones(3), []
    for _ in range(12):
        a = 2 * an.panel(W, sweeps=1)[0] * a
        losses.append(an.panel_loss(a, W))
    assert max(np.diff(losses)) > 0


def test_em_for_labels_ends_where_the_slope_is_0():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=(12, 3))
    q, pi, p, losses = an.dawid_skene(labels, 2, sweeps=4000)
    assert_allclose(pi.sum(-1), 1, rtol=1e-12)
    assert_allclose(q, an.dawid_skene_posterior(np.log(np.maximum(pi, 1e-300)), p, labels), rtol=1e-9, atol=1e-12)
    inside = (pi > 1e-9).all(axis=-1, keepdims=True)
    slope = an.dawid_skene_grad(np.log(np.maximum(pi, 1e-300)), p, labels)
    assert inside.any() and np.abs(slope).max() < 1e-6 and losses[0] - losses[-1] > 1e-3


def truth_of_labels(rng, right, N=2000, L=3):
    """True classes, and labels by people who say them with these probabilities and anything else evenly."""
    truth = rng.integers(L, size=N)
    wrong = (truth[:, None] + rng.integers(1, L, size=(N, len(right)))) % L
    return truth, np.where(rng.random((N, len(right))) < right, truth[:, None], wrong)


def test_dawid_and_skene_weigh_one_expert_against_two_who_guess():
    right = np.array([0.95, 0.45, 0.45, 0.7])
    truth, labels = truth_of_labels(np.random.default_rng(0), right)
    q, pi, p, _ = an.dawid_skene(labels, 3)
    votes = (labels[..., None] == np.arange(3)).sum(1).argmax(1)
    assert (q.argmax(1) == truth).mean() > 0.92 > 0.83 > (votes == truth).mean()
    assert np.abs(pi.diagonal(axis1=1, axis2=2).mean(1) - right).max() < 0.07 and np.abs(p - 1 / 3).max() < 0.06


def rankings(rng, temperatures, N, K=4):
    """Worths of N x K answers, and the places that labellers of these temperatures give them."""
    worth = rng.normal(size=(N, K))
    return worth, np.array([[np.argsort(labellers.rank(row, rng, T)) for T in temperatures] for row in worth])


def right(scores, worth):
    a, b = np.triu_indices(worth.shape[1], 1)
    return ((scores[:, a] > scores[:, b]) == (worth[:, a] > worth[:, b])).mean()


@pytest.fixture(scope="module")
def three():
    """400 prompts, ranked by three people; the third is near chance."""
    worth, places = rankings(np.random.default_rng(0), (0.5, 1.0, 4.0), 400)
    W = an.wins(places)
    return worth, W, an.panel(W, sweeps=300)[0]


def test_a_panel_is_found_again(three):
    worth, W, a = three
    assert_allclose(a, [2.0, 1.0, 0.25], rtol=0.35)
    found, alike = right(an.worths(a, W), worth), right(an.worths(np.ones(3), W), worth)
    assert found > alike + 0.02 and abs(found - right(an.worths([2.0, 1.0, 0.25], W), worth)) < 0.02


def test_reliabilities_and_worths_at_once_would_follow_anybody_rather_than_the_truth(three):
    worth, W, _ = three
    pairs = worth.shape[1] * (worth.shape[1] - 1) / 2

    def cost(a, s):
        return (an.worth_loss(s, a, W) - (s**2).sum() / 2 / len(s)) / pairs

    truth = cost(np.array([2.0, 1.0, 0.25]), worth)
    for j in range(3):
        own = W[:, j].sum(-1)                                           # how many answers each one beat
        assert_allclose(cost(40.0 * np.eye(3)[j], own), 2 * np.log(2), rtol=1e-6)
    assert 2 * np.log(2) < truth


def test_worths_are_least_and_no_sweep_makes_the_loss_larger():
    rng = np.random.default_rng(3)
    W, a = panel_of(rng), np.array([1.5, 0.5, -0.25])
    losses = [an.worth_loss(an.worths(a, W, sweeps=n), a, W) for n in (1, 2, 3, 5, 60)]
    assert (np.diff(losses) < 1e-12).all() and losses[0] < an.worth_loss(np.zeros((3, 3)), a, W)
    s = an.worths(a, W, sweeps=60)
    assert_allclose(an.worth_grad(s, a, W), 0, atol=1e-9)
    assert_allclose(s.sum(1), 0, atol=1e-12)


def test_a_liar_is_believed_the_other_way_round():
    _, places = rankings(np.random.default_rng(1), (0.5, 0.7, 0.6), 150)
    places[:, 2] = 5 - places[:, 2]
    a, _ = an.panel(an.wins(places), sweeps=100)
    assert a[2] < -0.5 and min(a[:2]) > 0.5


# ---------------------------------------------------------------- what is refused

ONE = [[[[0, 1], [0, 0]]]]
IMPOSSIBLE = [[[0, -np.inf], [0, -np.inf]]], [.5, .5], [[0], [1]]


@pytest.mark.parametrize(("call", "message"), [
    (lambda: an.kendall_w([[1, 2]]), "labellers is 1; expected an integer >= 2"),
    (lambda: an.kendall_w([[1], [1]]), "answers is 1; expected an integer >= 2"),
    (lambda: an.agreement([[1, 2], [1, 2]]), r"the shape of places is \(2, 2\)"),
    (lambda: an.agreement([[[1, 2], [1, 2]]], ties="no"), "ties is 'no'; expected one of"),
    (lambda: an.dawid_skene([[0, -1], [-1, -1]], 2), r"labels\[1\] is -1; expected a label by somebody"),
    (lambda: an.dawid_skene([[0, 2]], 2), r"labels\[0, 1\] is 2; expected an integer in \[0, 2\)"),
    (lambda: an.dawid_skene([[0, 1]], 1), "classes is 1; expected an integer >= 2"),
    (lambda: an.dawid_skene([[0, 1]], 2, sweeps=0), "sweeps is 0; expected an integer >= 1"),
    (lambda: an.dawid_skene_loss(np.zeros((2, 2, 2)), [.5, .5], [[0]]), "the shape of logits"),
    (lambda: an.dawid_skene_loss(np.zeros((1, 2, 2)), [.5, .6], [[0]]), "the sum of prior is 1.1"),
    (lambda: an.panel_loss([1.0, 1.0], ONE), "the shape of wins"),
    (lambda: an.panel_loss([1.0], -np.array(ONE)), r"wins\[0, 0, 0, 1\] is -1"),
    (lambda: an.panel_loss([1.0], np.zeros((1, 1, 2, 2))), "the number of pairs that are compared is 0"),
    (lambda: an.panel_loss([1.0], ONE, nodes=0), "nodes is 0"),
    (lambda: an.panel_loss([1.0], ONE, nodes=1000), r"nodes is 1000; expected an integer in \[1, 300\]"),
    (lambda: an.dawid_skene(np.zeros((0, 2), int), 2), r"the shape of labels is \(0, 2\); expected at least one item"),
    (lambda: an.dawid_skene_loss(np.zeros((2, 2, 2)), [.5, .5], np.zeros((0, 2), int)), "the shape of labels is"),
    (lambda: an.dawid_skene_loss(*IMPOSSIBLE), r"the probability of labels\[1\] is 0.0; expected a number > 0"),
    (lambda: an.dawid_skene_grad(*IMPOSSIBLE), r"the probability of labels\[1\] is 0.0"),
    (lambda: an.dawid_skene_posterior(*IMPOSSIBLE), r"the probability of labels\[1\] is 0.0"),
    (lambda: an.agreement([[[1], [2, 3]]]), "places is .*; expected an array of numbers, every row of one length"),
    (lambda: an.wins([[[1, np.inf]]]), r"places\[0, 0, 1\] is inf; expected finite numbers"),
    (lambda: an.panel(np.concatenate([ONE, np.zeros((1, 1, 2, 2))], axis=1)),
     r"wins\[:, 1\] is 0; expected a labeller who compares something"),
    (lambda: an.worths([1.0], ONE, sweeps=0), "sweeps is 0"),
    (lambda: an.worth_loss([[1.0, np.nan]], [1.0], ONE), r"scores\[0, 1\] is nan")])
def test_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_labels_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match=r"labels is .*; expected integers"):
        an.dawid_skene([[0.5, 1]], 2)


@pytest.mark.parametrize("function", [an.kendall_w, an.agreement, an.wins, an.panel])
@pytest.mark.parametrize("kind", [complex, object, str])
def test_what_is_no_real_number_is_refused_in_one_line_that_names_it(function, kind):
    name, ndim = {an.kendall_w: ("places", 2), an.panel: ("wins", 4)}.get(function, ("places", 3))
    with pytest.raises(TypeError, match=f"^{name} is array.*; expected an array of real") as wrong:
        function(np.ones((2,) * ndim).astype(kind))
    assert "\n" not in str(wrong.value)
