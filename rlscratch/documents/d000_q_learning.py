"""Document 000, "How does LLM work ? - Part 1": Q-learning on the frozen lake.

    S F F F      S start   F ice        states 0 to 15, row by row
    F H F H      H hole    G goal       actions Left 0, Down 1, Right 2, Up 3
    F F F H
    H F F G      a move always goes where it is meant to; 1 for reaching the goal, 0 otherwise

The table that the document prints after training is held entry by entry against the optimum of
the same lake.  Its rounding agrees in 50 entries; 14 belong to moves that the run had not yet
learned.  From a table of zeros, without slipping and with rewards of at least 0, updates only
raise an entry, and never above the target that the present table sets for it:

    Q(s, a)  <=  r + γ max_b Q(s', b)                     (γ max Q = 0 where s' ends the episode)

since every past target was at most the present one and Q is a weighted mean of past targets
and 0.  Each of the 14 is held to that bound.
"""
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np

from rlscratch.documents.entry import PINNED, ROUNDING, Entry
from rlscratch.formulas import returns, td
from rlscratch.mdp import MDP

ACTIONS = ("Left", "Down", "Right", "Up")
LEFT, DOWN, RIGHT, UP = range(4)
GAMMA, ALPHA = 0.99, 0.1
SOLVE, BUILD = "rlscratch.mdp.process.MDP.solve", "rlscratch.mdp.process.MDP.from_gymnasium"
GREEDY = "rlscratch.formulas.td.epsilon_greedy"
TABLE = "Q-Table with Highlights"
entry = partial(Entry, document="000")

PRINTED = np.array([
    [0.9415, 0.9510, 0.9321, 0.9415],
    [0.9415, 0.0000, 0.6025, 0.7556],
    [0.1894, 0.8126, 0.0308, 0.2218],
    [0.1430, 0.0000, 0.0007, 0.0142],
    [0.9510, 0.9606, 0.0000, 0.9415],
    [0.0000, 0.0000, 0.0000, 0.0000],
    [0.0000, 0.9541, 0.0000, 0.2707],
    [0.0000, 0.0000, 0.0000, 0.0000],
    [0.9606, 0.0000, 0.9703, 0.9510],
    [0.9606, 0.9801, 0.9801, 0.0000],
    [0.9093, 0.9900, 0.0000, 0.6927],
    [0.0000, 0.0000, 0.0000, 0.0000],
    [0.0000, 0.0000, 0.0000, 0.0000],
    [0.0000, 0.9801, 0.9900, 0.9703],
    [0.9801, 0.9900, 1.0000, 0.9801],
    [0.0000, 0.0000, 0.0000, 0.0000],
])

# How many moves after this one the goal is reached on the best way; None: this move earns nothing.
MOVES_LEFT = (
    (6, 5, 5, 6), (6, None, 4, 5), (5, 3, 5, 4), (4, None, 5, 5),
    (5, 4, None, 6), (None,) * 4, (None, 2, None, 4), (None,) * 4,
    (4, None, 3, 5), (4, 2, 2, None), (3, 1, None, 3), (None,) * 4,
    (None,) * 4, (None, 2, 1, 3), (2, 1, 0, 2), (None,) * 4)

# Moves that the run had seldom tried when it stopped, and where they lead.
UNCONVERGED = {
    (0, RIGHT): 1, (1, RIGHT): 2, (1, UP): 1, (2, LEFT): 1, (2, DOWN): 6, (2, RIGHT): 3, (2, UP): 2,
    (3, LEFT): 2, (3, RIGHT): 3, (3, UP): 3, (6, DOWN): 10, (6, UP): 2, (10, LEFT): 9, (10, UP): 6}


@lru_cache
def lake(hole: int = 0) -> MDP:
    """The lake without slipping, read from Gymnasium's own table."""
    import gymnasium  # slow to load, and the ledger's --help needs no lake

    schedule = {"reward_schedule": (1, hole, 0)} if hole else {}
    return MDP.from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False, **schedule), gamma=GAMMA)


def step(s: int, a: int) -> int:
    """Where a move leads."""
    return int(lake().transition[s, a].argmax())


def optimum() -> np.ndarray:
    """Q* of the lake, (16, 4), equal values made equal."""
    return lake().solve()[0].round(9)


def reward(s: int, a: int, hole: int = 0) -> float:
    return lake(hole).reward[s, a, step(s, a)]


def schedule(hole: int = 0) -> tuple[float, ...]:
    """What reaching the goal, a hole and ice pays."""
    return reward(14, RIGHT, hole), reward(4, RIGHT, hole), reward(0, RIGHT, hole)


def update(next_value: float) -> float:
    """Q(0, Down) after one update from a table of zeros in which Q(4, Down) is given."""
    q = np.zeros((16, 4))
    q[4, DOWN] = next_value
    return td.q_learning_update(q, 0, DOWN, 0.0, step(0, DOWN), ALPHA, GAMMA)[0, DOWN]


def greedy_path(q: np.ndarray) -> list[int]:
    """States from the start on, taking the best action of each row, the first of equals."""
    path = [0]
    while not lake().terminal[path[-1]] and len(path) <= 16:
        path.append(step(path[-1], int(td.epsilon_greedy(q[path[-1]], 0.0).argmax())))
    return path


def best_actions(row: np.ndarray) -> tuple[str, ...]:
    """Every action with the largest value of a row."""
    share = td.epsilon_greedy(row, 0.0, ties="share")
    return tuple(name for name, p in zip(ACTIONS, share, strict=True) if p > 0)


def shortest_paths() -> int:
    """How many ways from the start take an optimal action at every step."""
    return sum(1 for _ in lake().trajectories(td.epsilon_greedy(optimum(), 0.0, ties="share"), 6))


def path_return() -> float:
    """What the path earns: each move is the one that led from a state to the next."""
    path = greedy_path(PRINTED)
    moves = [(s, int(lake().transition[s, :, s_next].argmax())) for s, s_next in pairwise(path)]
    return returns.discounted_return([reward(s, a) for s, a in moves], GAMMA)


def target(s: int, a: int) -> float:
    """The target that the printed table itself sets for one of its entries."""
    ends = lake().terminal[step(s, a)]
    return td.q_target(reward(s, a), PRINTED[step(s, a)], 0.0 if ends else GAMMA)


LAKE = (
    entry(
        id="S0.states.count", section="States", claim="The cells are numbered row by row, 0 to 15: sixteen states.",
        formula="4·4", printed=None, exact=16, tolerance=0.5, verdict="derived", kind="restated",
        compute=lambda: lake().transition.shape[0], source=BUILD),
    entry(
        id="S0.states.goal", section="States", claim="The gift lies in the last cell, state 15.",
        formula="row·4 + column = 3·4 + 3", printed=15, exact=15, tolerance=0.5, verdict="exact", kind="restated",
        compute=lambda: np.unravel_index(lake().reward.argmax(), lake().reward.shape)[2], source=BUILD),
    entry(
        id="S0.hole.state4_right", section="First example", claim="From state 4, Right leads into a hole.",
        formula="4 + 1 = 5, H on the map", printed=None, exact=5, tolerance=0.5, verdict="derived", kind="computed",
        compute=lambda: step(4, RIGHT), source=BUILD),
    entry(
        id="S0.rewards", section="First example", claim="Reaching the goal pays 1, anything else 0.",
        formula="r(goal), r(hole), r(ice) = 1, 0, 0", printed=(1, 0, 0), exact=(1, 0, 0), tolerance=0.5,
        verdict="convention", kind="input", compute=schedule, otherwise=lambda: schedule(hole=-1), source=BUILD,
        note="Gymnasium's default. Document 002 has -1 for a hole: then the nine moves into a hole are worth -1 and "
             "all other optimal values of this lake stay."),
    entry(
        id="S0.qtable.zero", section="Initialize the table", claim="Learning starts from a table of zeros.",
        formula="Q(s, a) = 0 for 16 states and 4 actions", printed=0, exact=0.0, tolerance=0.5, verdict="exact",
        kind="input", note="Where the updates below start; the order Left, Down, Right, Up is Gymnasium's."),
    entry(
        id="S0.move.state0_down", section="How we learn", claim="Down from state 0 leads to state 1.",
        formula="0 + 4 = 4", printed=1, exact=4, tolerance=0.5, verdict="differs", kind="computed",
        compute=lambda: step(0, DOWN), otherwise=lambda: step(0, RIGHT), source=BUILD,
        note="Down leads to state 4, as the first example, the scenario and the path of the same document have it. "
             "1 holds for Right."),
)

LEARNING = (
    entry(
        id="S0.param.alpha", section="Q-learning Update Rule", claim="A learning rate may be 0.1.",
        formula="α = 0.1", printed=0.1, exact=0.1, tolerance=0.05, verdict="exact", kind="input",
        note="Used by the two updates below."),
    entry(
        id="S0.param.gamma_definition", section="Q-learning Update Rule", claim="A discount factor may be 0.9.",
        formula="γ = 0.9; the table's own, 0.9510^(1/5)", printed=0.9, exact=0.9, tolerance=0.05,
        verdict="convention", kind="input", otherwise=lambda: PRINTED[0, DOWN] ** (1 / 5),
        note="The example and the table use 0.99: Q(0, Down) = 0.9510 is 0.99^5, and 0.9^5 would be 0.59049."),
    entry(
        id="S0.update.first", section="Scenario", claim="The first update, in a table of zeros, leaves zero.",
        formula="0 + 0.1·(0 + 0.99·0 - 0)", printed=None, exact=0.0, tolerance=0.5, verdict="derived",
        kind="restated", compute=lambda: update(0.0), source="rlscratch.formulas.td.q_learning_update",
        note="The document has this update as a picture and says that most entries stay zero at first."),
    entry(
        id="S0.update.second.td_target", section="Example: Update with Future Value",
        claim="Once Q(4, Down) is 0.5, the move Down from 0 has something to learn: 0.495.",
        formula="0 + 0.99·0.5 - 0", printed=0.495, exact=0.495, tolerance=0.0005, verdict="exact", kind="computed",
        compute=lambda: td.q_target(0.0, [0.0, 0.5, 0.0, 0.0], GAMMA), source="rlscratch.formulas.td.q_target",
        planted={"discount": 0.9}),
    entry(
        id="S0.update.second", section="Example: Update with Future Value",
        claim="A tenth of that is added: Q(0, Down) becomes 0.0495.",
        formula="0 + 0.1·(0 + 0.99·0.5 - 0)", printed=0.0495, exact=0.0495, tolerance=0.00005, verdict="exact",
        kind="computed", compute=lambda: update(0.5), source="rlscratch.formulas.td.q_learning_update",
        planted={"alpha": 0.2, "discount": 0.9}),
)

PATHS = (
    entry(
        id="S0.path.greedy", section=TABLE, claim="The best entry of each row leads 0, 4, 8, 9, 13, 14, 15.",
        formula="argmax_a Q(s, a), the first of equals", printed=(0, 4, 8, 9, 13, 14, 15),
        exact=(0, 4, 8, 9, 13, 14, 15), tolerance=0.5, verdict="exact", kind="computed",
        compute=lambda: greedy_path(PRINTED), source=GREEDY,
        note="Down and Right tie in state 9: taking the last of equals, 0, 4, 8, 9, 10, 14, 15 is greedy too."),
    entry(
        id="S0.path.length", section=TABLE, claim="The path has six moves and is paid on the sixth.",
        formula="0.99^5", printed=None, exact=0.95099, tolerance=PINNED, verdict="derived", kind="computed",
        compute=path_return, source="rlscratch.formulas.returns.discounted_return", planted={"first_power": 1},
        note="This return is the table's Q(0, Down): the table does not discount the first reward, as document 001 "
             "writes it. By document 004's index it would be 0.99^6 = 0.941480."),
    entry(
        id="S0.path.count_shortest", section=TABLE, claim="There are several paths, of which the table takes one.",
        formula="paths that are optimal at every step", printed=None, exact=3, tolerance=PINNED, verdict="derived",
        kind="computed", compute=shortest_paths, source=GREEDY, planted={"ties": "first"},
        note="0-4-8-9-13-14-15, 0-4-8-9-10-14-15 and 0-1-2-6-10-14-15."),
    entry(
        id="S0.green.row9", section=TABLE, claim="In state 9, Down and Right are equally good.",
        formula="argmax of the row: 0.9801, 0.9801", printed=("Down", "Right"), exact=("Down", "Right"), tolerance=0,
        verdict="exact", kind="computed", compute=lambda: best_actions(PRINTED[9]), source=GREEDY,
        planted={"ties": "first"}),
    entry(
        id="S0.green.row0", section=TABLE, claim="In state 0, Down alone is best.",
        formula="argmax_a Q*(0, a): 0.99^5, 0.99^5", printed=("Down",), exact=("Down", "Right"), tolerance=0,
        verdict="convention", kind="computed", compute=lambda: best_actions(optimum()[0]),
        otherwise=lambda: best_actions(PRINTED[0]), source=GREEDY, planted={"ties": "first"},
        note="Holds for the unfinished table. At the optimum Right ties with Down at 0.950990."),
    entry(
        id="S0.green.row1", section=TABLE, claim="In state 1, Left is best.",
        formula="argmax_a Q*(1, a): 0.99^4", printed=("Left",), exact=("Right",), tolerance=0, verdict="convention",
        kind="computed", compute=lambda: best_actions(optimum()[1]), otherwise=lambda: best_actions(PRINTED[1]),
        source=GREEDY,
        note="Holds for the unfinished table. At the optimum Right is best, 0.960596: five moves to the goal, where "
             "the table's way over Left takes seven."),
    entry(
        id="S0.zero_rows", section=TABLE, claim="The rows 5, 7, 11, 12 and 15 stay zero.",
        formula="states with Q*(s, .) = 0: holes and goal", printed=(5, 7, 11, 12, 15), exact=(5, 7, 11, 12, 15),
        tolerance=0.5, verdict="exact", kind="restated", source=SOLVE,
        compute=lambda: np.flatnonzero((lake().solve()[0] == 0).all(axis=1)),
        note="The holes and the goal of Gymnasium's 4x4 map: nothing follows them, and nothing updates them."),
    entry(
        id="S0.qtable.gamma_powers", section=TABLE,
        claim="The table keeps printing 1.0000, 0.9900, 0.9801, 0.9703, 0.9606, 0.9510, 0.9415 and 0.9321.",
        formula="0.99^k, k = 0 ... 7",
        printed=(1.0, 0.99, 0.9801, 0.9703, 0.9606, 0.951, 0.9415, 0.9321),
        exact=(1.0, 0.99, 0.9801, 0.970299, 0.960596, 0.95099, 0.94148, 0.932065), tolerance=0.00005,
        verdict="rounds", kind="computed", source="rlscratch.formulas.returns.discounted_return",
        planted={"first_power": 1},
        compute=lambda: [returns.discounted_return(np.eye(8)[k], GAMMA) for k in range(8)],
        note="A reward of 1 that comes after k moves. 22 of the 35 positive entries are such powers: 21 at their "
             "optimum, and Q(0, Right) at 0.99^7, the value of a detour."),
    entry(
        id="S0.qtable.converged_count", section=TABLE, claim="How much of the printed table is finished.",
        formula="entries with |Q - Q*| ≤ 0.00005", printed=None, exact=50, tolerance=PINNED, verdict="derived",
        kind="computed", source=SOLVE,
        compute=lambda: np.count_nonzero(np.abs(PRINTED - lake().solve()[0]) <= 0.00005 + ROUNDING),
        note="50 of 64; the other 14 belong to moves off the path that the run had seldom tried."),
)


def cell(s: int, a: int) -> Entry:
    """One entry of the printed table against the optimum."""
    printed, left = float(PRINTED[s, a]), MOVES_LEFT[s][a]
    exact = 0.0 if left is None else round(GAMMA**left, 6)
    common = dict(
        id=f"S0.qtable.{s}.{ACTIONS[a]}", section=TABLE, printed=printed, exact=exact, tolerance=0.00005,
        claim=f"After training, {ACTIONS[a]} in state {s} is worth {printed:.4f}.",
        formula="Q* = 0: a hole, or the episode is over" if left is None else f"Q* = 0.99^{left}",
        compute=lambda: lake().solve()[0][s, a], source=SOLVE)
    if (s, a) not in UNCONVERGED:
        return entry(**common, kind="restated" if left is None else "computed",
                     verdict="exact" if abs(printed - exact) < 1e-9 else "rounds")
    known = PRINTED[UNCONVERGED[s, a]].max()
    return entry(
        **common, kind="run-dependent", verdict="convention", bound=lambda: target(s, a),
        note=f"Not converged: the optimum is 0.99^{left} = {exact:.6f}. {printed:.4f} is what one run of finite "
             f"length had reached. The table's own best next value, {known:.4f}, allows no run more than "
             f"0.99·{known:.4f} = {GAMMA * known:.4f}.")


ENTRIES = (*LAKE, *LEARNING, *PATHS, *(cell(s, a) for s in range(16) for a in range(4)))
