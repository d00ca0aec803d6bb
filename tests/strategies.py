"""What Hypothesis may try, named by shape.

Numbers lie on a grid of 1/8, exact in binary, so that equalities that should be exact are,
and no tolerance has to forgive the inputs.  test_strategies.py checks these strategies.
"""
import numpy as np
from hypothesis import strategies as st

from rlscratch.mdp import MDP

LOGS = ("logp", "logp_old", "logp_ref", "old", "ref", "held")       # names of log-probabilities


def eighths(low: float = -4, high: float = 4) -> st.SearchStrategy[float]:
    """Multiples of 1/8 in [low, high]."""
    return st.integers(round(8 * low), round(8 * high)).map(lambda k: k / 8)


def arrays(shape: tuple[int, ...], elements: st.SearchStrategy = eighths()) -> st.SearchStrategy[np.ndarray]:  # noqa: B008
    """float64 arrays of one shape."""
    size = int(np.prod(shape))
    return st.lists(elements, min_size=size, max_size=size).map(lambda v: np.array(v, dtype=float).reshape(shape))


def logits_v(min_size: int = 2, max_size: int = 6, **grid: float) -> st.SearchStrategy[np.ndarray]:
    """(V,) finite logits."""
    return st.integers(min_size, max_size).flatmap(lambda v: arrays((v,), eighths(**grid)))


def logits_nv(max_rows: int = 4, max_size: int = 6, **grid: float) -> st.SearchStrategy[np.ndarray]:
    """(N, V) finite logits."""
    shapes = st.tuples(st.integers(1, max_rows), st.integers(2, max_size))
    return shapes.flatmap(lambda shape: arrays(shape, eighths(**grid)))


def probs_of(size: int) -> st.SearchStrategy[np.ndarray]:
    """(V,) strictly positive probabilities with small whole-number odds."""
    return arrays((size,), st.integers(1, 9).map(float)).map(lambda odds: odds / odds.sum())


def probs_v(min_size: int = 2, max_size: int = 6) -> st.SearchStrategy[np.ndarray]:
    """probs_of any size in a range."""
    return st.integers(min_size, max_size).flatmap(probs_of)


def rewards_g(min_size: int = 2, max_size: int = 8) -> st.SearchStrategy[np.ndarray]:
    """(G,) rewards of one group, on the grid: a group is flat exactly when it looks it."""
    return st.integers(min_size, max_size).flatmap(lambda g: arrays((g,), eighths(-10, 10)))


def masks_bt(max_b: int = 4, max_t: int = 5) -> st.SearchStrategy[np.ndarray]:
    """(B, T) zeros and ones, at least one 1, rows that may be empty."""
    def some(shape: tuple[int, int]) -> st.SearchStrategy[np.ndarray]:
        return arrays(shape, st.sampled_from([0.0, 1.0])).filter(lambda m: m.any())

    return st.tuples(st.integers(1, max_b), st.integers(1, max_t)).flatmap(some)


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
    odds = draw(arrays((states, actions, states), st.integers(0, 4).map(float)))
    odds[..., -1] += ending | (odds.sum(axis=-1) == 0)
    start = draw(arrays((states,), st.integers(0, 4).map(float)))
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
    odds = arrays(shape, st.integers(0, 4).map(float)).map(lambda k: k + (k.sum(axis=-1, keepdims=True) == 0))
    return odds.map(lambda k: k / k.sum(axis=-1, keepdims=True))
