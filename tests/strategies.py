"""What Hypothesis may try, named by shape.

Numbers lie on a grid of 1/8, exact in binary, so that equalities that should be exact are,
and no tolerance has to forgive the inputs.  test_strategies.py checks these strategies.

An array of numbers from a grid is one draw, a byte or two for each: number by number takes most of a test's time.
Of eight arrays one is flat, and one has two numbers at the most; the draws alone would hardly ever be equal.
"""
from collections.abc import Iterable
from functools import cache

import numpy as np
from hypothesis import strategies as st

from rlscratch.mdp import MDP

LOGS = ("logp", "logp_old", "logp_ref", "old", "ref", "held")       # names of log-probabilities
GRIDS: dict[st.SearchStrategy, np.ndarray] = {}                     # the numbers of those that arrays draws at once


def among(numbers: Iterable[float]) -> st.SearchStrategy[float]:
    """One of these numbers, all about as likely; what fails is made small towards the first."""
    grid = np.array([*numbers], dtype=float)
    strategy = st.sampled_from(grid.tolist())
    GRIDS[strategy] = grid
    return strategy


YES_OR_NO, ODDS, SOME_ODDS = among([0, 1]), among(range(1, 10)), among(range(5))


@cache
def eighths(low: float = -4, high: float = 4) -> st.SearchStrategy[float]:
    """Multiples of 1/8 in [low, high]."""
    return among(sorted((k / 8 for k in range(round(8 * low), round(8 * high) + 1)), key=lambda x: (abs(x), x < 0)))


@cache
def arrays(shape: tuple[int, ...], elements: st.SearchStrategy = eighths()) -> st.SearchStrategy[np.ndarray]:  # noqa: B008
    """float64 arrays of one shape."""
    size, grid = int(np.prod(shape)), GRIDS.get(elements)
    if grid is None:
        return st.lists(elements, min_size=size, max_size=size).map(lambda v: np.array(v, dtype=float).reshape(shape))
    places = np.dtype(np.uint8 if len(grid) <= 256 else np.uint16)

    def read(written: bytes) -> np.ndarray:
        drawn = np.frombuffer(written, places, offset=1) % len(grid)
        few = {6: 2, 7: 1}.get(written[0] % 8) if size > 1 else None        # a flat array, or two numbers in turns
        return grid[drawn if few is None else drawn[drawn % few]].reshape(shape)

    return written(1 + size * places.itemsize).map(read)


@cache
def written(size: int) -> st.SearchStrategy[bytes]:
    """So many bytes."""
    return st.binary(min_size=size, max_size=size)


def logits_v(min_size: int = 2, max_size: int = 6, **grid: float) -> st.SearchStrategy[np.ndarray]:
    """(V,) finite logits."""
    return st.integers(min_size, max_size).flatmap(lambda v: arrays((v,), eighths(**grid)))


def logits_nv(max_rows: int = 4, max_size: int = 6, **grid: float) -> st.SearchStrategy[np.ndarray]:
    """(N, V) finite logits."""
    shapes = st.tuples(st.integers(1, max_rows), st.integers(2, max_size))
    return shapes.flatmap(lambda shape: arrays(shape, eighths(**grid)))


@cache
def probs_of(size: int) -> st.SearchStrategy[np.ndarray]:
    """(V,) strictly positive probabilities with small whole-number odds."""
    return arrays((size,), ODDS).map(lambda odds: odds / odds.sum())


def probs_v(min_size: int = 2, max_size: int = 6) -> st.SearchStrategy[np.ndarray]:
    """probs_of any size in a range."""
    return st.integers(min_size, max_size).flatmap(probs_of)


def rewards_g(min_size: int = 2, max_size: int = 8) -> st.SearchStrategy[np.ndarray]:
    """(G,) rewards of one group, on the grid: a group is flat exactly when it looks it."""
    return st.integers(min_size, max_size).flatmap(lambda g: arrays((g,), eighths(-10, 10)))


def masks_bt(max_b: int = 4, max_t: int = 5) -> st.SearchStrategy[np.ndarray]:
    """(B, T) zeros and ones, at least one 1, rows that may be empty."""
    shapes = st.tuples(st.integers(1, max_b), st.integers(1, max_t))
    return shapes.flatmap(lambda shape: arrays(shape, YES_OR_NO)).filter(lambda m: m.any())


@st.composite
def batches_bt(draw: st.DrawFn, *names: str, low: float = -3, high: float = 3, **sizes: int) -> dict[str, np.ndarray]:
    """A dict with "mask" (B, T) and one masked (B, T) array a name: 0 wherever the mask is 0, LOGS at most 0."""
    mask = draw(masks_bt(**sizes))
    highest = {name: min(high, 0) if name in LOGS else high for name in names}
    values = {name: draw(arrays(mask.shape, eighths(low, highest[name]))) * mask for name in names}
    return {"mask": mask, **values}


@st.composite
def mdps(draw: st.DrawFn, max_states: int = 3, max_actions: int = 2, ending: bool = False) -> MDP:
    """Decision processes with whole-number odds, zeros among them, and rewards of any of the three forms.

    Up to max_states and max_actions, the last state terminal or not, gamma at most 7/8.  With
    ending=True the last state is terminal, every step may lead there, and gamma may be 1.
    """
    states, actions = draw(st.integers(2, max_states)), draw(st.integers(1, max_actions))
    odds = draw(arrays((states, actions, states), SOME_ODDS))
    odds[..., -1] += ending | (odds.sum(axis=-1) == 0)
    start = draw(arrays((states,), SOME_ODDS))
    start[0] += start.sum() == 0
    return MDP(
        transition=odds / odds.sum(axis=-1, keepdims=True),
        reward=draw(arrays(draw(st.sampled_from([(states,), (states, actions), odds.shape])))),
        gamma=draw(eighths(0, 1 if ending else 7 / 8)),
        start=start / start.sum(),
        terminal=[False] * (states - 1) + [ending or draw(st.booleans())],
    )


def policies_of(mdp: MDP, *steps: int) -> st.SearchStrategy[np.ndarray]:
    """(O, A), or (T, O, A) with T for steps: policies, actions of probability 0 among them."""
    shape = (*steps, int(mdp.observation.max()) + 1, mdp.transition.shape[1])
    odds = arrays(shape, SOME_ODDS).map(lambda k: k + (k.sum(axis=-1, keepdims=True) == 0))
    return odds.map(lambda k: k / k.sum(axis=-1, keepdims=True))
