"""The checker checked: right gradients pass, planted errors do not; and every row of the table passes.

A row is planted broken in each way that a derivative goes wrong in practice: a sign, a factor 1.001, a dropped
term, a transposed matrix, memory that is shared, an argument changed.
"""
import numpy as np
import pytest
from numpy.testing import assert_allclose

from rlscratch import autograd as ag
from rlscratch import kernels
from rlscratch.autograd import Tensor, ops
from rlscratch.autograd.gradcheck import GradientError, Worst, gradcheck
from rlscratch.autograd.row import Row

RNG = np.random.default_rng(0)
IDS = np.array([[1, 0, 1], [2, 3, 1]])
TURNS = np.concatenate([trig(np.outer(np.arange(4), [1.0, 0.1])) for trig in (np.cos, np.sin)], axis=1)


def normal(*shape):
    return RNG.normal(size=shape)


def away_from_0(*shape):
    """Of both signs, none nearer to 0 than 1/2: no kink within the steps of the difference."""
    x = normal(*shape)
    return x + 0.5 * np.sign(x)


# ---------------------------------------------------------------- every row of the table

CASES = {
    "add": (lambda a, b: a + b, normal(2, 3), normal(3)),
    "subtract": (lambda a, b: a - b, normal(2, 1), normal(2, 3)),
    "multiply": (lambda a, b: a * b, normal(2, 3), normal(2, 1)),
    "divide": (lambda a, b: a / b, normal(2, 3), away_from_0(3)),
    "negative": (lambda x: -x, normal(3)),
    "power": (lambda x: x ** 3, normal(3)),
    "exp": (ag.exp, normal(3)),
    "log": (ag.log, 1 + normal(3) ** 2),
    "sqrt": (ag.sqrt, 1 + normal(3) ** 2),
    "tanh": (ag.tanh, normal(3)),
    "sigmoid": (ag.sigmoid, 5 * normal(4)),
    "relu": (ag.relu, away_from_0(6)),
    "absolute": (ag.absolute, away_from_0(6)),
    "where": (lambda a, b: ag.where(IDS > 0, a, b), normal(2, 3), normal(3)),
    "maximum": (ag.maximum, np.arange(6.0).reshape(2, 3), np.array([2.5, -1.0, 7.0])),
    "minimum": (ag.minimum, np.arange(6.0).reshape(2, 3), np.array([2.5, -1.0, 7.0])),
    "sum": (lambda x: (x.sum(), x.sum(axis=0), x.sum(axis=(0, 2), keepdims=True)), normal(2, 3, 2)),
    "max": (lambda x: (x.max(), x.max(axis=-1), x.max(axis=(0, 1), keepdims=True)),
            RNG.permutation(np.arange(24.0)).reshape(2, 3, 4)),
    "reshape": (lambda x: x.reshape(3, -1), normal(2, 6)),
    "transpose": (lambda x: x.transpose(1, 2, 0), normal(2, 3, 4)),
    "getitem": (lambda x: (x[1:, ::2], x[np.array([0, 0, 1])], x[0, 1]), normal(2, 3)),
    "linear": (ag.matmul, normal(2, 3, 4), normal(4, 5)),
    "linear_t": (lambda x, W: ag.linear(x, W, transposed=True), normal(2, 3, 4), normal(5, 4)),
    "batched": (ag.matmul, normal(2, 3, 4), normal(2, 4, 5)),
    "softmax": (lambda x: ag.softmax(x, 0.7), normal(2, 3, 4)),
    "log_softmax": (lambda x: ag.log_softmax(x, 0.7), normal(2, 3, 4)),
    "chosen": (lambda x: ag.chosen_logp(x, IDS, 0.7, entropy=True), normal(2, 3, 5)),
    "attention": (ag.attention, normal(2, 5, 3, 2, 4)),
    "rotary": (lambda x: ag.rotary(x, TURNS.astype(x.dtype), np.array([[0, 1, 2], [2, 0, 3]]), 2), normal(2, 3, 3, 4)),
    "rms_norm": (ag.rms_norm, normal(2, 3, 5), normal(5)), "swiglu": (ag.swiglu, normal(2, 3, 8)),
    "layer_norm": (ag.layer_norm, normal(2, 3, 5), normal(5), normal(5)),
    "bias_gelu": (lambda x, b: (ag.bias_gelu(x, b), ag.bias_gelu(x, b, exact=True)), normal(2, 3, 5), normal(5)),
    "embedding": (lambda table: ag.embedding(table, IDS), normal(4, 3)),
}
NOT_COMPLEX = {"bias_gelu"}                             # the exact form has no complex twin


def test_attention_with_shared_keys_passes_too():
    gradcheck(lambda qkv: ag.attention(qkv, 2), normal(2, 5, 8, 3), rtol=1e-9)


def test_every_row_of_the_table_has_a_case():
    assert set(CASES) == set(ops.TABLE)


@pytest.mark.parametrize("name", CASES)
def test_a_row_passes_by_central_differences(name):
    f, *arrays = CASES[name]
    assert gradcheck(f, *arrays, rtol=1e-9).error < 1e-9


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_COMPLEX])
def test_a_row_passes_by_the_complex_step(name):
    f, *arrays = CASES[name]
    assert gradcheck(f, *arrays, method="complex", rtol=1e-12).error < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_a_row_passes_by_projections(name):
    f, *arrays = CASES[name]
    assert gradcheck(f, *arrays, projections=4, rtol=1e-8).error < 1e-8


@pytest.mark.parametrize("name", CASES)
def test_a_row_agrees_with_itself_in_float32(name):
    f, *arrays = CASES[name]

    def gradients(dtype):
        leaves = [Tensor(a.astype(dtype), requires_grad=True) for a in arrays]
        outputs = f(*leaves)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        assert all(y.dtype == dtype for y in outputs)
        rng = np.random.default_rng(1)
        ag.backward([(y, rng.normal(size=y.shape)) for y in outputs])
        assert all(x.grad.dtype == dtype for x in leaves)
        return [x.grad for x in leaves]

    for single, double in zip(gradients(np.float32), gradients(np.float64), strict=True):
        assert_allclose(single, double, rtol=2e-4, atol=2e-5)


# ---------------------------------------------------------------- a model, end to end

def two_layers(table, place, *parameters):
    """A decoder of two layers, width 8, two heads; logits by the table itself; log-probabilities and entropy."""
    x = ag.embedding(table, IDS) + place
    for i in range(0, len(parameters), 8):
        gain, bias, qkv, out, gain2, bias2, up, down = parameters[i: i + 8]
        h = (ag.layer_norm(x, gain, bias) @ qkv).reshape(2, 3, 3, 2, 4)
        x = x + ag.attention(h).reshape(2, 3, 8) @ out
        x = x + ag.bias_gelu(ag.layer_norm(x, gain2, bias2) @ up, np.zeros(16)) @ down
    return ag.chosen_logp(ag.linear(x, table, transposed=True), IDS, entropy=True)


def parameters_of_two_layers():
    layer = [(8,), (8,), (8, 24), (8, 8), (8,), (8,), (8, 16), (16, 8)]
    return [normal(*shape) * 0.5 for shape in [(5, 8), (3, 8), *layer, *layer]]


def test_a_model_of_two_layers_passes_end_to_end():
    parameters = parameters_of_two_layers()
    assert gradcheck(two_layers, *parameters, projections=3).error < 1e-7
    assert gradcheck(two_layers, *parameters, method="complex", projections=2, rtol=1e-11).error < 1e-11


# ---------------------------------------------------------------- planted errors

def multiply(**changed):
    return Row(lambda a, b: a * b, **{"a": lambda dy, b: dy * b, "b": lambda dy, a: dy * a, **changed})


def matmul(**changed):
    right = {"a": lambda dy, b: dy @ b.T, "b": lambda dy, a: a.T @ dy}
    return Row(lambda a, b: a @ b, **{**right, **changed})


def tanh_plus(dropped):
    """tanh(x) + x^2, with or without its second term's derivative."""
    return Row(lambda x: np.tanh(x) + x * x, x=lambda dy, x, y: dy * (1 - np.tanh(x) ** 2 + (0 if dropped else 2 * x)))


def spoiled(dy, a):
    dy *= 1.0 + 1e-3
    return dy * a


SQUARE = normal(3, 3), normal(3, 3)
WRONG = {
    "sign": (multiply(b=lambda dy, a: -dy * a), SQUARE),
    "factor 1.001": (multiply(a=lambda dy, b: 1.001 * dy * b), SQUARE),
    "dropped term": (tanh_plus(dropped=True), SQUARE[:1]),
    "transposed": (matmul(a=lambda dy, b: dy @ b), SQUARE),
    "transposed result": (matmul(b=lambda dy, a: (a.T @ dy).T), SQUARE),
    "swapped": (multiply(a=lambda dy, a: dy * a, b=lambda dy, b: dy * b), SQUARE),
    "one entry": (multiply(a=lambda dy, b: dy * b + np.eye(3) * 1e-5), SQUARE),
    "no broadcast": (Row(lambda a, b: a + b, a=lambda dy: dy, b=lambda dy: np.broadcast_to(dy[:1], dy.shape)),
                     (normal(3, 2), normal(2))),
    "not a number": (multiply(a=lambda dy, b: dy * np.nan), SQUARE),
}
ASKED = [{}, {"method": "complex"}, {"projections": 3}]


@pytest.mark.parametrize("how", ASKED, ids=["central", "complex", "projections"])
@pytest.mark.parametrize("error", WRONG)
def test_a_planted_error_is_caught(error, how):
    row, arrays = WRONG[error]
    with pytest.raises(GradientError):
        gradcheck(row, *arrays, **how)


@pytest.mark.parametrize("how", ASKED, ids=["central", "complex", "projections"])
@pytest.mark.parametrize("row", [multiply(), matmul(), tanh_plus(dropped=False)], ids=["multiply", "matmul", "tanh"])
def test_the_same_rows_without_the_error_pass(row, how):
    assert gradcheck(row, *SQUARE[: len(row.arguments)], **how).error < 1e-7


def test_a_derivative_that_hands_out_a_saved_array_is_caught_as_shared_memory():
    shares = multiply(a=lambda dy, b: b, b=lambda dy, a: a)
    with pytest.raises(GradientError, match=r"the gradient of argument 0 shares memory with the data of argument 1"):
        gradcheck(shares, np.ones((1, 2)), np.ones((1, 2)))


def test_two_gradients_in_one_array_are_caught_as_shared_memory():
    both = Row(lambda a, b: a + b, together=2, joint=lambda dy: (2 * dy,) * 2)
    with pytest.raises(GradientError, match="the gradient of argument 0 shares memory with the gradient of argument 1"):
        gradcheck(both, *SQUARE)


def test_a_derivative_that_writes_into_dy_is_caught():
    with pytest.raises(GradientError):
        gradcheck(multiply(b=spoiled), *SQUARE)


def test_a_derivative_that_remembers_its_last_call_is_caught():
    kept = np.zeros((3, 3))

    def growing(dy, b):
        kept[...] += dy * b
        return kept.copy()

    with pytest.raises(GradientError, match="the gradient of argument 0 does not double with a second backward"):
        gradcheck(multiply(a=growing), *SQUARE)


def test_a_forward_that_changes_its_argument_is_caught():
    def bump(x):
        x += 1
        return x * 1.0

    with pytest.raises(GradientError, match="the data of argument 0 has changed"):
        gradcheck(Row(bump, x=lambda dy: dy), normal(3))


# ---------------------------------------------------------------- the report

def test_the_worst_entry_is_named():
    wrong = multiply(b=lambda dy, a: dy * a + np.where(np.arange(9).reshape(3, 3) == 5, 0.5, 0))
    with pytest.raises(GradientError, match=r"argument 1\[1, 2\]: .* by autograd, .* numerically, relative error"):
        gradcheck(wrong, *SQUARE)


def test_a_loose_tolerance_returns_the_worst_instead():
    worst = gradcheck(multiply(a=lambda dy, b: 1.5 * dy * b), *SQUARE, rtol=1.0)
    assert isinstance(worst, Worst)
    assert worst.argument == 0
    assert_allclose(worst.autograd / worst.numerical, 1.5)
    assert_allclose(worst.error, 1 / 3)                 # relative to the larger of the two


def test_an_argument_that_does_not_matter_has_gradient_0():
    assert gradcheck(lambda a, b: a * 2.0, np.ones(2), np.ones(2)).error < 1e-10
    with pytest.raises(GradientError, match="argument 1"):
        gradcheck(Row(lambda a, b: a + 3 * b, a=lambda dy: dy, b=lambda dy: 0 * dy), np.ones(2), np.ones(2))


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"arrays": [np.ones(2, np.float32)]}, TypeError, r"the dtype of arrays\[0\] is 'float32'; expected float64"),
    ({"arrays": [[1.0]]}, TypeError, r"the dtype of arrays\[0\] is 'list'"),
    ({"method": "forward"}, ValueError, "method is 'forward'; expected one of 'central', 'complex'"),
    ({"projections": -1}, ValueError, "projections is -1"),
    ({"rng": 0}, TypeError, "rng is 0; expected a numpy.random.Generator"),
])
def test_a_bad_call_says_what_was_expected(change, error, message):
    arrays = change.pop("arrays", [np.ones(2)])
    with pytest.raises(error, match=message):
        gradcheck(ag.exp, *arrays, **change)


def test_the_rows_of_kernels_are_those_of_this_backend():
    assert ops.kernel("attention", np.zeros(1)) is kernels.attention
    assert ops.kernel("attention", np.zeros(1, complex)) is kernels.reference.attention
