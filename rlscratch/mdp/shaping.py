"""Reward shaping: what can be added to the rewards of an MDP and leave the best policy as it is.

Give every state a potential phi(s), 0 where the episode is over, and pay for a step from s to s'

    R'(s, a, s') = R(s, a, s') + gamma phi(s') - phi(s)                                       (1)

Along an episode the additions telescope: discounted, each gamma^t+1 phi(s_t+1) is paid once and taken back in the
next step, and what is left is - phi(s_0).  So for every policy, with v and q of the MDP as it was,

    v'(s) = v(s) - phi(s),       q'(s, a) = q(s, a) - phi(s)                                   (2)

(for gamma < 1, or where every episode ends).  What is taken off does not depend on the action.  The order of actions
is unchanged, and with it the best policy; so are all differences q(s, a) - v(s), and the policy gradient, for
it is made of those.  With phi = v*, the best action is worth 0 in every state: the next step alone shows it.

Nothing else is safe.  An addition F(s, a, s') that is no such difference pays for some closed walk: sum_t gamma^t F_t
does not come back to 0, and if it is large enough, walking in a circle is better than arriving.  A bonus for each
step towards the goal, with nothing taken back for a step away from it, is of this kind.

Over T steps cut off before the end, gamma^T phi(s_T) stays paid: a truncated episode keeps (2) only if its last value
is bootstrapped, as formulas.returns does.

Source: Ng, Harada, Russell 1999; Wiewiora 2003 (shaping is a table that starts at phi instead of 0).
Leaves out: potentials that depend on time or on the action.
"""
from dataclasses import replace

import numpy as np

from rlscratch import check
from rlscratch.check import ArrayLike
from rlscratch.mdp.process import MDP


def shaped(mdp: MDP, potential: ArrayLike) -> MDP:
    """Equation (1): the same MDP with other rewards.

    potential  (S,)  phi, in units of reward; 0 in terminal states

    Raises ValueError or TypeError for anything else.

    A corridor of two steps, the last of which pays 1; with phi = v* both are worth 0.

    >>> step = [[[0, 1, 0]], [[0, 0, 1]], [[0, 0, 1]]]
    >>> corridor = MDP(step, [0, 1, 0], 0.5, start=0, terminal=[0, 0, 1])
    >>> shaped(corridor, [0.5, 1.0, 0.0]).solve()[1].tolist()
    [0.0, 0.0, 0.0]
    """
    potential = check.real(potential=check.array(potential=potential))
    check.shape(mdp.terminal.shape, "one for each state", potential=potential)
    for s in np.flatnonzero(mdp.terminal & (potential != 0))[:1]:
        check.fail(f"potential[{s}]", potential[s], "0, since the episode is over there")
    return replace(mdp, reward=mdp.reward + mdp.gamma * potential - potential[:, None, None])
