"""The Markov property broken and repaired: an MDP whose policy remembers what it saw and did.

A policy that sees o(s) alone may have to act alike in two states that want different moves.  For it the next
observation depends on more than o and a: what it sees is no Markov chain.  But (s, h), with the last k pairs of
observation and action

    h = (o(s_t-k), a_t-k, ..., o(s_t-1), a_t-1)       fewer at the beginning of an episode     (1)

is one, as s' depends on s and a, and h' on h, o(s) and a.  So the MDP over (s, h) is again an MDP, with the same
transitions and rewards, of which the policy sees (h, o(s)).  A policy that ignores h is one of its policies: memory
never hurts.  And as k grows without end, whatever could be known from the past is in h.

The number of states grows like (O A)^k; only those that can be reached are made.

Source: document 004, 1.1 (the Markov property); Sutton and Barto 2018, example 13.1 (the corridor);
        Singh, Jaakkola, Jordan 1994 (without memory a mixed policy may be better than every deterministic one).
Leaves out: beliefs, the probability of each s given h, which is all that the best policy needs of h.
"""
import numpy as np

from rlscratch import check
from rlscratch.mdp.process import MDP


def remembering(mdp: MDP, steps: int = 1) -> tuple[MDP, list[tuple]]:
    """Equation (1): the MDP over (s, h), and what is seen of each observation: (o_t-k, a_t-k, ..., o_t).

    steps  k >= 0 pairs that are remembered

    A corridor of three rooms that look alike.  Moves: 0 back, 1 on, and in the middle room the other way round.

    >>> P = np.zeros((4, 2, 4))
    >>> P[[0, 1, 2, 3], 0, [0, 2, 1, 3]] = P[[0, 1, 2, 3], 1, [1, 0, 3, 3]] = 1
    >>> corridor = MDP(P, [-1, -1, -1, 0], 1.0, start=0, terminal=[0, 0, 0, 1], observation=[0, 0, 0, 1])
    >>> remembers, seen = remembering(corridor)
    >>> remembers, seen                                         # nothing yet; after back; after on; outside
    (MDP(7 states, 2 actions, gamma 1, 1 terminal), [(0,), (0, 0, 0), (0, 1, 0), (0, 1, 1)])
    """
    check.integer(0, steps=steps)
    look = mdp.observation.tolist()
    places: dict[tuple[int, tuple], int] = {(s, ()): i for i, s in enumerate(np.flatnonzero(mdp.start).tolist())}
    edges, queue = [], list(places)
    for s, h in queue:                      # grows while it is read
        for a in range(mdp.transition.shape[1]):
            after = (*h, look[s], a)[-2 * steps:] if steps else ()
            for s_next in np.flatnonzero(mdp.transition[s, a]).tolist():
                there = (s_next, h if mdp.terminal[s] else after)
                if there not in places:
                    places[there] = len(places)
                    queue.append(there)
                edges.append((places[s, h], a, places[there], s, s_next))
    i, a, j, s, s_next = np.array(edges).T
    transition, reward = np.zeros((2, len(queue), mdp.transition.shape[1], len(queue)))
    transition[i, a, j], reward[i, a, j] = mdp.transition[s, a, s_next], mdp.reward[s, a, s_next]
    state = np.array([s for s, _ in queue])
    seen = [(*h, look[s]) for s, h in queue]
    kinds = {what: n for n, what in enumerate(sorted(set(seen), key=lambda what: (len(what), what)))}
    start = np.where([not h for _, h in queue], mdp.start[state], 0)
    return MDP(transition, reward, mdp.gamma, start, mdp.terminal[state], [kinds[what] for what in seen]), list(kinds)
