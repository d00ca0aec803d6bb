"""What kernels ask of a call: arrays to write into, and messages that name a bad argument.

Under RLSCRATCH_PURE=1 the same tests see the NumPy backend.
"""
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kernel_cases import DTYPES, STEP, normal, random_logits
from rlscratch import kernels
from rlscratch.kernels import reference

# ---------------------------------------------------------------- arrays to write into

def calls(dtype=np.float64):
    """Good calls: name -> (arguments, the name of the array to write into, its shape)."""
    x, row, ids = normal(6, 5, dtype=dtype), normal(5, dtype=dtype), np.array([0, 2, 2, 1, 0, 3])
    qkv, halves = normal(2, 4, 3, 2, 3, dtype=dtype), normal(6, 10, dtype=dtype)
    out, lse = reference.attention(qkv)
    return {
        "matmul": ({"a": x, "b": x, "transpose_b": True}, "out", (6, 6)),
        "attention": ({"qkv": qkv}, "out", (2, 4, 2, 3)),
        "attention_backward": ({"dout": out * 2, "qkv": qkv, "out": out, "lse": lse}, "dqkv", qkv.shape),
        "rotary": ({"x": normal(6, 3, 4, dtype=dtype), "turns": normal(4, 4, dtype=dtype), "places": ids, "heads": 2},
                   "out", (6, 3, 4)),
        "layer_norm": ({"x": x, "gain": row, "bias": row}, "out", (6, 5)),
        "layer_norm_backward": ({"dy": x, "x": x, "gain": row, "stats": normal(6, 2, dtype=dtype)}, "out", (6, 5)),
        "rms_norm": ({"x": x, "gain": row}, "out", (6, 5)),
        "rms_norm_backward": ({"dy": x, "x": x, "gain": row, "rstd": normal(6, dtype=dtype)}, "out", (6, 5)),
        "swiglu": ({"x": halves}, "out", (6, 5)), "swiglu_backward": ({"dy": x, "x": halves}, "out", (6, 10)),
        "bias_gelu": ({"x": x, "bias": row}, "out", (6, 5)),
        "bias_gelu_backward": ({"dy": x, "x": x, "bias": row}, "out", (6, 5)),
        "embedding": ({"table": x, "ids": ids}, "out", (6, 5)),
        "embedding_backward": ({"dout": x, "ids": ids, "V": 7}, "out", (7, 5)),
    }


def first(result):
    return result if isinstance(result, np.ndarray) else result[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", calls())
def test_the_array_to_write_into_is_filled_and_returned(isa, name, dtype):
    args, place, shape = calls(dtype)[name]
    kernel, buffer = getattr(kernels, name), np.full(shape, np.nan, dtype)
    result = first(kernel(**args, **{place: buffer}))
    assert result is buffer
    assert_array_equal(buffer, first(kernel(**args)))


@pytest.mark.parametrize("name", calls())
def test_an_array_of_a_subclass_is_a_plain_one_and_a_masked_one_is_refused(isa, name):
    args, place, shape = calls()[name]
    expected, buffer = first(getattr(kernels, name)(**args)), np.full(shape, np.nan)
    for part, value in (args | {place: buffer}).items():
        if isinstance(value, np.ndarray):
            result = first(getattr(kernels, name)(**args | {place: buffer} | {part: value.view(Odd)}))
            assert type(result) is np.ndarray and np.may_share_memory(result, buffer)
            assert_array_equal(result, expected)
            with pytest.raises(TypeError, match=f"^{part} is masked_array.*; expected an array without a mask"):
                getattr(kernels, name)(**args | {place: buffer} | {part: np.ma.array(value, mask=False)})


class Odd(np.ndarray):
    """An array with a product and a slice of its own, as np.matrix has them."""

    def __mul__(self, other):
        return self.view(np.ndarray) + other

    def __getitem__(self, place):
        return super().__getitem__(place) + 1


def test_the_kernels_that_write_to_no_matrix_see_masks_too():
    x = np.ma.array([[1.0, 2.0, 3.0, 4.0]], mask=[[1, 0, 0, 0]])
    with pytest.raises(TypeError, match=r"x is masked_array.*; expected an array without a mask"):
        kernels.squared_norm(x)
    assert kernels.squared_norm(x.data.view(Odd)) == 30.0
    with pytest.raises(TypeError, match="target is masked_array"):
        kernels.chosen_logp(x.data, np.ma.array([1]))


def strided(array):
    """The same numbers, not contiguous."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


def misaligned(array):
    """The same numbers, from an odd address on."""
    room = np.empty(array.nbytes + 1, np.uint8)
    view = room[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


@pytest.mark.parametrize("other", [strided, misaligned])
@pytest.mark.parametrize("name", calls())
def test_arrays_that_must_be_copied_first_give_the_same_result(isa, name, other):
    args = calls()[name][0]
    turned = {k: other(v) if isinstance(v, np.ndarray) and k not in ("keys", "values") else v for k, v in args.items()}
    assert_array_equal(first(getattr(kernels, name)(**turned)), first(getattr(kernels, name)(**args)))


@pytest.mark.parametrize("name", calls())
def test_a_foreign_byte_order_is_refused(name):
    args = calls()[name][0]
    place = next(k for k, v in args.items() if isinstance(v, np.ndarray) and v.dtype == float)
    with pytest.raises(TypeError, match=f"the dtype of {place} is"):
        getattr(kernels, name)(**(args | {place: args[place].astype(">f8")}))


@pytest.mark.parametrize("name", calls())
def test_a_wrong_array_to_write_into_is_refused(name):
    args, place, shape = calls()[name]
    kernel, good = getattr(kernels, name), np.empty(shape)
    frozen = good.copy()
    frozen.flags.writeable = False
    taken = max((a for a in args.values() if isinstance(a, np.ndarray) and a.dtype == float), key=lambda a: a.size)
    for wrong, message in [(np.empty((*shape[:-1], shape[-1] + 1)), f"the shape of {place} is"),
                           (good.astype(np.float32), f"the dtype of {place} is"),
                           ([1.0], f"the dtype of {place} is 'list'"),
                           (np.empty(shape[::-1]).T, f"the layout of {place} is 'not C-contiguous'"),
                           (frozen, f"the layout of {place} is 'read-only'")]:
        with pytest.raises((ValueError, TypeError), match=message):
            kernel(**args, **{place: wrong})
    if taken.size >= good.size:
        with pytest.raises(ValueError, match=f"the memory of {place} is 'shared with another argument'"):
            kernel(**args, **{place: taken.ravel()[:good.size].reshape(shape)})


# ---------------------------------------------------------------- good calls and bad ones

ADAMW = {name: np.ones(3) * k for k, name in enumerate(("parameter", "gradient", "m", "v"))} | STEP


def a_model():
    """One layer of two channels and a cache of 16 tokens for two sequences: what decode and answer ask for alike."""
    sizes = [(3, 2), (9, 2), None, 2, 2, (2, 6), 6, (2, 2), 2, 2, 2, (2, 8), 8, (8, 2), 2, 2, 2]
    weights = [None if size is None else normal(*np.atleast_1d(size)) for size in sizes]
    return {"weights": weights, "output": np.ones((2, 3)), "heads": 2,
            "keys": [np.ones((2, 2, 1, 1, 16))], "values": [np.ones((2, 2, 16, 1))], "lengths": np.array([0, 4])}


def good_calls():
    """name -> the arguments of a good call, of every kernel."""
    x, ones, ids = np.zeros((2, 3)), np.ones(2), np.zeros(2, dtype=np.int64)
    return {
        "softmax": {"logits": x}, "log_softmax": {"logits": x},
        "softmax_backward": {"dprobs": x, "probs": x}, "log_softmax_backward": {"dlogp": x, "logp": x},
        "chosen_logp": {"logits": x, "target": ids},
        "chosen_logp_backward": {"dlogp": ones, "dentropy": ones, "logits": x, "target": ids, "entropy": ones,
                                 "stats": np.zeros((2, 2))},
        "draw": {"probs": x + 1 / 3, "u": ones / 2}, "sample": {"logits": x, "u": ones / 2},
        "decode": {"tokens": ids[:, None], "last": ids, **a_model()},
        "answer": {"logits": x, "u": np.ones((2, 5)) / 2, "stops": np.zeros(3, bool), **a_model()},
        "adamw": ADAMW, "squared_norm": {"x": ones}, **{name: args for name, (args, *_) in calls().items()},
    }


@pytest.mark.parametrize("name", good_calls())
def test_the_good_call_is_good(name):
    assert (getattr(kernels, name)(**good_calls()[name]) is None) == (name == "adamw")      # which works in place


def without(place):
    """The arrays of a model but one."""
    return [None if i == place else array for i, array in enumerate(a_model()["weights"])]


ROW = np.zeros((2, 3))
BAD = [
    ("softmax", {"logits": [[1.0]]}, TypeError, "the dtype of logits is 'list'; expected float32 or float64"),
    ("softmax", {"logits": np.zeros((2, 3), dtype=int)}, TypeError, r"the dtype of logits is dtype\('int64'\)"),
    ("softmax", {"logits": np.zeros(3)}, ValueError, r"the shape of logits is \(3,\); expected 2 dimensions"),
    ("softmax", {"logits": np.zeros((2, 0))}, ValueError, "none of length 0"),
    ("softmax", {"logits": np.array([[0, 1], [np.nan, 0]])}, ValueError, r"logits\[1, 0\] is nan; expected no NaN"),
    ("log_softmax", {"logits": np.array([[0, np.inf]])}, ValueError, r"logits\[0, 1\] is inf; expected finite"),
    ("log_softmax", {"logits": np.array([[-np.inf, -np.inf]])}, ValueError, "at least one finite logit in the row"),
    ("softmax", {"temperature": 0.0}, ValueError, r"temperature is 0.0; expected a finite number > 0"),
    ("softmax", {"temperature": -1}, ValueError, "temperature is -1"),
    ("softmax", {"temperature": 1e-40}, ValueError, "take the arg-max"),
    ("softmax", {"temperature": "hot"}, TypeError, "temperature is 'hot'"),
    ("softmax_backward", {"dprobs": np.zeros((3, 3))}, ValueError, r"the shape of dprobs is \(3, 3\)"),
    ("softmax_backward", {"dprobs": ROW.astype(np.float32)}, TypeError, "float64 like the array before it"),
    ("chosen_logp", {"target": np.array([0, 3])}, ValueError, r"target\[1\] is 3; expected an integer in \[0, 3\)"),
    ("chosen_logp", {"target": np.array([0, -1])}, ValueError, r"target\[1\] is -1"),
    ("chosen_logp", {"target": np.array([0.0, 1.0])}, TypeError, r"integers in \[0, 3\)"),
    ("chosen_logp", {"target": np.array([0])}, ValueError, "one token a row"),
    ("chosen_logp", {"logits": np.full((2, 3), np.nan)}, ValueError, r"logits\[0, 0\] is nan"),
    ("chosen_logp_backward", {"stats": np.zeros((2, 3))}, ValueError, "the shape of stats"),
    ("chosen_logp_backward", {"dlogp": np.zeros(3)}, ValueError, "one entry a row"),
    ("draw", {"probs": ROW}, ValueError, r"the sum of probs\[0\] is 0.0; expected 1"),
    ("draw", {"probs": np.array([[1.5, -.5, 0]] * 2)}, ValueError, r"probs\[0, 1\] is -0.5"),
    ("draw", {"u": np.array([0.5, 1.0])}, ValueError, r"u is 1.0; expected uniforms in \[0, 1\)"),
    ("draw", {"u": np.array([0.5])}, ValueError, "one uniform a row"),
    ("sample", {"u": np.array([-0.1, 0])}, ValueError, "u is -0.1"),
    ("sample", {"u": np.array([np.nan, 0])}, ValueError, r"u\[0\] is nan"),
    ("sample", {"top_k": -1}, ValueError, "top_k is -1; expected an integer >= 0"),
    ("sample", {"top_k": 1.5}, TypeError, "top_k is 1.5"),
    ("sample", {"top_p": 0.0}, ValueError, r"top_p is 0.0; expected a number in \(0, 1\]"),
    ("sample", {"top_p": 1.1}, ValueError, "top_p is 1.1"),
    ("sample", {"min_p": -0.1}, ValueError, "min_p is -0.1"),
    ("sample", {"logits": np.array([[0.0, 1], [0, np.nan]])}, ValueError, r"logits\[1, 1\] is nan"),
    ("sample", {"logits": np.full((2, 3), -np.inf)}, ValueError, "at least one finite logit"),
    ("sample", {"logits": np.array([[0, np.inf]] * 2)}, ValueError, "inf"),
    ("matmul", {"a": np.ones((2, 3), dtype=int)}, TypeError, "the dtype of a is dtype.'int64'.; expected float32"),
    ("matmul", {"b": np.ones((6, 5), np.float32)}, TypeError, "float64 like the array before it"),
    ("matmul", {"a": np.ones(5)}, ValueError, r"the shape of a is \(5,\); expected 2 dimensions"),
    ("matmul", {"b": np.ones((6, 4))}, ValueError, r"the inner length of b is 4; expected 5, for a of shape \(6, 5\)"),
    ("matmul", {"transpose_a": True}, ValueError, r"is 5; expected 6, for the transpose of a of shape \(6, 5\)"),
    ("matmul", {"transpose_b": 1}, ValueError, "transpose_b is 1; expected one of False, True"),
    ("attention", {"qkv": np.ones((2, 4, 2, 3))}, ValueError, "expected 5 dimensions"),
    ("attention", {"qkv": np.ones((2, 4, 2, 2, 3))}, ValueError, "query, key and value on the third axis"),
    ("attention_backward", {"lse": np.ones((2, 4, 2))}, ValueError, "as attention returned it"),
    ("attention_backward", {"dout": np.ones((2, 4, 2, 2))}, ValueError, "one entry for each of out"),
    ("attention", {"qkv": np.ones((2, 4, 3, 2, 3)), "kv_heads": 1}, ValueError, "expected 4 dimensions"),
    ("attention", {"qkv": np.ones((2, 4, 4, 3)), "kv_heads": 2}, ValueError, r"H \+ 4, D\), H a multiple of kv_heads"),
    ("attention", {"qkv": np.ones((2, 4, 7, 3)), "kv_heads": 2}, ValueError, r"H \+ 4, D\), H a multiple of kv_heads"),
    ("attention", {"qkv": np.ones((2, 4, 6, 3)), "kv_heads": 0}, ValueError, "kv_heads is 0; expected an integer >= 1"),
    ("attention_backward", {"kv_heads": 1}, ValueError, "expected 4 dimensions"),
    ("rotary", {"turns": np.ones((4, 6))}, ValueError, r"the shape of turns is \(4, 6\); expected \(P, 4\)"),
    ("rotary", {"x": np.ones((6, 3, 5)), "turns": np.ones((4, 5))}, ValueError, "an even number of channels"),
    ("rotary", {"places": np.array([0, 1, 2, 3, 4, 0])}, ValueError, r"places\[4\] is 4; expected an integer in"),
    ("rotary", {"places": np.array([0, 1])}, ValueError, "one place a token"),
    ("rotary", {"heads": 4}, ValueError, r"heads is 4; expected an integer in \[0, 3\]"),
    ("rotary", {"back": 1}, ValueError, "back is 1; expected one of False, True"),
    ("rms_norm", {"gain": np.ones(4)}, ValueError, r"gain is \(4,\); expected \(5,\), one entry a channel"),
    ("rms_norm", {"eps": 0.0}, ValueError, "eps is 0.0; expected a finite number > 0"),
    ("rms_norm_backward", {"rstd": np.ones((6, 2))}, ValueError, "expected 1 dimension"),
    ("swiglu", {"x": np.ones((6, 5))}, ValueError, r"the shape of x is \(6, 5\); expected \(N, 2 inner\): two halves"),
    ("swiglu_backward", {"dy": np.ones((6, 10))}, ValueError, "half as wide as x"),
    ("layer_norm", {"gain": np.ones(4)}, ValueError, r"gain is \(4,\); expected \(5,\), one entry a channel"),
    ("layer_norm", {"eps": 0.0}, ValueError, "eps is 0.0; expected a finite number > 0"),
    ("layer_norm_backward", {"dy": np.ones((5, 5))}, ValueError, "like x"),
    ("layer_norm_backward", {"stats": np.ones((6, 3))}, ValueError, "as layer_norm returned it"),
    ("bias_gelu", {"bias": np.ones((6, 5))}, ValueError, "expected 1 dimension"),
    ("bias_gelu", {"exact": "yes"}, ValueError, "exact is 'yes'; expected one of False, True"),
    ("bias_gelu_backward", {"dy": np.ones((6, 5), np.float32)}, TypeError, "float64 like the array before it"),
    ("embedding", {"ids": np.array([0, 6])}, ValueError, r"ids\[1\] is 6; expected an integer in \[0, 6\)"),
    ("embedding", {"ids": np.array([], dtype=int)}, ValueError, "at least one id"),
    ("embedding_backward", {"ids": np.array([0, 1])}, ValueError, "one id a row of dout"),
    ("embedding_backward", {"V": 0}, ValueError, "V is 0; expected an integer >= 1"),
    ("adamw", {"lr": -1.0}, ValueError, "lr is -1.0; expected a finite number >= 0"),
    ("adamw", {"beta1": 1.0}, ValueError, r"beta1 is 1.0; expected a number in \[0, 1\)"),
    ("adamw", {"beta2": -0.1}, ValueError, "beta2 is -0.1"),
    ("adamw", {"step": 0}, ValueError, "step is 0; expected an integer >= 1"),
    ("adamw", {"gradient": np.ones(4)}, ValueError, "like parameter"),
    ("adamw", {"m": ADAMW["v"]}, ValueError, "the memory of v is 'shared with another argument'"),
    ("adamw", {"gradient": ADAMW["parameter"]}, ValueError, "the memory of gradient is 'shared"),
    ("adamw", {"parameter": np.ones((3, 3))[:, 0]}, ValueError, "the layout of parameter is 'not C-contiguous'"),
    ("decode", {"tokens": np.array([[0], [3]])}, ValueError, r"tokens\[1, 0\] is 3; expected an integer in \[0, 3\)"),
    ("decode", {"tokens": np.array([[0]])}, ValueError, "one row a sequence of the cache"),
    ("decode", {"tokens": np.array([0, 1])}, ValueError, r"the shape of tokens is \(2,\); expected \(B, T\)"),
    ("decode", {"last": np.array([0, 1])}, ValueError, r"last\[1\] is 1; expected an integer in \[0, 1\)"),
    ("decode", {"last": np.array([0])}, ValueError, "one place a sequence"),
    ("decode", {"weights": []}, ValueError, r"numbers of weights, keys and values is \(0, 1, 1\); expected 3 \+ 12 L"),
    ("decode", {"weights": [np.ones((3, 2))] * 17}, ValueError, "the fourth length of keys.0. is 1; expected an even"),
    ("decode", {"weights": [np.ones((3, 2)), *[None] * 16]}, TypeError, r"the dtype of weights\[13\] is 'NoneType'"),
    ("decode", {"weights": [np.ones((3, 2), int)] * 17}, TypeError, r"the dtype of weights\[0\] is"),
    ("decode", {"weights": without(0)}, TypeError, r"the dtype of weights\[0\] is 'NoneType'"),
    ("decode", {"weights": without(3)}, TypeError, r"the dtype of weights\[3\] is 'NoneType'"),
    ("decode", {"weights": without(12)}, TypeError, r"the dtype of weights\[12\] is 'NoneType'"),
    ("decode", {"output": np.ones((3, 2))}, ValueError, "a column for each word"),
    ("decode", {"heads": 3}, ValueError, "heads is 3; expected a multiple of 2, the heads of the keys"),
    ("decode", {"keys": [np.ones((2, 2, 1, 1, 15))]}, ValueError, r"the shape of keys\[0\] is"),
    ("decode", {"keys": [np.ones((2, 2, 1, 2, 16))]}, ValueError, r"weights\[5\] is \(2, 6\); expected \(2, 12\)"),
    ("decode", {"keys": [np.ones((3, 2, 1, 1, 16))]}, ValueError, r"the shape of keys\[0\] is"),
    ("decode", {"lengths": np.array([0, 9])}, ValueError, r"lengths\[1\] is 9; expected an integer in \[0, 9\)"),
    ("decode", {"lengths": [0, 1]}, TypeError, r"lengths is \[0, 1\]; expected a contiguous array of int64"),
    ("decode", {"eps": 0.0}, ValueError, "eps is 0.0; expected a finite number > 0"),
    ("decode", {"exact_gelu": 1}, ValueError, "exact_gelu is 1; expected one of False, True"),
    ("answer", {"u": np.ones(2) / 2}, ValueError, r"the shape of u is \(2,\); expected \(B, N\)"),
    ("answer", {"u": np.ones((2, 6)) / 2}, ValueError, r"lengths\[1\] is 4; expected an integer in \[0, 4\)"),
    ("answer", {"u": np.ones((2, 5))}, ValueError, r"u is 1.0; expected uniforms in \[0, 1\)"),
    ("answer", {"u": np.ones((3, 5)) / 2}, ValueError, "one uniform a row"),
    ("answer", {"stops": np.zeros(3)}, TypeError, "expected an array of 3 bools"),
    ("answer", {"logits": np.zeros((2, 4))}, ValueError, "one row a sequence of the cache, one column a word"),
    ("answer", {"logits": np.zeros((2, 3), np.float32)}, TypeError, "float64 like the weights"),
    ("answer", {"logits": np.full((2, 3), np.nan)}, ValueError, r"logits\[0, 0\] is nan"),
    ("answer", {"temperature": 0.0}, ValueError, "temperature is 0.0"),
    ("answer", {"top_k": -1}, ValueError, "top_k is -1"),
    ("squared_norm", {"x": np.zeros(0)}, ValueError, r"the shape of x is \(0,\); expected none of length 0"),
    ("squared_norm", {"x": [1.0]}, TypeError, "the dtype of x is 'list'"),
]


@pytest.mark.parametrize(("name", "changed", "error", "message"), BAD)
def test_a_bad_call_names_the_argument_its_value_and_what_was_expected(name, changed, error, message):
    with pytest.raises(error, match=message):
        getattr(kernels, name)(**(good_calls()[name] | changed))


def test_a_bad_call_changes_nothing():
    args = good_calls()["decode"]
    with pytest.raises(ValueError, match="tokens"):
        kernels.decode(**(args | {"tokens": np.array([[0], [3]])}))
    assert (args["keys"][0] == 1).all()
    assert (args["values"][0] == 1).all()


@pytest.mark.parametrize("place", [1, 4, 6, 8, 10, 14, 16])
def test_a_model_may_lack_places_and_all_biases_but_a_gelu_s(place):
    logits = kernels.decode(**(good_calls()["decode"] | {"weights": without(place)}))
    assert logits.shape == (2, 3) and np.isfinite(logits).all()


def test_strides_and_read_only_arrays_are_welcome():
    x = random_logits((6, 8), np.float64)
    frozen = x.copy()
    frozen.flags.writeable = False
    for view in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], frozen):
        assert_array_equal(kernels.softmax(view), kernels.softmax(x))


def test_kernels_leave_their_arguments_alone():
    x, u = random_logits((4, 9), np.float64), np.full(4, 0.5)
    kept = x.copy()
    kernels.softmax(x)
    kernels.sample(x, u, 0.5, 3, 0.5, 0.1)
    assert_array_equal(x, kept)
    assert type(kernels.softmax(x)) is np.ndarray


@pytest.mark.parametrize("count", [0, -1, 1.5, 65, "2"])
def test_the_number_of_threads_is_a_positive_integer(count):
    with pytest.raises((ValueError, TypeError), match="count is"):
        kernels.set_threads(count)


@pytest.mark.parametrize("most", [2**63, 10**30])
def test_integers_beyond_63_bits_are_answered_or_refused_as_any_other(most):
    x, u, ids = random_logits((2, 4), np.float64), np.array([0.1, 0.9]), np.array([0, 1])
    assert_array_equal(kernels.sample(x, u, top_k=most)[0], kernels.sample(x, u)[0])
    kernels.adamw(*(np.ones(2) for _ in range(4)), **STEP | {"step": most})
    with pytest.raises(ValueError, match=rf"V is {most}; expected less: it would take .* GiB of memory"):
        kernels.embedding_backward(x, ids, most)


def test_a_temperature_at_which_nothing_is_left_of_the_logits_is_refused():
    x = np.array([[0, -np.inf]], np.float32)
    assert_array_equal(kernels.softmax(x, 1e30), [[1, 0]])
    with pytest.raises(ValueError, match=r"temperature is 1e\+46; expected at most 1e30"):
        kernels.softmax(x, 1e46)
