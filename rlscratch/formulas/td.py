"""Q-learning: the Bellman target, one update, epsilon-greedy, and the Huber loss of DQN.

Q*(s, a) is the best return to be had after a in s.  The best return is the reward plus what
the best action of the next state is worth:

    Q*(s, a) = E[ r + d max_b Q*(s', b) ]                                            (1)

The mean is over r and s' given (s, a); d is gamma, or 0 where s' is terminal, for nothing
follows.  Read the right side as an operator on any table Q, and its inside as the target:

    y(r, s') = r + d max_b Q(s', b)                                                  (2)
    (T Q)(s, a) = E[ y(r, s') ]                                                      (3)

Two maxima lie no further apart than their entries do: if b maximises Q(s', .), then
max Q - max P = Q(b) - max P <= Q(b) - P(b) <= ||Q - P||, the largest difference of any entry,
and so with Q and P exchanged.  A mean does not enlarge this, and d <= gamma shrinks it:

    || T Q - T P ||  <=  gamma || Q - P ||                                           (4)

For gamma < 1, T therefore has exactly one fixed point, and applying it again and again leads
there.  By (1) that point is Q*.

T needs the model.  A learner sees one (s, a, r, s') at a time, and moves a share alpha of the
way to the target:

    Q(s, a)  <-  Q(s, a) + alpha [ y(r, s') - Q(s, a) ]                              (5)

By (3) the mean of the right side is Q + alpha (T Q - Q), which is Q itself only where T Q = Q:
the expected update stands still at Q* and nowhere else.  By (4) it shrinks distances by
1 - alpha (1 - gamma).  (5) is also a gradient step of size alpha on (y - Q(s, a))^2 / 2 with y
taken as data, and this is how DQN, whose Q is a network, uses it: the error y - Q enters

    H(e) = e^2 / 2                        |e| <= delta                               (6)
         = delta (|e| - delta / 2)        |e| >  delta
    H'(e) = clip(e, -delta, delta)                                                   (7)

At |e| = delta both branches of (6) give delta^2 / 2 and both slopes are delta, so H' has no
jump; H'' has one, from 1 to 0.  With c = H'(e), (6) is c (e - c / 2) on both branches, which is
how it is computed: no square of a large error.  Differentiated, c + (e - c) dc/de, and the last
term is 0, as either e = c or c is constant: that is (7).

To visit states at all, the learner mostly takes its best action and sometimes any:

    pi(a | s) = (1 - epsilon) [a is greedy] + epsilon / A                            (8)

Document 000 prints two things that its own figures contradict.  "Moved from State 0 to Stage 1
by taking action down": Down leads from 0 to 4, as its scenario and its path say; Right leads
to 1.  And gamma is .9 where it is defined, .99 in the example and in the table: Q(0, Down) =
.9510 is .99^5, where .9^5 is .5905.

Its rule writes gamma where (2) writes d.  For its table the two agree, since the rows of the
holes and of the goal start at 0 and are never updated; for a network, whose Q(s', .) is not 0
there, they do not.

Sources: document 000, "Q-learning Update Rule", "Applying Bellman's Equation" and the Q-table.
         Watkins and Dayan 1992, "Q-learning" (5); Huber 1964 (6); Mnih et al. 2015,
         "Human-level control through deep reinforcement learning", which clips the error to
         [-1, 1]: (7) with delta = 1.
Leaves out: the conditions on alpha under which (5) converges; double and distributional Q;
         the replay buffer and the target network, which belong to the training loop.
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike


def q_target(reward: ArrayLike, q_next: ArrayLike, discount: ArrayLike) -> float | Array:
    """Equation (2): y, in the dtype of q_next; a float for one transition, else (...).

    reward    scalar or (...)  r
    q_next    (..., A)         Q(s', .), in units of reward; any numbers where discount is 0
    discount  scalar or (...)  d in [0, 1]: gamma, or 0 where s' is terminal

    Raises ValueError or TypeError for bad arrays, shapes that differ, or a discount outside [0, 1].

    >>> q_target(0, [0, .5, 0, 0], .99)
    0.495

    Proof: tests/test_formulas_td.py, test_the_target_takes_the_largest_of_each_row
    """
    q_next = check.array(min_ndim=1, q_next=q_next)
    if q_next.dtype.kind == "c":        # chosen by the real part: a complex step follows the branch of the number
        best = np.take_along_axis(q_next, q_next.real.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    else:
        best = q_next.max(axis=-1)
    best, reward, discount = check.same_rank(best=best, reward=reward, discount=discount, called="the rows of q_next")
    check.entries_between(0, 1, discount=discount)
    target = reward + discount * best
    dtype = np.result_type(q_next, np.complex64) if target.dtype.kind == "c" else q_next.dtype
    target = np.asarray(target, dtype)
    return target if target.ndim else target.item()


def q_learning_update(q: ArrayLike, s: int, a: int, reward: float, s_next: int, alpha: float, discount: float) -> Array:
    """Equation (5): a new table (S, A) in the dtype of q, changed in one entry; q stays as it is.

    q          (S, A)  the table, in units of reward
    s, s_next  int     states in [0, S)
    a          int     the action taken, in [0, A)
    reward     scalar  r
    alpha      scalar  the step, in [0, 1]
    discount   scalar  d in [0, 1]: gamma, or 0 where s_next is terminal

    Raises ValueError or TypeError for a bad table, an index outside it, a reward that is not a
    finite number, or alpha or discount outside [0, 1].

    Document 000's second update, action 1 being Down: 0 + .1 (0 + .99 x .5 - 0).

    >>> q = np.zeros((16, 4))
    >>> q[4, 1] = .5
    >>> round(float(q_learning_update(q, 0, 1, 0, 4, alpha=.1, discount=.99)[0, 1]), 6)
    0.0495

    Proof: tests/test_formulas_td.py, test_an_update_moves_one_entry_a_share_alpha_of_the_way_and_leaves_the_argument
    """
    q = check.array(ndim=2, q=q)
    s, s_next = check.integer(0, q.shape[0] - 1, s=s, s_next=s_next)
    a = check.integer(0, q.shape[1] - 1, a=a)
    reward = check.number(reward=reward)
    alpha, discount = check.between(0, 1, alpha=alpha, discount=discount)
    new = q.copy()
    new[s, a] += alpha * (q_target(reward, q[s_next], discount) - q[s, a])
    return new


def epsilon_greedy(q: ArrayLike, epsilon: float, ties: str = "first") -> Array:
    """Equation (8): probabilities (..., A), in the (real) dtype of q.

    q        (..., A)  Q(s, .), in units of reward
    epsilon  scalar    in [0, 1], the share of steps that take any action, the greedy one included
    ties     "first": the lowest index among equal maxima is greedy, as numpy.argmax has it;
             "share": equal maxima share the greedy mass evenly

    Raises ValueError or TypeError for a bad q, epsilon outside [0, 1], or another word for ties.

    >>> epsilon_greedy([0, 2, 2, 1], .5)
    array([0.125, 0.625, 0.125, 0.125])
    >>> epsilon_greedy([0, 2, 2, 1], .5, ties="share")
    array([0.125, 0.375, 0.375, 0.125])

    Proof: tests/test_formulas_td.py, test_epsilon_greedy_is_a_distribution_that_explores_evenly_and_favours_the_best
    """
    q = check.array(min_ndim=1, q=q).real
    epsilon = check.between(0, 1, epsilon=epsilon)
    check.one_of(("first", "share"), ties=ties)
    if ties == "first":
        greedy = np.arange(q.shape[-1]) == q.argmax(axis=-1)[..., None]
    else:
        greedy = q == q.max(axis=-1, keepdims=True)
    greedy = (greedy / greedy.sum(axis=-1, keepdims=True)).astype(q.dtype)
    return (1 - epsilon) * greedy + epsilon / q.shape[-1]


def huber_loss(error: ArrayLike, delta: float = 1.0) -> Array:
    """Equation (6), elementwise: (...), in the dtype of error.

    error  (...)   e, prediction minus target or the other way round, in units of reward
    delta  scalar  > 0, where the parabola turns into a line, in units of reward

    torch.nn.HuberLoss is this; torch.nn.SmoothL1Loss(beta=delta) is this over delta.

    Raises ValueError or TypeError for errors that are not finite numbers, or delta not > 0.

    >>> huber_loss([.5, -1, 3])
    array([0.125, 0.5  , 2.5  ])

    Proof: tests/test_formulas_td.py, test_huber_is_a_parabola_inside_and_a_line_outside
    """
    error = check.array(error=error)
    slope = huber_grad(error, delta)
    return slope * (error - slope / 2)


def huber_grad(error: ArrayLike, delta: float = 1.0) -> Array:
    """Equation (7), elementwise: dH/de, (...), in the dtype of error.  Arguments as in huber_loss.

    >>> huber_grad([.5, -1, 3])
    array([ 0.5, -1. ,  1. ])

    Proof: tests/test_formulas_td.py, test_the_huber_gradient_agrees_with_both_numerical_derivatives
    """
    error = check.array(error=error)
    delta = check.positive(delta=delta)
    # numpy.clip orders complex numbers and would drop the step; |.| would not be analytic.
    return np.where(np.abs(error.real) <= delta, error, delta * np.sign(error.real))
