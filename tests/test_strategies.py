"""The strategies produce what they say: on the grid, in shape, masked with zeros, and with the edges in reach."""
import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from strategies import among, arrays, batches_bt, eighths, logits_nv, logits_v, masks_bt, probs_of, probs_v, rewards_g

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())


def on_grid(x, low, high):
    x = np.asarray(x)
    return bool((x * 8 == np.round(x * 8)).all() and (x >= low).all() and (x <= high).all())


def some(strategy, condition):
    """An example with this property, the first that turns up, the same in every run."""
    first = settings(max_examples=5000, derandomize=True, database=None, phases=[Phase.generate])
    return find(strategy, condition, settings=first)


@given(eighths(), eighths(-1, .5))
def test_eighths_are_floats_on_the_grid_within_their_bounds(wide, narrow):
    assert type(wide) is float
    assert on_grid(wide, -4, 4) and on_grid(narrow, -1, .5)


@pytest.mark.parametrize("end", [-1.0, 0.0, .5])
def test_eighths_reach_both_ends_and_zero(end):
    assert some(eighths(-1, .5), lambda x: x == end) == end


@given(arrays((2, 3)), arrays((), eighths(0, 1)), arrays((1, 2, 1), st.sampled_from([5.0])))
def test_arrays_have_their_shape_and_draw_from_their_elements(two, none, three):
    assert two.shape == (2, 3) and two.dtype == np.float64 and on_grid(two, -4, 4)
    assert none.shape == () and on_grid(none, 0, 1)
    assert three.shape == (1, 2, 1) and (three == 5).all()


@given(arrays((2, 2), among([5, 7])), arrays((4,), eighths(-20, 20)))
def test_arrays_that_are_drawn_at_once_hold_numbers_of_their_grid(pair, wide):
    assert pair.shape == (2, 2) and np.isin(pair, [5, 7]).all()
    assert wide.shape == (4,) and wide.dtype == np.float64 and on_grid(wide, -20, 20)


@pytest.mark.parametrize("end", [-20.0, -4.0, 4.0, 20.0])               # 321 numbers, more than a byte tells apart
@pytest.mark.parametrize("place", [0, 3])
def test_each_place_of_an_array_reaches_both_ends_whatever_the_others_are(end, place):
    found = some(arrays((4,), eighths(-abs(end), abs(end))), lambda x: x[place] == end != x[1])
    assert found[place] == end


def test_what_is_found_is_small():
    assert_array_equal(some(arrays((2, 3), eighths(-20, 20)), lambda x: True), np.zeros((2, 3)))


@given(logits_v(), logits_v(min_size=3, max_size=3, low=0, high=1))
def test_logits_v_are_one_row_on_the_grid(z, three):
    assert z.ndim == 1 and 2 <= z.size <= 6 and on_grid(z, -4, 4)
    assert three.shape == (3,) and on_grid(three, 0, 1)


@given(logits_nv(), logits_nv(max_rows=1, max_size=2, low=-1))
def test_logits_nv_are_rows_on_the_grid(z, small):
    n, v = z.shape
    assert 1 <= n <= 4 and 2 <= v <= 6 and on_grid(z, -4, 4)
    assert small.shape == (1, 2) and on_grid(small, -1, 4)


@given(probs_v(), probs_of(3))
def test_probabilities_are_positive_with_small_whole_odds(p, three):
    assert p.ndim == 1 and 2 <= p.size <= 6 and three.shape == (3,)
    for row in (p, three):
        assert (row > 0).all()
        assert_allclose(row.sum(), 1, rtol=1e-15)
        assert row.max() <= 9 * row.min() * (1 + 1e-15)


def test_probabilities_may_be_uniform_and_may_be_lopsided():
    assert_array_equal(some(probs_of(2), lambda p: p[0] == p[1]), [.5, .5])
    assert_allclose(some(probs_of(2), lambda p: p[0] > .89), [.9, .1])


@given(rewards_g(), rewards_g(min_size=1, max_size=1))
def test_rewards_are_one_group_on_the_grid(r, single):
    assert r.ndim == 1 and 2 <= r.size <= 8 and on_grid(r, -10, 10)
    assert single.shape == (1,)


def test_flat_groups_and_groups_with_ties_are_within_reach():
    assert np.ptp(some(rewards_g(min_size=3), lambda r: np.ptp(r) == 0)) == 0
    assert some(rewards_g(min_size=8), lambda r: np.ptp(r) == 0 != r[0])[0] != 0
    assert np.unique(some(rewards_g(min_size=8), lambda r: np.unique(r).size == 2)).size == 2
    tied = some(rewards_g(min_size=3), lambda r: 1 < np.unique(r).size < r.size)
    assert np.ptp(tied) > 0


@given(masks_bt(), masks_bt(max_b=1, max_t=2))
def test_masks_are_zeros_and_ones_with_at_least_one_1(mask, small):
    b, t = mask.shape
    assert 1 <= b <= 4 and 1 <= t <= 5 and mask.dtype == np.float64
    assert small.shape[0] == 1 and small.shape[1] <= 2
    for m in (mask, small):
        assert np.isin(m, (0, 1)).all() and m.any()


def test_masks_may_have_an_empty_row_a_hole_and_no_zero():
    assert (some(masks_bt(), lambda m: (~m.any(axis=1)).any()).sum(axis=1) == 0).any()
    hole = some(masks_bt(max_b=1, max_t=3), lambda m: m.shape == (1, 3) and tuple(m[0]) == (1, 0, 1))
    assert_array_equal(hole, [[1, 0, 1]])
    assert some(masks_bt(), lambda m: m.size > 1 and m.all()).all()


@given(batches_bt("logp", "advantage"), batches_bt("logp", low=-1, high=0, max_b=2, max_t=2))
def test_batches_hold_a_mask_and_one_array_a_name_with_zeros_where_nothing_counts(batch, small):
    assert set(batch) == {"mask", "logp", "advantage"} and set(small) == {"mask", "logp"}
    for name in ("logp", "advantage"):
        assert batch[name].shape == batch["mask"].shape
        assert (batch[name][batch["mask"] == 0] == 0).all()
        assert on_grid(batch[name], -3, 0 if name == "logp" else 3)
    assert max(small["logp"].shape) <= 2 and on_grid(small["logp"], -1, 0)


def test_arrays_of_one_batch_differ_from_each_other():
    batch = some(batches_bt("a", "b"), lambda d: (d["a"] != d["b"]).any())
    assert (batch["a"] != batch["b"]).any()


def test_the_checker_of_the_grid_is_checked():
    assert on_grid([.125, -4, 4], -4, 4)
    assert not on_grid([.1], -4, 4) and not on_grid([4.125], -4, 4) and not on_grid([-4.125], -4, 4)
