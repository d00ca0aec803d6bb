"""A policy as a table of logits: one row for each state, pi(.|s) = softmax(z_s).

A loss L of the chosen log-probabilities comes with dlogp_t = dL/dlogp_t (formulas).  Its derivative in the
table is the chain rule, and the only one needed by every method here.  log pi(a_t|s_t) depends on one row:

    dL/dz_s = sum over t with s_t = s of dlogp_t score(z_s, a_t)                         (1)
            = sum_a D(s, a) score(z_s, a),    D(s, a) = sum of dlogp_t over (s_t, a_t) = (s, a)
            = D(s, .) - pi(.|s) sum_a D(s, a),    since score(z_s, a) is 1 at a and 0 elsewhere, less pi(.|s)

A batch of any length is so reduced to one number an entry first.  Likewise for an entropy bonus,
whose row s weighs as much as its visits do, and for a table of values, v_t = V(s_t).

Leaves out: the formulas themselves; networks, where autograd takes the place of (1).
"""
import numpy as np

from rlscratch.check import Array
from rlscratch.formulas.distribution import entropy_grad, log_softmax, softmax


def logp(logits: Array, states: Array, actions: Array) -> Array:
    """log pi(a_t|s_t), in the shape of states: logits (S, A), states and actions integers of one shape."""
    return log_softmax(logits)[states, actions]


def logits_grad(logits: Array, states: Array, actions: Array, dlogp: Array) -> Array:
    """Equation (1): dL/dlogits, (S, A).

    logits           (S, A)   finite
    states, actions  any one shape, integers
    dlogp            like states; 0 where no action was taken

    >>> logits_grad(np.zeros((2, 2)), np.array([0, 0]), np.array([0, 1]), np.array([1.0, 0.5])).tolist()
    [[0.25, -0.25], [0.0, 0.0]]
    """
    pair = np.ravel_multi_index((states.ravel(), actions.ravel()), logits.shape)
    drawn = np.bincount(pair, dlogp.ravel(), minlength=logits.size).reshape(logits.shape)
    return drawn - softmax(logits) * drawn.sum(axis=1, keepdims=True)


def bonus_grad(logits: Array, states: Array, weight: Array) -> Array:
    """The derivative of sum_t w_t H(pi(.|s_t)), (S, A); to be ascended.  weight like states."""
    return per_state(weight, states, len(logits))[:, None] * entropy_grad(logits)


def per_state(terms: Array, states: Array, rows: int) -> Array:
    """Sums of terms over the visits of each state, (S,)."""
    return np.bincount(states.ravel(), terms.ravel(), minlength=rows)


def equal_states(states: Array, mask: Array, rows: int) -> Array:
    """A weight for each visit, so that every visited state weighs 1: w_t = m_t / visits of s_t.

    With it a step of length alpha along formulas.ppo.value_grad moves V(s) by alpha of the way from where
    it is to the mean of its returns, however often s was visited.
    """
    visits = per_state(mask, states, rows)[states]
    return mask / np.where(visits > 0, visits, 1)
