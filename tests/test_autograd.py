"""The tape: what it computes is test_gradcheck's business; here is what it promises beside that.

The smallest example, by pencil: x = 3, y = x^2, z = x y.  Then dz/dx = y + x 2x = 27, a sum of two terms
because x is used twice.
"""
import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch import autograd as ag
from rlscratch.autograd import GraphError, Tensor, backward, no_grad
from rlscratch.autograd.tensor import fingerprint, unbroadcast
from strategies import arrays, eighths

FLOATS = [np.float32, np.float64]


def leaf(*values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


# ---------------------------------------------------------------- the walk

def test_the_pencil_s_example():
    x = Tensor(3.0, requires_grad=True)
    y = x ** 2
    (x * y).backward()
    assert x.grad == 27


def test_paths_that_part_and_meet_again_add_up():
    x = leaf(2.0)
    a, b = 3 * x, x * x
    c = a * b + a - b / a                                    # 3 x^3 + 3 x - x / 3
    c.backward([1.0])
    assert_allclose(x.grad, 9 * 4 + 3 - 1 / 3)


def test_a_seed_weighs_the_outputs():
    x = leaf(1.0, 2.0, 3.0)
    (x * x).backward([1, 0, -1])                             # integers will do
    assert x.grad.tolist() == [2, 0, -6]


def test_several_outputs_take_one_walk_and_add_up():
    def both():
        x = leaf(1.0, 2.0)
        shared = ag.exp(x)
        return x, shared * 2, shared.sum()

    x, a, b = both()
    backward([(a, [1.0, -1.0]), (b, 3.0)])
    assert_allclose(x.grad, np.exp([1, 2]) * ([5, 1]))
    x, a, b = both()
    backward([(b, 1.5), (a, [1.0, -1.0]), (b, 1.5)])         # the order is free, and one may come twice
    assert_allclose(x.grad, np.exp([1, 2]) * ([5, 1]))


def test_an_output_may_be_on_the_way_to_another():
    x = leaf(2.0)
    y = x * x
    backward([(y, [1.0]), (y * x, [1.0])])
    assert x.grad.tolist() == [4 + 12]


def test_a_leaf_is_its_own_gradient():
    x, seed = leaf(1.0, 2.0), np.array([3.0, 4.0])
    x.backward(seed)
    assert_array_equal(x.grad, seed)
    assert not np.shares_memory(x.grad, seed)


def test_a_chain_deeper_than_python_s_stack_is_no_trouble():
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1.0
    y.backward()
    assert x.grad == 1
    del y
    gc.collect()


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
@example(12, 0)
def test_any_graph_agrees_with_forward_differentiation(nodes, seed):
    """A random graph of sums and products, its derivative carried along in the other direction."""
    rng = np.random.default_rng(seed)
    x = Tensor(rng.integers(-8, 9, 3) / 8, requires_grad=True)
    made = [(x, np.ones(3))]
    for _ in range(nodes):
        (a, da), (b, db) = (made[i] for i in rng.integers(len(made), size=2))
        made.append((a + b, da + db) if rng.random() < 0.5 else (a * b, da * b.data + a.data * db))
    made[-1][0].backward(np.ones(3))
    assert_allclose(x.grad, made[-1][1], rtol=1e-12, atol=1e-300)


# ---------------------------------------------------------------- dtypes and broadcasting

@pytest.mark.parametrize("dtype", FLOATS)
def test_a_dtype_survives_numbers_lists_and_arrays_of_other_dtypes(dtype):
    x = leaf(1.0, 2.0, dtype=dtype)
    for y in (x + 1, 1.5 - x, x * np.float64(2), x / [3.0, 4.0], np.arange(2) * x, x ** 2, x ** -0.5, x.mean(),
              x @ np.ones((2, 2)), ag.where([True, False], x, 0.0), ag.maximum(x, 1), x * np.array([True, False])):
        assert y.dtype == dtype
        y.backward(np.ones(y.shape))
        assert x.grad.dtype == dtype


def test_two_dtypes_promote_and_each_gradient_comes_back_in_its_own():
    a, b = leaf(1.0, 2.0, dtype=np.float32), leaf(3.0, 4.0)
    y = a * b
    assert y.dtype == np.float64
    y.backward(np.ones(2))
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)


SHAPES = [((3,), (2, 3)), ((1, 3), (2, 3)), ((2, 1), (2, 3)), ((), (2, 3)), ((1,), (3,)), ((2, 1, 1), (2, 3, 4)),
          ((3, 1), (1, 4)), ((2, 3), (2, 3))]


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_broadcasting_backwards_is_a_sum(a, b):
    x, y = Tensor(np.ones(a), requires_grad=True), Tensor(np.ones(b), requires_grad=True)
    z = x + y
    z.backward(np.ones(z.shape))
    assert x.grad.shape == a
    assert y.grad.shape == b
    assert np.all(x.grad == z.size / x.size)
    assert np.all(y.grad == z.size / y.size)


@given(st.sampled_from(SHAPES).flatmap(lambda s: st.tuples(st.just(s[0]), arrays(np.broadcast_shapes(*s)))))
def test_unbroadcast_is_the_transpose_of_broadcasting(case):
    shape, dy = case
    v = np.random.default_rng(0).normal(size=shape)
    assert_allclose(np.sum(np.broadcast_to(v, dy.shape) * dy), np.sum(v * unbroadcast(dy, shape)), atol=1e-12)


# ---------------------------------------------------------------- no gradient shares memory

def assert_apart(*named):
    for i, a in enumerate(named):
        for b in named[i + 1:]:
            assert not np.shares_memory(a, b)


def test_two_leaves_that_get_the_same_numbers_get_arrays_of_their_own():
    a, b, c, seed = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0), np.array([1.0, 2.0])
    y = a + b + c.reshape(2, 1).transpose().reshape(2)
    y.backward(seed)
    assert_apart(a.grad, b.grad, c.grad, seed, a.data, b.data, c.data, y.data)
    a.grad += 100
    assert b.grad.tolist() == c.grad.tolist() == seed.tolist() == [1, 2]


def test_a_gradient_handed_to_two_leaves_and_added_to_later_stays_right():
    a, b = leaf(1.0), leaf(1.0)
    s = a + b                                                # both get ds itself,
    (s + a * 2.0 + a * 3.0).backward([1.0])                  # and a's sum goes on
    assert (a.grad.tolist(), b.grad.tolist()) == ([6], [1])


def test_a_broadcast_gradient_can_be_written_to():
    x = leaf(1.0, 2.0, 3.0)
    x.sum().backward()
    x.grad *= 2
    assert x.grad.tolist() == [2, 2, 2]


def test_gradients_accumulate_in_place_over_backwards():
    x = leaf(1.0, 2.0)
    (x * x).backward([1.0, 1.0])
    first = x.grad
    (x * 3.0).backward([1.0, 1.0])
    assert x.grad is first
    assert first.tolist() == [5, 7]
    x.grad = None
    (x * 3.0).backward([1.0, 1.0])
    assert (x.grad.tolist(), first.tolist()) == ([3, 3], [5, 7])


# ---------------------------------------------------------------- in-place changes

SAVING = {"x * x": lambda x: x * x, "exp(x) * x": lambda x: ag.exp(x) * x, "1 / x": lambda x: 1 / x,
          "log": ag.log, "x ** 3": lambda x: x ** 3, "matmul": lambda x: x.reshape(1, -1) @ x.reshape(-1, 1),
          "view": lambda x: x.reshape(2, 1).T * x}
CHANGES = {"assignment": lambda a: a.__setitem__(0, 9.0), "addition": lambda a: a.__iadd__(1.0),
           "whole": lambda a: a.__setitem__(..., 9.0), "smallest": lambda a: a.__setitem__(1, np.nextafter(a[1], 9)),
           "swap": lambda a: a.__setitem__(slice(None), a[::-1].copy()), "by a ufunc": lambda a: np.exp(a, out=a)}


@pytest.mark.parametrize("op", SAVING)
@pytest.mark.parametrize("change", CHANGES)
def test_a_saved_leaf_that_changed_is_an_error(op, change):
    x = leaf(1.0, 2.0)
    y = SAVING[op](x)
    CHANGES[change](x.data)
    with pytest.raises(GraphError, match=r"argument \w+ of \w+, of shape .*, has changed since it was saved"):
        y.backward(np.ones(y.shape))
    assert x.grad is None


@pytest.mark.parametrize("change", CHANGES)
def test_a_constant_that_changed_is_an_error(change):
    x, mask = leaf(1.0, 2.0), np.array([1.0, 0.5])
    y = x * mask
    CHANGES[change](mask)
    with pytest.raises(GraphError, match="argument b of multiply"):
        y.backward([1.0, 1.0])


@pytest.mark.parametrize("change", CHANGES)
def test_a_result_in_a_graph_cannot_be_changed(change):
    x = leaf(1.0, 2.0)
    y = ag.exp(x) + 1.0
    with pytest.raises(ValueError, match="read-only"):
        CHANGES[change](y.data)
    y.backward([1.0, 1.0])
    assert_allclose(x.grad, np.exp([1, 2]))


@pytest.mark.parametrize("op", [lambda x: x * 2.0, lambda x: (x @ np.ones((4, 4))).reshape(16),
                                lambda x: ag.softmax(x).T, lambda x: ag.layer_norm(x, np.ones(4), np.ones(4))])
def test_neither_can_what_a_result_is_a_view_of(op):
    y = op(Tensor(np.arange(16.0).reshape(4, 4), requires_grad=True))
    assert not y.data.flags.writeable
    assert y.data.base is None or not y.data.base.flags.writeable


def test_a_change_that_nothing_saved_depends_on_is_none():
    x = leaf(1.0, 2.0)
    y = x * 2.0 + x                                          # linear: neither derivative needs x
    x.data += 1
    y.backward([1.0, 1.0])
    assert x.grad.tolist() == [3, 3]


def test_another_array_in_the_place_of_data_is_no_change():
    x = leaf(1.0, 2.0)
    y = x * x
    x.data = np.array([5.0, 5.0])
    y.backward([1.0, 1.0])
    assert x.grad.tolist() == [2, 4]


def test_a_view_of_a_leaf_is_watched_through_the_leaf():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = x[0] * x[1]
    x.data[1, 2] = -1
    with pytest.raises(GraphError):
        y.backward(np.ones(3))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1, 511, 1025, 5000])
def test_one_entry_of_a_long_array_is_seen(size, dtype):
    a = np.random.default_rng(0).normal(size=size).astype(dtype)
    before = fingerprint(a)
    for place in {0, size // 3, size - 1}:
        kept = a[place].copy()
        a[place] = np.nextafter(kept, dtype(9))
        assert fingerprint(a) != before
        a[place] = kept
    assert fingerprint(a) == before
    assert fingerprint(a[::-1]) != before or size == 1


def test_indices_are_copied():
    x, index = leaf(1.0, 2.0, 3.0), np.array([0, 1])
    y = x[index]
    index[:] = 2
    y.backward([1.0, 1.0])
    assert x.grad.tolist() == [1, 1, 0]


# ---------------------------------------------------------------- once, and gone

def test_backward_twice_is_an_error():
    x = leaf(1.0)
    y = x * x
    y.backward([1.0])
    with pytest.raises(GraphError, match=r"the graph of this tensor is gone; .* backward\(\[\(a, seed_a\)"):
        y.backward([1.0])
    assert x.grad.tolist() == [2]


def test_two_outputs_with_a_common_part_need_one_call():
    x = leaf(1.0)
    shared = x * x
    a, b = shared * 2.0, shared * 3.0
    a.backward([1.0])
    with pytest.raises(GraphError, match="is gone"):
        b.backward([1.0])
    assert x.grad.tolist() == [4]


@pytest.mark.parametrize("error", [ValueError, RuntimeError])
def test_a_graph_error_is_of_both_kinds(error):
    assert issubclass(GraphError, error)


def test_nothing_is_kept_after_backward():
    x = leaf(*np.arange(4.0))
    hidden = ag.exp(x)
    y = (hidden * hidden).sum()
    dead = weakref.ref(hidden), weakref.ref(hidden.data)
    del hidden
    assert all(ref() is not None for ref in dead)            # the graph holds them,
    gc.disable()
    try:
        y.backward()
        assert all(ref() is None for ref in dead)            # and lets go, without the garbage collector
    finally:
        gc.enable()
    assert y.item() == np.exp(2 * np.arange(4.0)).sum()


def test_a_result_that_is_dropped_takes_its_graph_along():
    x = leaf(1.0)
    y = ag.exp(x)
    dead = weakref.ref(y)
    z = y * 2.0
    del y, z
    assert dead() is None


def test_an_addition_saves_nothing():
    x, y = leaf(1.0), leaf(2.0)
    data = x.data
    z = x + y
    x.data = np.zeros(1)
    dead = weakref.ref(data)
    del data
    assert dead() is None
    z.backward([1.0])


# ---------------------------------------------------------------- no_grad

def test_inside_no_grad_nothing_is_recorded():
    x = leaf(1.0, 2.0)
    with no_grad():
        y = x * x
        z = ag.concatenate([x, x])
    assert not y.requires_grad and not z.requires_grad
    y.data += 1                                              # and results may be changed
    with pytest.raises(ValueError, match="requires_grad of the tensor is False"):
        y.backward([1.0, 1.0])


def test_no_grad_ends_with_its_block_even_by_an_error_and_nests():
    x = leaf(1.0)
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * 1.0).requires_grad
    with no_grad():
        with no_grad():
            pass
        assert not (x * 1.0).requires_grad


def test_no_grad_is_for_this_thread_only():
    x, found = leaf(1.0), []
    with no_grad():
        other = threading.Thread(target=lambda: found.append((x * 1.0).requires_grad))
        other.start()
        other.join()
    assert found == [True]


def test_what_wants_no_gradient_makes_no_graph():
    a, b = Tensor([1.0]), leaf(2.0)
    assert not (a * a).requires_grad
    (a * b).backward([1.0])
    assert a.grad is None
    assert not (b * 1.0).detach().requires_grad


# ---------------------------------------------------------------- functions against NumPy

GRID = np.arange(24.0).reshape(2, 3, 4)
NUMPY = {
    "sum": (lambda x: x.sum(axis=(0, 2)), lambda a: a.sum(axis=(0, 2))),
    "mean": (lambda x: x.mean(axis=1, keepdims=True), lambda a: a.mean(axis=1, keepdims=True)),
    "max": (lambda x: x.max(axis=-1), lambda a: a.max(axis=-1)),
    "T": (lambda x: x.T, lambda a: a.T),
    "transpose": (lambda x: x.transpose((1, 0, -1)), lambda a: a.transpose(1, 0, 2)),
    "reshape": (lambda x: x.reshape((4, -1)), lambda a: a.reshape(4, -1)),
    "ellipsis": (lambda x: x[..., None, 1:3], lambda a: a[..., None, 1:3]),
    "mask": (lambda x: x[GRID > 7], lambda a: a[GRID > 7]),
    "list": (lambda x: x[[0, 1, 1]], lambda a: a[[0, 1, 1]]),
    "tuple in the index": (lambda x: x[(0, 1, 1),], lambda a: a[(0, 1, 1),]),
    "tuples in the index": (lambda x: x[:, (0, 2, 0), (1, 1, 1)], lambda a: a[:, (0, 2, 0), (1, 1, 1)]),
    "tuple and number": (lambda x: x[(1, 1), 2], lambda a: a[(1, 1), 2]),
    "nested tuples": (lambda x: x[((0, 1), (1, 1)),], lambda a: a[((0, 1), (1, 1)),]),
    "range": (lambda x: x[0, range(2)], lambda a: a[0, range(2)]),
    "gather": (lambda x: ag.gather(x, GRID.astype(int) % 3, axis=1), lambda a: np.take_along_axis(
        a, GRID.astype(int) % 3, axis=1)),
    "concatenate": (lambda x: ag.concatenate([x, x[:, :1]], axis=1), lambda a: np.concatenate([a, a[:, :1]], axis=1)),
    "vector on the right": (lambda x: x @ np.arange(4.0), lambda a: a @ np.arange(4.0)),
    "vector on the left": (lambda x: np.arange(3.0) @ x, lambda a: np.arange(3.0) @ a),
    "two vectors": (lambda x: x[0, 0] @ x[1, 1], lambda a: a[0, 0] @ a[1, 1]),
    "matrix on the left": (lambda x: np.ones((5, 3)) @ x, lambda a: np.ones((5, 3)) @ a),
    "iteration": (lambda x: [*x][1], lambda a: a[1]),
}


@pytest.mark.parametrize("name", NUMPY)
def test_a_function_does_what_numpy_does_and_has_a_gradient(name):
    ours, numpys = NUMPY[name]
    x = Tensor(GRID, requires_grad=True)
    y = ours(x)
    assert_array_equal(y.data, numpys(GRID))
    direction = np.random.default_rng(0).normal(size=GRID.shape) / 8
    seed = np.random.default_rng(1).normal(size=y.shape)
    y.backward(seed)
    change = (numpys(GRID + direction) - numpys(GRID - direction)) / 2     # exact: nearby all are linear or quadratic
    assert_allclose(np.sum(x.grad * direction), np.sum(seed * change), rtol=1e-10)


def test_sigmoid_does_not_overflow():
    x = leaf(-1e4, 0.0, 1e4)
    y = ag.sigmoid(x)
    y.backward(np.ones(3))
    assert (y.data.tolist(), x.grad.tolist()) == ([0, .5, 1], [0, .25, 0])


def test_equal_ones_share():
    x = leaf(3.0, 1.0, 3.0)
    x.max().backward()
    assert x.grad.tolist() == [0.5, 0, 0.5]
    a, b = leaf(1.0, 2.0, 3.0), leaf(2.0, 2.0, 2.0)
    ag.maximum(a, b).backward([1.0] * 3)
    assert (a.grad.tolist(), b.grad.tolist()) == ([0, .5, 1], [1, .5, 0])


@pytest.mark.parametrize("f", [ag.relu, ag.absolute, ag.max, lambda x: ag.maximum(x, 1.0), lambda x: ag.maximum(1.0, x),
                               lambda x: ag.minimum(x, leaf(1.0)), lambda x: ag.minimum(leaf(1.0), x)])
def test_what_is_not_a_number_is_not_lost_in_a_choice(f):
    assert np.isnan(f(leaf(np.nan)).item())


def test_relu_hands_the_gradient_on_where_its_argument_is_not_a_number():
    x = leaf(np.nan, 1.0)
    ag.relu(x).backward([2.0, 2.0])
    assert x.grad.tolist() == [2, 2]                        # as in PyTorch


@pytest.mark.parametrize("f", [ag.maximum, ag.minimum])
def test_an_array_is_compared_in_the_dtype_of_the_tensor_beside_it(f):
    x, tenth = leaf(np.float32(0.1), dtype=np.float32), np.array([0.1])
    for y in (f(x, tenth), f(tenth, x)):
        assert y.dtype == np.float32
        x.grad = None
        y.backward([1.0])
        assert x.grad.tolist() == [0.5]                     # equals, in float32; in float64 they would differ


def test_a_mean_has_as_many_dimensions_as_numpy_s():
    x = Tensor(GRID)
    for axis in (None, 0, (0, 2)):
        assert x.mean(axis).shape == ag.mean(x, axis).shape == GRID.mean(axis).shape
        assert x.mean(axis, keepdims=True).shape == GRID.mean(axis, keepdims=True).shape


@pytest.mark.parametrize("f", [ag.relu, ag.absolute, lambda x: x ** 0])
def test_where_a_slope_is_chosen_it_is_0(f):
    x = leaf(0.0)
    f(x).backward([1.0])
    assert x.grad.tolist() == [0]


@pytest.mark.parametrize("f", [
    ag.relu, ag.absolute, ag.max, lambda x: ag.maximum(x, 1.0), lambda x: ag.maximum(1.0, x),
    lambda x: ag.minimum(x, [2.0, 2.0]), lambda x: ag.minimum([2.0, 2.0], x)])
def test_nan_stays_nan_and_where_it_is_the_number_has_its_gradient(f):
    x = leaf(np.nan, 0.5)
    y = f(x)
    assert np.isnan(y.data.ravel()[0])
    y.backward(np.ones(y.shape))
    assert x.grad[0] != 0                       # NaN, or the slope of what was passed on


def test_log_probability_and_entropy_share_one_backward():
    z, ids = np.random.default_rng(0).normal(size=(2, 3, 5)), np.array([[0, 1, 2], [4, 4, 0]])
    x = Tensor(z, requires_grad=True)
    logp, H = ag.chosen_logp(x, ids, entropy=True)
    assert_allclose(logp.data, np.take_along_axis(ag.log_softmax(Tensor(z)).data, ids[..., None], -1)[..., 0])
    backward([(logp, np.ones((2, 3))), (H, np.full((2, 3), 0.5))])
    p = np.exp(ag.log_softmax(Tensor(z)).data)
    onehot = np.arange(5) == ids[..., None]
    assert_allclose(x.grad, onehot - p - 0.5 * p * (np.log(p) + H.data[..., None]), atol=1e-14)


@given(arrays((2, 3), eighths()), arrays((2, 3), eighths(0.125, 4)))
def test_operators_with_a_plain_array_on_either_side(a, b):
    for op in (lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y):
        x = Tensor(b, requires_grad=True)
        assert_array_equal(op(a, x).data, op(a, b))
        assert_array_equal(op(x, b).data, op(b, b))
        assert isinstance(op(a, x), Tensor)


# ---------------------------------------------------------------- bad calls

def test_a_failing_backward_changes_no_gradient():
    a, b = leaf(1.0), leaf(2.0)
    late = b * b
    y = a * 3.0 + late
    b.data += 1
    with pytest.raises(GraphError):
        y.backward([1.0])
    assert a.grad is None and b.grad is None


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: Tensor([1, 2], requires_grad=True), TypeError, "the dtype of data is .int64.; expected float32 or"),
    (lambda: Tensor([True], requires_grad=True), TypeError, "the dtype of data is 'bool'"),
    (lambda: Tensor([1j], requires_grad=True), TypeError, "the dtype of data is 'complex128'"),
    (lambda: Tensor(np.ones(2, np.float16)), TypeError, "the dtype of data is 'float16'"),
    (lambda: Tensor("abc"), TypeError, "the dtype of data is"),
    (lambda: Tensor([1.0], requires_grad="yes"), ValueError, "requires_grad is 'yes'; expected one of False, True"),
    (lambda: (leaf(1.0, 2.0) * 2).backward(), ValueError, r"seed is None; expected dL/dself of shape \(2,\)"),
    (lambda: (leaf(1.0, 2.0) * 2).backward([1.0]), ValueError, r"the shape of seed is \(1,\); expected \(2,\), like"),
    (lambda: (leaf(1.0) * 2).backward([np.nan]), ValueError, r"seed\[0\] is nan; expected finite numbers"),
    (lambda: (leaf(1.0) * 2).backward([1j]), TypeError, "the dtype of seed is 'complex128'; expected real numbers"),
    (lambda: (leaf(1.0) * 2).backward("1"), TypeError, "seed is '1'"),
    (lambda: Tensor([1.0]).backward([1.0]), ValueError, "requires_grad of the tensor is False; expected True"),
    (lambda: backward([leaf(1.0)]), TypeError, r"pairs\[0\] is .*; expected a Tensor and its seed"),
    (lambda: backward([(np.ones(1), [1.0])]), TypeError, r"pairs\[0\] is"),
    (lambda: np.exp(leaf(1.0)), TypeError, "ufunc"),
    (lambda: np.asarray(leaf(1.0)), TypeError, "expected an array: give NumPy and the formulas tensor.data"),
    (lambda: bool(leaf(1.0)), TypeError, "the truth of a Tensor is .*; expected a comparison of its .data"),
    (lambda: leaf(1.0) ** leaf(2.0), TypeError, "n is .*; expected a finite number"),
    (lambda: leaf(1.0) + "1", TypeError, "the dtype of an operand is '<U1'; expected numbers"),
    (lambda: leaf(1.0) @ Tensor(1.0), ValueError, "the dimensions of a product's sides is .1, 0.; expected at least 1"),
    (lambda: leaf(1.0, 2.0) @ np.ones((3, 2)), ValueError, "the inner length of b is 3; expected 2"),
    (lambda: ag.gather(leaf(1.0, 2.0), np.array([2])), ValueError, r"ids\[0\] is 2; expected an integer in \[0, 2\)"),
    (lambda: ag.gather(leaf(1.0), np.array([[0]])), ValueError, "the shape of ids is .1, 1.; expected 1 dimensions"),
    (lambda: ag.embedding(Tensor(np.ones((2, 2)), requires_grad=True), np.array([2])), ValueError, r"ids\[0\] is 2"),
    (lambda: ag.chosen_logp(Tensor(np.ones((2, 3))), np.array([0])), ValueError, "an id for each row of logits"),
    (lambda: ag.layer_norm(leaf(1.0, 2.0).reshape(1, 2), np.ones(2), np.ones(2), leaf(1.0)), TypeError,
     "eps is"),
])
def test_a_bad_call_says_what_was_expected(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_gradient_is_refused_where_there_is_no_derivative():
    from rlscratch.autograd.row import Row
    scaled = Row(lambda x, factor: x * factor, x=lambda dy, factor: dy * factor)
    with pytest.raises(TypeError, match="requires_grad of argument factor of an operation is True; expected False"):
        scaled(leaf(1.0), leaf(2.0))
    assert scaled(leaf(1.0), Tensor([2.0])).requires_grad


def test_a_tensor_shows_itself():
    assert repr(leaf(1.0, 2.5)) == "Tensor([1. , 2.5], requires_grad=True)"
    x = leaf(1.0, 2.0)
    assert (x.shape, x.ndim, x.size, len(x), x.dtype) == ((2,), 1, 2, 2, np.float64)
    assert Tensor(np.array(2.5)).item() == 2.5
