"""y = r + d max_b Q(s', b);  Q(s, a) += alpha (y - Q(s, a));  epsilon-greedy;  Huber.

Document 000's second update: Q(4, Down) = .5, alpha .1, gamma .99, so Q(0, Down) becomes
0 + .1 x (0 + .99 x .5 - 0) = .1 x .495 = .0495.  Its table at the fixed point, on the lake
SFFF FHFH FFFH HFFG with actions Left Down Right Up: Q(0, Down) = .99^5 = .9510 and
Q(14, Right) = 1; row 9 ties Down and Right at .9801; the path is 0 4 8 9 13 14 15.
"""
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.formulas.td import epsilon_greedy, huber_grad, huber_loss, q_learning_update, q_target
from strategies import arrays, eighths, logits_nv, probs_of

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

LEFT, DOWN, RIGHT, UP = range(4)
LAKE = "SFFFFHFHFFFHHFFG"

unit = eighths(0, 1)
errors = st.integers(1, 6).flatmap(lambda n: arrays((n,), eighths(-8, 8)))
deltas = eighths(0.125, 4)


def lake():
    """The deterministic lake: next states, rewards and discounts, each (16, 4); terminal states stay."""
    s_next, reward, discount = np.zeros((16, 4), int), np.zeros((16, 4)), np.zeros((16, 4))
    for s in range(16):
        row, column = divmod(s, 4)
        moves = {LEFT: (row, max(column - 1, 0)), DOWN: (min(row + 1, 3), column),
                 RIGHT: (row, min(column + 1, 3)), UP: (max(row - 1, 0), column)}
        for a, (i, j) in moves.items():
            after = s if LAKE[s] in "HG" else 4 * i + j
            s_next[s, a] = after
            reward[s, a] = LAKE[s] == "F" and LAKE[after] == "G"
            discount[s, a] = 0 if LAKE[after] in "HG" else 0.99
    return s_next, reward, discount


def fixed_point(operator, q):
    while not np.array_equal(operator(q), q):
        q = operator(q)
    return q


@st.composite
def models(draw):
    """A random MDP, a step of its Bellman operator, and two tables: (operator, gamma, q, p)."""
    n, m = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    moves = np.array([[draw(probs_of(n)) for _ in range(m)] for _ in range(n)])          # (S, A, S')
    reward = draw(arrays((n, m, n)))
    ends = draw(arrays((n, m, n), st.sampled_from([0.0, 0.0, 1.0])))
    gamma = draw(eighths(0, 0.875))
    return bellman(moves, reward, gamma * (1 - ends)), gamma, draw(arrays((n, m))), draw(arrays((n, m)))


def bellman(moves, reward, discount, target=q_target):
    """Equation (3), T Q, as the mean of the sample target over s'."""
    def operator(q):
        return (moves * target(reward, np.broadcast_to(q, (*moves.shape, q.shape[1])), discount)).sum(axis=-1)
    return operator


# ---------------------------------------------------------------- the target and the update


def test_document_000_s_second_update_and_its_steps():
    q = np.zeros((16, 4))
    q[4, DOWN] = 0.5
    assert_allclose(q_target(0, q[4], 0.99), 0.495, rtol=1e-15)
    new = q_learning_update(q, 0, DOWN, 0, 4, alpha=0.1, discount=0.99)
    assert_allclose(new[0, DOWN], 0.0495, rtol=1e-15)


def test_document_000_s_first_update_leaves_zeros():
    assert_array_equal(q_learning_update(np.zeros((16, 4)), 0, DOWN, 0, 4, 0.1, 0.99), np.zeros((16, 4)))


def test_down_from_state_0_leads_to_4_and_it_is_right_that_leads_to_1():
    s_next, *_ = lake()
    assert (s_next[0, DOWN], s_next[0, RIGHT], s_next[4, RIGHT]) == (4, 1, 5)


def test_the_fixed_point_on_the_lake_is_the_table_of_document_000():
    s_next, reward, discount = lake()
    q = fixed_point(lambda q: q_target(reward, q[s_next], discount), np.zeros((16, 4)))
    # It prints .9321 for Q(0, Right), a run that has not converged.
    assert_allclose(q[0], [0.9415, 0.9510, 0.9510, 0.9415], rtol=0, atol=5e-5)
    assert_allclose(q[4], [0.9510, 0.9606, 0, 0.9415], rtol=0, atol=5e-5)
    assert_allclose(q[8], [0.9606, 0, 0.9703, 0.9510], rtol=0, atol=5e-5)
    assert_allclose(q[9], [0.9606, 0.9801, 0.9801, 0], rtol=0, atol=5e-5)
    assert_allclose(q[14], [0.9801, 0.9900, 1, 0.9801], rtol=0, atol=5e-5)
    assert_array_equal(q[[5, 7, 11, 12, 15]], 0)
    path = [0]
    while LAKE[path[-1]] not in "HG":
        path.append(int(s_next[path[-1], epsilon_greedy(q[path[-1]], 0).argmax()]))
    assert path == [0, 4, 8, 9, 13, 14, 15]


def test_gamma_of_document_000_is_99_hundredths_whatever_its_definition_says():
    s_next, reward, discount = lake()
    q = fixed_point(lambda q: q_target(reward, q[s_next], discount * 0.9 / 0.99), np.zeros((16, 4)))
    assert_allclose(q[0, DOWN], 0.59049, rtol=0, atol=5e-6)
    assert abs(q[0, DOWN] - 0.9510) > 0.3


def test_repeated_updates_of_the_whole_lake_reach_the_same_table():
    s_next, reward, discount = lake()
    exact = fixed_point(lambda q: q_target(reward, q[s_next], discount), np.zeros((16, 4)))
    q = np.zeros((16, 4))
    for _ in range(16):
        for s in reversed(range(15)):
            for a in range(4):
                q = q_learning_update(q, s, a, reward[s, a], int(s_next[s, a]), 1.0, discount[s, a])
    assert_allclose(q, exact, rtol=0, atol=1e-12)


def test_nothing_follows_a_terminal_state_whatever_the_table_holds_there():
    q = np.full((3, 2), 8.0)
    assert q_learning_update(q, 0, 1, 1.0, 2, alpha=1.0, discount=0)[0, 1] == 1
    assert q_learning_update(q, 0, 1, 1.0, 2, alpha=1.0, discount=0.5)[0, 1] == 5


@given(st.data(), logits_nv(), unit, unit, eighths())
def test_an_update_moves_one_entry_a_share_alpha_of_the_way_and_leaves_the_argument(data, q, alpha, discount, reward):
    s, s_next = (data.draw(st.integers(0, q.shape[0] - 1)) for _ in range(2))
    a = data.draw(st.integers(0, q.shape[1] - 1))
    before = q.copy()
    new = q_learning_update(q, s, a, reward, s_next, alpha, discount)
    target = reward + discount * max(q[s_next])
    expected = before.copy()
    expected[s, a] = (1 - alpha) * before[s, a] + alpha * target
    assert_allclose(new, expected, rtol=0, atol=1e-13)
    assert_array_equal(q, before)
    assert not np.shares_memory(new, q)


@given(models())
def test_the_bellman_operator_contracts_by_gamma_in_the_max_norm(model):
    operator, gamma, q, p = model
    assert np.abs(operator(q) - operator(p)).max() <= gamma * np.abs(q - p).max() + 1e-12


def test_the_contraction_is_no_faster_than_gamma():
    stay = bellman(np.ones((1, 1, 1)), np.zeros((1, 1, 1)), np.full((1, 1, 1), 0.5))
    assert_array_equal(stay(np.array([[8.0]])) - stay(np.array([[4.0]])), [[2.0]])


@given(models(), eighths(0.125, 1))
def test_the_expected_update_stands_still_at_the_optimum_and_nowhere_else(model, alpha):
    operator, gamma, q, p = model
    optimum = np.zeros_like(q)
    for _ in range(300):                         # .875^300 is 4e-18
        optimum = operator(optimum)
    step = lambda table: table + alpha * (operator(table) - table)                                     # noqa: E731
    assert_allclose(step(optimum), optimum, rtol=0, atol=1e-11)
    assert np.abs(step(q) - step(p)).max() <= (1 - alpha * (1 - gamma)) * np.abs(q - p).max() + 1e-12
    away = np.abs(q - optimum).max()             # and from anywhere else it moves, in proportion
    assert np.abs(step(q) - q).max() >= alpha * (1 - gamma) * away - 1e-12


def test_the_mean_over_next_states_of_the_sample_update_is_the_expected_update():
    q = np.array([[1.0, -2.0], [0.5, 4.0]])
    moves, reward, gamma, alpha = np.array([0.25, 0.75]), np.array([3.0, -1.0]), 0.5, 0.125
    mean = sum(moves[s] * q_learning_update(q, 0, 1, reward[s], s, alpha, gamma) for s in range(2))
    bellman_01 = 0.25 * (3 + 0.5 * 1) + 0.75 * (-1 + 0.5 * 4)
    assert_array_equal(mean, [[1.0, -2 + alpha * (bellman_01 + 2)], [0.5, 4.0]])


@given(logits_nv(), eighths(), unit)
def test_the_target_takes_the_largest_of_each_row(q_next, reward, discount):
    expected = np.array([reward + discount * max(row) for row in q_next])
    assert_array_equal(q_target(reward, q_next, discount), expected)
    assert_array_equal(q_target(np.full(len(q_next), reward), q_next, np.full(len(q_next), discount)), expected)
    assert [q_target(reward, row, discount) for row in q_next] == expected.tolist()


def test_an_update_is_a_gradient_step_on_half_the_squared_error_with_the_target_as_data():
    q = np.array([[1.0, -2.0], [0.5, 4.0]])
    y = q_target(0.5, q[1], 0.75)
    slope = complex_step(lambda table: (y - table[0, 1]) ** 2 / 2, q)
    assert_allclose(q_learning_update(q, 0, 1, 0.5, 1, 0.125, 0.75), q - 0.125 * slope, rtol=1e-15)


def test_a_complex_step_through_the_target_reaches_the_largest_entry_alone():
    assert_allclose(complex_step(lambda q: q_target(1.0, q, 0.75), np.array([1.0, 3, 2])), [0, 0.75, 0])
    tied = complex_step(lambda q: q_target(1.0, q, 0.75), np.array([3.0, 3, 2]))    # the kink: the first of the two
    assert_array_equal(tied, [0.75, 0, 0])
    through = complex_step(lambda q: q_learning_update(q, 0, 0, 1.0, 1, 0.25, 0.5)[0, 0], np.array([[1.0, 2], [3, 4]]))
    assert_allclose(through, [[0.75, 0], [0, 0.125]])


# ---------------------------------------------------------------- epsilon-greedy


def test_row_9_of_document_000_s_table_ties_down_and_right():
    row_9 = [0.9606, 0.9801, 0.9801, 0]
    assert_allclose(epsilon_greedy(row_9, 0.1), [0.025, 0.925, 0.025, 0.025], rtol=1e-15)
    assert_allclose(epsilon_greedy(row_9, 0.1, ties="share"), [0.025, 0.475, 0.475, 0.025], rtol=1e-15)


@given(logits_nv(max_size=4, low=-1, high=1), unit, st.sampled_from(["first", "share"]))
@example(np.array([[0.9606, 0.9801, 0.9801, 0.0]]), 0.125, "share")
def test_epsilon_greedy_is_a_distribution_that_explores_evenly_and_favours_the_best(q, epsilon, ties):
    pi = epsilon_greedy(q, epsilon, ties)
    assert_allclose(pi.sum(axis=-1), 1, rtol=1e-15)
    best = q == q.max(axis=-1, keepdims=True)
    floor = epsilon / q.shape[1]
    assert_array_equal(pi[~best], floor)
    assert_allclose(np.where(best, pi - floor, 0).sum(axis=-1), 1 - epsilon, rtol=0, atol=1e-15)
    greedy = pi - floor                          # all on the first maximum, or the same on each
    if ties == "share":
        assert_allclose(greedy * best.sum(axis=-1, keepdims=True), (1 - epsilon) * best, rtol=0, atol=1e-15)
    else:
        first = np.arange(len(q)), q.argmax(axis=-1)
        assert_allclose(greedy[first], 1 - epsilon, rtol=0, atol=1e-15)


def test_the_ends_of_epsilon_are_the_greedy_and_the_uniform_policy():
    assert_array_equal(epsilon_greedy([1, 3, 2], 0), [0, 1, 0])
    assert_allclose(epsilon_greedy([1, 3, 2], 1), [1 / 3] * 3, rtol=1e-15)
    assert_array_equal(epsilon_greedy([7], 0.5), [1])
    assert_array_equal(epsilon_greedy([[[0, 0]]], 0), [[[1, 0]]])


# ---------------------------------------------------------------- Huber


@given(errors, deltas)
@example(np.array([0.5, -1.0, 3.0]), 1.0)
@example(np.array([0.495]), 1.0)                                    # document 000's error: inside
def test_huber_is_a_parabola_inside_and_a_line_outside(error, delta):
    piecewise = [e**2 / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2) for e in error]
    assert_array_equal(huber_loss(error, delta), piecewise)
    assert_array_equal(huber_grad(error, delta), np.clip(error, -delta, delta))
    assert_array_equal(huber_loss(-error, delta), huber_loss(error, delta))


def agrees_with_numerical_derivatives(loss, grad, error, delta):
    by_hand = grad(error, delta)
    assert_allclose(by_hand, complex_step(lambda e: loss(e, delta).sum(), error), rtol=1e-9)
    assert_allclose(by_hand, central_difference(lambda e: loss(e, delta).sum(), error), rtol=1e-6, atol=1e-9)


@given(errors, deltas)
def test_the_huber_gradient_agrees_with_both_numerical_derivatives(error, delta):
    away = error + np.where(np.abs(error) == delta, 1 / 16, 0)      # central differences see the kink: next test
    agrees_with_numerical_derivatives(huber_loss, huber_grad, away, delta)


@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_at_the_kink_loss_and_slope_are_continuous_and_the_curvature_jumps_from_1_to_0(delta, sign):
    edge, h = sign * delta, 2.0**-10
    inner, at, outer = huber_grad([edge - sign * h, edge, edge + sign * h], delta)
    assert at == edge
    assert (at - inner) * sign / h == 1
    assert (outer - at) / h == 0
    assert huber_loss(edge, delta) == delta**2 / 2
    below, above = huber_loss([edge - sign * h, edge + sign * h], delta)
    # Half the stencil lies on the parabola: a central difference is short by exactly h / 4.
    assert_allclose((above - below) / (2 * h), delta - h / 4, rtol=0, atol=1e-12)
    assert_allclose(complex_step(lambda e: huber_loss(e, delta).sum(), np.array([edge])), [edge], rtol=1e-15)


def test_huber_of_a_huge_error_does_not_overflow():
    assert_array_equal(huber_loss([1e200, -1e200], 2.0), [2e200, 2e200])
    assert huber_loss(np.array([3e38], np.float32)) == np.float32(3e38)


# ---------------------------------------------------------------- dtypes, shapes, bad input


def test_the_answers_have_the_dtype_of_the_learned_quantity():
    q = np.array([[1, 2], [3, 4]], np.float32)
    assert q_target(np.ones(2), q, np.full(2, 0.99)).dtype == np.float32
    assert type(q_target(1, q[0], 0.99)) is float
    assert type(q_target(1, q[0].astype(np.complex64), 0.99)) is complex
    assert q_target(np.ones(2) + 0j, q, 0.5).dtype == np.complex64
    assert q_learning_update(q, 0, 1, 1.0, 1, 0.1, 0.99).dtype == np.float32
    assert q_learning_update([[1, 2], [3, 4]], np.int64(0), np.int32(1), 1, 1, 1, 1).dtype == np.float64
    for ties in ("first", "share"):
        assert epsilon_greedy(q, 0.1, ties).dtype == np.float32
        assert epsilon_greedy(q + 0j, 0.1, ties).dtype == np.float32
    for f in (huber_loss, huber_grad):
        assert f(q, 1.5).dtype == np.float32
        assert f(q + 0j, 1.5).dtype == np.complex64
        assert f([3, 0]).dtype == np.float64


def test_targets_keep_their_leading_axes():
    q_next = np.arange(24.0).reshape(2, 3, 4)
    assert_array_equal(q_target(np.ones((2, 3)), q_next, 0.5), 1 + 0.5 * q_next[..., 3])
    assert_array_equal(q_target(np.ones((2, 1)), q_next, [[0.5, 0.5, 0]]), 1 + np.array([0.5, 0.5, 0]) * q_next[..., 3])


Q = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]


@pytest.mark.parametrize("call, error, message", [
    (lambda: q_target(0, 1.0, 0.9), ValueError, r"the shape of q_next is \(\); expected at least 1 dimension"),
    (lambda: q_target([0, 0], Q, 0.9), ValueError, r"the shape of reward is \(2,\); expected \(3,\) like the rows of"),
    (lambda: q_target(0, Q, [[0.9] * 3]), ValueError, r"the shape of discount is \(1, 3\); expected \(3,\) like the"),
    (lambda: q_target(np.nan, Q, 0.9), ValueError, r"reward is nan; expected finite numbers"),
    (lambda: q_target(0, [1, np.inf], 0.9), ValueError, r"q_next\[1\] is inf; expected finite numbers"),
    (lambda: q_target(0, Q, [0.9, 1.1, 0]), ValueError, r"discount\[1\] is 1.1; expected a number in \[0, 1\]"),
    (lambda: q_target(0, ["a"], 0.9), TypeError, r"q_next is \['a'\]; expected an array of real or complex numbers"),
    (lambda: q_learning_update(Q[0], 0, 0, 0, 0, 1, 1), ValueError, r"the shape of q is \(2,\); expected 2 dimensions"),
    (lambda: q_learning_update(Q, 3, 0, 0, 0, 1, 1), ValueError, r"s is 3; expected an integer in \[0, 2\]"),
    (lambda: q_learning_update(Q, -1, 0, 0, 0, 1, 1), ValueError, r"s is -1; expected an integer in \[0, 2\]"),
    (lambda: q_learning_update(Q, 0, 2, 0, 0, 1, 1), ValueError, r"a is 2; expected an integer in \[0, 1\]"),
    (lambda: q_learning_update(Q, 0, 0, 0, 3, 1, 1), ValueError, r"s_next is 3; expected an integer in \[0, 2\]"),
    (lambda: q_learning_update(Q, 0, 0, 0, 1.0, 1, 1), TypeError, r"s_next is 1.0; expected an integer in \[0, 2\]"),
    (lambda: q_learning_update(Q, 0, True, 0, 0, 1, 1), TypeError, r"a is True; expected an integer in \[0, 1\]"),
    (lambda: q_learning_update(Q, 0, 0, np.inf, 0, 1, 1), ValueError, r"reward is inf; expected a finite number"),
    (lambda: q_learning_update(Q, 0, 0, [1], 0, 1, 1), TypeError, r"reward is \[1\]; expected a finite number"),
    (lambda: q_learning_update(Q, 0, 0, 0, 0, 1.5, 1), ValueError, r"alpha is 1.5; expected a number in \[0, 1\]"),
    (lambda: q_learning_update(Q, 0, 0, 0, 0, 1, -0.1), ValueError, r"discount is -0.1; expected a number in \[0, 1\]"),
    (lambda: epsilon_greedy(1.0, 0.1), ValueError, r"the shape of q is \(\); expected at least 1 dimension"),
    (lambda: epsilon_greedy([[]], 0.1), ValueError, r"the shape of q is \(1, 0\); expected at least one entry"),
    (lambda: epsilon_greedy(Q, 1.1), ValueError, r"epsilon is 1.1; expected a number in \[0, 1\]"),
    (lambda: epsilon_greedy(Q, 0.1, "last"), ValueError, r"ties is 'last'; expected one of 'first', 'share'"),
    (lambda: huber_loss([1, np.nan]), ValueError, r"error\[1\] is nan; expected finite numbers"),
    (lambda: huber_grad("x"), TypeError, r"error is 'x'; expected an array of real or complex numbers"),
    (lambda: huber_loss([1.0], 0), ValueError, r"delta is 0; expected a finite number > 0"),
    (lambda: huber_grad([1.0], np.inf), ValueError, r"delta is inf; expected a finite number > 0"),
])
def test_bad_input_is_named_before_anything_is_computed(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- the checks are checked

OUTSIDE_AND_INSIDE = np.array([-3.0, -0.25, 0.75, 2.0])


@pytest.mark.parametrize("wrong", [
    lambda e, d: -huber_grad(e, d),
    lambda e, d: 1.001 * huber_grad(e, d),
    lambda e, d: np.asarray(e),                                      # never clipped
    lambda e, d: np.clip(e, 0, d),                                   # clipped on one side too far
    lambda e, d: huber_grad(e, 2 * d) / 2,
])
def test_a_planted_error_in_the_huber_gradient_is_caught(wrong):
    agrees_with_numerical_derivatives(huber_loss, huber_grad, OUTSIDE_AND_INSIDE, 1.0)
    with pytest.raises(AssertionError):
        agrees_with_numerical_derivatives(huber_loss, wrong, OUTSIDE_AND_INSIDE, 1.0)


def test_a_smooth_l1_loss_is_caught_as_a_huber_loss():
    def smooth_l1(error, delta):
        return huber_loss(error, delta) / delta
    with pytest.raises(AssertionError):
        agrees_with_numerical_derivatives(smooth_l1, huber_grad, OUTSIDE_AND_INSIDE, 2.0)


@pytest.mark.parametrize("wrong", [
    lambda r, q, d: r + 1.2 * d * q.max(axis=-1),                    # a factor: no contraction by gamma
    lambda r, q, d: r + d * q.sum(axis=-1),                          # a sum for the maximum
    lambda r, q, d: r + q.max(axis=-1),                              # no discount
])
def test_a_planted_error_in_the_target_breaks_the_contraction(wrong):
    moves, reward, discount = np.full((2, 2, 2), 0.5), np.zeros((2, 2, 2)), np.full((2, 2, 2), 0.5)
    q, p = np.full((2, 2), 3.0), np.full((2, 2), 1.0)
    right, broken = bellman(moves, reward, discount), bellman(moves, reward, discount, wrong)
    assert np.abs(right(q) - right(p)).max() <= 0.5 * np.abs(q - p).max()
    assert np.abs(broken(q) - broken(p)).max() > 0.5 * np.abs(q - p).max()


def gives_the_document_s_number(update):
    q = np.zeros((16, 4))
    q[4, DOWN] = 0.5
    assert_allclose(update(q, 0, DOWN, 0.0, 4, 0.1, 0.99)[0, DOWN], 0.0495, rtol=0, atol=5e-5)


@pytest.mark.parametrize("wrong", [
    lambda q, s, a, r, s_next, alpha, d: q_learning_update(q, s, a, r, s_next, alpha, 0.9),       # its definition
    lambda q, s, a, r, s_next, alpha, d: q_learning_update(q, s, a, r, 1, alpha, d),              # its "Stage 1"
    lambda q, s, a, r, s_next, alpha, d: q_learning_update(q, s_next, a, r, s, alpha, d),         # s and s' exchanged
    lambda q, s, a, r, s_next, alpha, d: q - (q_learning_update(q, s, a, r, s_next, alpha, d) - q),
    lambda q, s, a, r, s_next, alpha, d: q_learning_update(q, s, a, r, s_next, 1 - alpha, d),
])
def test_a_planted_error_in_the_update_misses_the_document_s_number(wrong):
    gives_the_document_s_number(q_learning_update)
    with pytest.raises(AssertionError):
        gives_the_document_s_number(wrong)
