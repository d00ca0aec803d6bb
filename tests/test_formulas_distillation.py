"""A student p and a teacher q, by hand.

p = 1/2, 1/2 and q = 3/4, 1/4: forward .130812, reverse .143841, and the forward gradient p - q = -1/4, 1/4.
"""
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.expectations import sequences
from rlscratch.formulas.distillation import distillation_grad, distillation_loss
from rlscratch.formulas.distribution import log_softmax, softmax
from rlscratch.formulas.kl import kl
from rlscratch.formulas.policy_gradient import reinforce_grad
from rlscratch.formulas.returns import rewards_to_go
from strategies import arrays, eighths, probs_of

MIXES = st.sampled_from([0.0, .25, .5, 1.0])
ROW = st.tuples(arrays((2, 4), eighths(-2, 2)), st.tuples(probs_of(4), probs_of(4)).map(np.array))
KEPT = st.sampled_from([None, [[1, 1, 0, 0], [1, 1, 1, 1]], [[0, 1, 1, 1], [1, 0, 0, 1]]])


def plain(z, q, w, mix, kept, rest):
    """The divergence between the two rows, word by word; real or complex."""
    p = np.exp(log_softmax(z))
    total = 0
    for i in range(len(z)):
        chosen = np.ones(len(z[i]), bool) if kept is None else np.array(kept[i]) == 1
        a, b = list(p[i][chosen]), list(q[i][chosen])
        if rest == "bucket" and not chosen.all():
            a, b = [*a, p[i][~chosen].sum()], [*b, q[i][~chosen].sum()]
        for x, y in zip(a, b, strict=True):
            m = mix * y + (1 - mix) * x
            total += w[i] * (y * np.log(y / x) if mix == 0 else x * np.log(x / y) if mix == 1 else
                             mix * y * np.log(y / m) + (1 - mix) * x * np.log(x / m))
    return total


@given(ROW, MIXES, KEPT, st.sampled_from(["bucket", "drop"]))
@example((np.zeros((2, 4)), np.full((2, 4), .25)), 0.0, None, "bucket")
def test_the_gradient_is_the_derivative_of_the_loss(rows, mix, kept, rest):
    compare(distillation_grad, *rows, np.array([1.0, .5]), mix, kept, rest)


def compare(grad, z, *data):
    ours = grad(z, *data)
    assert_allclose(distillation_loss(z, *data), plain(z, *data), atol=1e-12)
    assert_allclose(ours, complex_step(lambda x: plain(x, *data), z), atol=1e-12)
    assert_allclose(ours, central_difference(lambda x: distillation_loss(x, *data), z), atol=1e-7)


Z, Q = np.array([[1.0, 0, -1, .5], [0, 0, 1, 0]]), np.array([[.4, .3, .2, .1], [.1, .2, .3, .4]])
TOP = [[1, 1, 0, 0], [0, 0, 1, 1]]
PLANTED = {
    "reverse for forward": lambda z, q, w, mix, kept, rest: distillation_grad(z, q, w, 1 - mix, kept, rest),
    "a sign": lambda *a: -distillation_grad(*a),
    "weight forgotten": lambda z, q, w, *a: distillation_grad(z, q, np.ones(2), *a),
    "the tail dropped": lambda z, q, w, mix, kept, rest: distillation_grad(z, q, w, mix, kept, "drop"),
    "the tail's constant dropped": lambda z, q, w, mix, kept, rest: distillation_grad(z, q, w, mix, kept, rest) * kept,
    "a factor 1.001": lambda *a: 1.001 * distillation_grad(*a),
}


@pytest.mark.parametrize("error", PLANTED)
def test_a_planted_error_is_caught(error):
    with pytest.raises(AssertionError):
        compare(PLANTED[error], Z, Q, np.array([1.0, .5]), 0.0, TOP, "bucket")


def test_the_ends_and_the_jump_to_them():
    one = np.ones(1)
    z, q = Z[:1], Q[:1]
    assert_allclose(distillation_loss(z, q, one), kl(q, softmax(z)).item())
    assert_allclose(distillation_loss(z, q, one, 1), kl(softmax(z), q).item())
    assert_allclose(distillation_loss(z, q, one, 1e-6) / 1e-6, kl(q, softmax(z)).item(), rtol=1e-4)
    assert_allclose(distillation_loss(z, q, one, 1 - 1e-6) / 1e-6, kl(softmax(z), q).item(), rtol=1e-4)


@given(ROW, st.sampled_from([0.0, .5, 1.0]))
def test_a_bucket_is_a_lower_bound_and_dropping_may_go_below_zero(rows, mix):
    z, q = rows
    assert distillation_loss(z, q, [1, 1], mix, TOP) <= distillation_loss(z, q, [1, 1], mix) + 1e-12
    assert distillation_loss([[0, 0, 3.0, 0]], [[.4, .4, .1, .1]], [1], 1, [[1, 1, 0, 0]], "drop") < 0


def test_renormalised_is_the_loss_on_the_kept_logits_alone():
    z, q = Z[:1, :2], Q[:1, :2] / Q[0, :2].sum()
    assert_allclose(distillation_loss(z, q, [1]), kl(q, softmax(z)).item())


# ---------------------------------------------------------------- on policy

ANSWERS = sequences.all_answers(2, 2)
tables = st.tuples(*[arrays((3, 2), eighths(-2, 2))] * 2)


def ascent(student, coefficient):
    """E over the student's answers of the descent of sum coefficient_t score_t, (P, V)."""
    own = sequences.logp(student, ANSWERS)
    seed = reinforce_grad(own, coefficient, np.exp(own.sum(axis=1))[:, None] * ANSWERS.mask)
    return sequences._added(ANSWERS, np.arange(4)[None], seed[None], student)[0]


@given(tables)
def test_which_gradient_each_on_policy_form_estimates(logits):
    student, teacher = logits
    own, ref = sequences.logp(student, ANSWERS), sequences.logp(teacher, ANSWERS)
    d = own - ref
    reach = np.r_[1, softmax(student[0])]
    all_words = distillation_grad(student, softmax(teacher), reach, 1)
    assert_allclose(ascent(student, -d), all_words, atol=1e-12)                       # (5) and (6): one mean
    whole = central_difference(lambda z: kl(np.exp(sequences.logp(z, ANSWERS).sum(axis=1)),
                                            np.exp(ref.sum(axis=1))).item(), student)
    assert_allclose(ascent(student, -rewards_to_go(d)), whole, atol=1e-7)             # (7)
    assert_allclose(all_words[1:], whole[1:], atol=1e-7)                 # they part at the first word alone
    penalty = kl(softmax(student), softmax(teacher))[ANSWERS.prefix]
    assert_allclose(ascent(student, -penalty), 0, atol=1e-12)                         # does not look at the word


@pytest.mark.parametrize(("call", "message"), [
    (lambda: distillation_loss([[0, 0]], [[1, 0]], [1]), r"teacher\[0, 1\] is 0.0; expected .*logarithm is finite"),
    (lambda: distillation_loss([[0, 0]], [[.5, .6]], [1]), r"the sum of teacher\[0\] is 1.1; expected 1, as for"),
    (lambda: distillation_loss([[0, 0]], [[.5, .5]], [-1]), r"weight\[0\] is -1.0; expected weights >= 0"),
    (lambda: distillation_loss([[0, 0]], [[.5, .5]], [1], 2), r"mix is 2; expected a number in \[0, 1\]"),
    (lambda: distillation_loss([[0, 0]], [[.5, .5]], [1], rest="tail"), "rest is 'tail'; expected one of 'bucket'"),
    (lambda: distillation_loss([0, 0], [[.5, .5]], [1]), r"the shape of logits is \(2,\); expected 2 dimensions"),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_equal_teacher_teaches_nothing():
    assert_array_equal(distillation_grad([[0, 0]], [[.5, .5]], [1]), [[0, 0]])
