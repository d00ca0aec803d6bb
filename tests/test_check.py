"""Every check passes what it should, and says name, value and expectation of what it should not."""
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from rlscratch import check

NAN, INF = np.nan, np.inf


def refuses(error, message, call):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert str(caught.value) == message


# ---------------------------------------------------------------- the sentence

def test_a_failure_names_argument_value_and_expectation():
    refuses(ValueError, "x is 3; expected a miracle", lambda: check.fail("x", 3, "a miracle"))
    refuses(TypeError, "x is 'a'; expected a number", lambda: check.fail("x", "a", "a number", TypeError))


def test_a_failure_shows_numpy_scalars_as_numbers_and_cuts_what_is_long():
    refuses(ValueError, "x is 0.5; expected 1", lambda: check.fail("x", np.float32(.5), "1"))
    with pytest.raises(ValueError, match=r"x is \[0, 1, .*\.\.\.; expected less") as caught:
        check.fail("x", list(range(1000)), "less")
    assert len(str(caught.value)) == len("x is ; expected less") + 80


# ---------------------------------------------------------------- scalars

@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0), Fraction(2)])
def test_numbers_of_every_kind_become_python_floats(value):
    for passed in (check.number(x=value), check.positive(x=value), check.non_negative(x=value),
                   check.between(0, 2, x=value), check.temperature(x=value)):
        assert passed == 2 and type(passed) is float


@pytest.mark.parametrize("value", [
    "2", None, True, np.True_, np.array(True), [2.0], [[1], [1, 2]], 1j, np.complex128(1), 10**400])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"x is .*; expected a finite number$"):
        check.number(x=value)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_not_finite_is_a_value_error(value):
    refuses(ValueError, f"x is {value}; expected a finite number", lambda: check.number(x=value))
    refuses(ValueError, f"x is {value}; expected a finite number > 0", lambda: check.positive(x=value))
    refuses(ValueError, f"x is {value}; expected a number in [0, 1]", lambda: check.between(0, 1, x=value))


def test_ranges_have_the_ends_that_they_print():
    assert check.between(-1, 1, x=-1) == -1 and check.between(-1, 1, x=1) == 1
    assert check.non_negative(x=0) == 0 and check.fraction(x=1) == 1 and check.fraction(x=1e-300) == 1e-300
    refuses(ValueError, "x is 1.5; expected a number in [-1, 1]", lambda: check.between(-1, 1, x=1.5))
    refuses(ValueError, "x is -1.5; expected a number in [-1, 1]", lambda: check.between(-1, 1, x=-1.5))
    refuses(ValueError, "x is 0; expected a finite number > 0", lambda: check.positive(x=0))
    refuses(ValueError, "x is -1; expected a finite number >= 0", lambda: check.non_negative(x=-1))
    refuses(ValueError, "x is 0; expected a number in (0, 1]", lambda: check.fraction(x=0))
    refuses(ValueError, "x is 1.5; expected a number in (0, 1]", lambda: check.fraction(x=1.5))
    refuses(TypeError, "x is '1'; expected a number in (0, 1]", lambda: check.fraction(x="1"))
    assert check.below_one(x=0) == 0 and check.below_one(x=0.999) == 0.999
    refuses(ValueError, "x is 1; expected a number in [0, 1)", lambda: check.below_one(x=1))
    refuses(ValueError, "x is -0.1; expected a number in [0, 1)", lambda: check.below_one(x=-0.1))


@pytest.mark.parametrize("value", [0, 0.0, -1])
def test_temperature_zero_is_sent_to_generation(value):
    refuses(ValueError, f"temperature is {value}; expected a finite number > 0 (greedy, temperature 0, is arg-max and "
            "belongs to rlscratch.generate)", lambda: check.temperature(temperature=value))


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2)])
def test_integers_of_every_kind_become_python_ints(value):
    for passed in (check.integer(2, k=value), check.integer(0, 2, k=value)):
        assert passed == 2 and type(passed) is int


def test_what_is_no_integer_is_refused():
    refuses(ValueError, "k is 0; expected an integer >= 1", lambda: check.integer(1, k=0))
    refuses(ValueError, "k is 3; expected an integer in [1, 2]", lambda: check.integer(1, 2, k=3))
    refuses(ValueError, "k is 0; expected an integer in [1, 2]", lambda: check.integer(1, 2, k=0))
    for value in (2.0, True, "2", None, np.float64(2)):
        with pytest.raises(TypeError, match=r"k is .*; expected an integer >= 1$"):
            check.integer(1, k=value)


def test_named_choices_are_of_one_type_and_spelling():
    assert check.one_of(("a", "b"), x="b") == "b"
    assert check.one_of((0, 1), ddof=1) == 1
    assert check.one_of((False, True), flag=np.True_) is True
    refuses(ValueError, "x is 'A'; expected one of 'a', 'b'", lambda: check.one_of(("a", "b"), x="A"))
    refuses(ValueError, "ddof is True; expected one of 0, 1", lambda: check.one_of((0, 1), ddof=True))
    refuses(ValueError, "ddof is 1.0; expected one of 0, 1", lambda: check.one_of((0, 1), ddof=1.0))


def test_only_a_generator_is_a_source_of_randomness():
    rng = np.random.default_rng(0)
    assert check.generator(rng=rng) is rng
    for value in (0, None, np.random, np.random.RandomState(0)):
        with pytest.raises(TypeError, match=r"rng is .*; expected a numpy.random.Generator, such as"):
            check.generator(rng=value)


def test_called_names_the_first_argument_where_its_name_is_no_python_name():
    assert check.integer(1, steps=3, called="--steps") == 3
    refuses(ValueError, "--steps is 0; expected an integer >= 1", lambda: check.integer(1, steps=0, called="--steps"))
    refuses(ValueError, "the sum of mask is 0; expected a finite number > 0",
            lambda: check.positive(total=0, called="the sum of mask"))
    refuses(ValueError, "the shape of config[0] is (2,); expected (3,)",
            lambda: check.shape((3,), row=np.ones(2), called="config[0]"))


def test_called_leaves_the_other_arguments_and_their_order_alone():
    assert check.positive(a=1, b=2, called="--a") == check.positive(called="--a", a=1, b=2) == (1.0, 2.0)
    refuses(ValueError, "b is -2; expected a finite number > 0", lambda: check.positive(a=1, b=-2, called="--a"))
    refuses(ValueError, "the shape of b is (2,); expected (3,) like best, or 1 in place of an axis to spread over it",
            lambda: check.same_rank(a=np.ones(3), b=np.ones(2), called="best"))
    refuses(ValueError, "the shape of x[0] is (1, 1); expected (N,), one number a sequence, summed over its tokens",
            lambda: check.per_sequence(a=np.zeros((1, 1)), called="x[0]"))


def test_several_arguments_come_back_in_their_order():
    assert check.positive(a=1, b=2) == (1.0, 2.0)
    refuses(ValueError, "b is -2; expected a finite number > 0", lambda: check.positive(a=1, b=-2))
    a, b = check.array(a=[1], b=[[2]])
    assert a.shape == (1,) and b.shape == (1, 1)


# ---------------------------------------------------------------- arrays

@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_real_and_complex_arrays_pass_as_they_are(dtype):
    given = np.ones((2, 3), dtype)
    assert check.array(x=given) is given


@pytest.mark.parametrize("value", [[1, 2], (1, 2), np.array([1, 2], np.int8), np.array([1, 2], np.uint64)])
def test_integers_and_lists_become_float64(value):
    passed = check.array(x=value)
    assert passed.dtype == np.float64
    assert_array_equal(passed, [1.0, 2.0])


@pytest.mark.parametrize("value", [
    [True], ["a"], None, [None], {"a": 1}, np.array([1], object), np.array(["2020"], "M8[Y]")])
def test_arrays_of_anything_else_are_type_errors(value):
    with pytest.raises(TypeError, match=r"x is .*; expected an array of real or complex numbers$"):
        check.array(x=value)


def test_arrays_are_refused_for_what_is_in_them():
    refuses(ValueError, "x[1] is nan; expected finite numbers", lambda: check.array(x=[0.0, NAN]))
    refuses(ValueError, "x[0, 1] is -inf; expected finite numbers", lambda: check.array(x=[[0.0, -INF]]))
    refuses(ValueError, "x is inf; expected finite numbers", lambda: check.array(x=INF))
    refuses(ValueError, "x[1] is nan; expected no NaN", lambda: check.array(infinite=True, x=[INF, NAN]))
    assert_array_equal(check.array(infinite=True, x=[INF, -INF, 0]), [INF, -INF, 0])


def test_arrays_are_refused_for_their_shape():
    refuses(ValueError, "the shape of x is (2,); expected 2 dimensions", lambda: check.array(ndim=2, x=[1, 2]))
    refuses(ValueError, "the shape of x is (1, 1); expected 1 dimension", lambda: check.array(ndim=1, x=[[1]]))
    refuses(ValueError, "the shape of x is (); expected at least 1 dimension", lambda: check.array(min_ndim=1, x=1))
    refuses(ValueError, "the shape of x is (0, 3); expected at least one entry",
            lambda: check.array(x=np.zeros((0, 3))))
    for check_of in (check.array, check.mask, lambda **x: check.ids(3, **x)):
        refuses(ValueError, "x is [[1], [1, 0]]; expected an array of numbers, every row of one length",
                lambda check_of=check_of: check_of(x=[[1], [1, 0]]))
    assert check.array(ndim=0, x=1).shape == () and check.array(min_ndim=1, x=[[1]]).shape == (1, 1)


def test_a_row_may_spread_over_tokens_but_tokens_are_never_indexed_by_rows():
    logp = np.zeros((2, 2))
    for shape in ((2, 2), (2, 1), (1, 2), (1, 1), ()):
        first, other = check.same_rank(logp=logp, advantage=np.ones(shape))
        assert first.shape == (2, 2) and other.shape == shape
    for shape in ((2,), (1,), (1, 2, 2), (3, 2), (2, 3)):
        refuses(ValueError, f"the shape of advantage is {shape}; expected (2, 2) like logp, or 1 in place of an axis "
                "to spread over it", lambda shape=shape: check.same_rank(logp=logp, advantage=np.ones(shape)))
    refuses(ValueError, "advantage[1] is nan; expected finite numbers",
            lambda: check.same_rank(logp=[0.0, 0.0], advantage=[0.0, NAN]))


def test_weights_come_last_and_are_not_negative():
    logp, weight = check.weighted([[1, 0]], logp=[[0.5, 0.25]])
    assert_array_equal(logp, [[0.5, 0.25]])
    assert_array_equal(weight, [[1, 0]])
    refuses(ValueError, "weight[0, 1] is -1.0; expected weights >= 0", lambda: check.weighted([[1, -1]], logp=[[0, 0]]))
    refuses(ValueError, "the shape of weight is (2,); expected (2, 2) like logp, or 1 in place of an axis to spread "
            "over it", lambda: check.weighted([1, 1], logp=np.zeros((2, 2))))


def test_one_number_a_sequence_has_one_axis():
    chosen, rejected = check.per_sequence(chosen=[-1, -2], rejected=[0, -1])
    assert chosen.shape == rejected.shape == (2,)
    with pytest.raises(ValueError, match=r"the shape of chosen is \(1, 2\); expected \(N,\), one number a sequence"):
        check.per_sequence(chosen=[[-1, -2]], rejected=[[0, -1]])
    refuses(ValueError, "rejected[1] is 0.25; expected a log-probability, at most 0 (take the log of a probability)",
            lambda: check.per_sequence(chosen=[-1, -2], rejected=[-1, 0.25]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_a_log_probability_is_at_most_0_but_for_rounding(dtype):
    for logp in ([-1, 0], [0, 1e-5], [-800, -np.inf]):
        assert check.log_probabilities(logp=np.array(logp, dtype)).tolist() == np.array(logp, dtype).tolist()
    assert check.log_probabilities(logp=np.array([1e-20j])) == [1e-20j]            # the step of a complex derivative
    with pytest.raises(ValueError, match=r"logp\[0, 1\] is .*; expected a log-probability, at most 0 \(take the log"):
        check.log_probabilities(logp=np.array([[-1, 0.25]], dtype))


def test_a_group_has_enough_answers_on_its_last_axis():
    assert check.group(2, rewards=[[1, 2], [3, 4]]).shape == (2, 2)
    refuses(ValueError, "the shape of rewards is (3, 1); expected at least 2 answers on the last axis",
            lambda: check.group(2, rewards=np.zeros((3, 1))))


def test_logits_may_be_minus_infinity_but_never_all_of_a_row():
    for row in ([0.0, -INF], [[1.0, 2.0], [-INF, 0.0]], np.array([complex(-INF, 0), 1])):
        assert_array_equal(check.logits(z=row), np.asarray(row))
    refuses(ValueError, "z[0, 1] is inf; expected finite numbers or -inf", lambda: check.logits(z=[[0.0, INF]]))
    refuses(ValueError, "z[1] is nan; expected no NaN", lambda: check.logits(z=[0.0, NAN]))
    refuses(ValueError, "z[1, 0] is -inf; expected at least one finite logit in the row",
            lambda: check.logits(z=[[0.0, 1.0], [-INF, -INF]]))
    refuses(ValueError, "the shape of z is (); expected at least 1 dimension", lambda: check.logits(z=1.0))
    refuses(ValueError, "the shape of z is (1,); expected 2 dimensions", lambda: check.logits(ndim=2, z=[1.0]))


def test_probabilities_are_non_negative_and_add_to_1():
    for row in ([.4, .3, .2, .1], [1, 0], [[.7, .1, .1, .1], [.25, .25, .25, .25]], np.array([.5 + 1e-20j, .5])):
        assert_array_equal(check.probabilities(p=row), np.asarray(row))
    refuses(ValueError, "p[1] is -0.5; expected probabilities >= 0", lambda: check.probabilities(p=[1.5, -.5]))
    refuses(ValueError, "the sum of p is 0.75; expected 1, as for probabilities",
            lambda: check.probabilities(p=[.5, .25]))
    refuses(ValueError, "the sum of p[1] is 1.25; expected 1, as for probabilities",
            lambda: check.probabilities(p=[[.5, .5], [1, .25]]))
    refuses(ValueError, "the shape of p is (1,); expected 2 dimensions", lambda: check.probabilities(ndim=2, p=[1.0]))


def test_float32_rows_may_be_off_by_float32_rounding_and_float64_rows_may_not():
    off = np.array([.5, .5001])
    assert check.probabilities(p=off.astype(np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match=r"the sum of p is 1\.0001; expected 1"):
        check.probabilities(p=off)
    with pytest.raises(ValueError, match=r"the sum of p is 1\.00.*; expected 1"):
        check.probabilities(p=np.array([.5, .501], np.float32))


@pytest.mark.parametrize("value", [
    [[1, 0]], [[True, False]], np.array([[1, 0]], np.float32), np.array([[1, 0]], np.uint8)])
def test_masks_of_every_kind_become_float64(value):
    passed = check.mask(ndim=2, m=value)
    assert passed.dtype == np.float64
    assert_array_equal(passed, [[1.0, 0.0]])


def test_what_is_no_mask_is_refused():
    refuses(ValueError, "m[1] is 0.5; expected 0 or 1", lambda: check.mask(m=[1, .5]))
    refuses(ValueError, "m[0] is -1.0; expected 0 or 1", lambda: check.mask(m=[-1, 1]))
    refuses(ValueError, "m[0] is nan; expected finite numbers", lambda: check.mask(m=[NAN, 1]))
    refuses(ValueError, "the shape of m is (2,); expected 2 dimensions", lambda: check.mask(ndim=2, m=[1, 0]))
    with pytest.raises(TypeError, match=r"m is .*; expected an array of 0 and 1"):
        check.mask(m=np.array([1 + 0j]))
    with pytest.raises(TypeError, match=r"m is .*; expected an array of real or complex numbers"):
        check.mask(m=["a"])


@pytest.mark.parametrize("value", [[0, 2], np.array([0, 2], np.uint8), np.array([0, 2], np.int32)])
def test_ids_become_int64(value):
    passed = check.ids(3, token=value)
    assert passed.dtype == np.int64
    assert_array_equal(passed, [0, 2])


def test_what_is_no_id_is_refused():
    refuses(ValueError, "token[1] is 3; expected an integer in [0, 3)", lambda: check.ids(3, token=[0, 3]))
    refuses(ValueError, "token[0, 0] is -1; expected an integer in [0, 3)", lambda: check.ids(3, token=[[-1]]))
    refuses(ValueError, "token is 3; expected an integer in [0, 3)", lambda: check.ids(3, token=3))
    refuses(ValueError, "the shape of token is (1, 1); expected 1 dimension", lambda: check.ids(3, ndim=1, token=[[0]]))
    for value in ([0.0], [True], ["a"], None, []):
        with pytest.raises(TypeError, match=r"token is .*; expected integers in \[0, 3\)"):
            check.ids(3, token=value)
    assert check.ids(3, token=np.zeros((0,), np.int64)).size == 0
    assert check.ids(3, empty=True, token=[]).dtype == np.int64
    with pytest.raises(TypeError, match=r"token is \[0\.0\]; expected integers"):
        check.ids(3, empty=True, token=[0.0])


def test_a_shape_is_met_exactly_and_may_say_why():
    x = np.zeros((2, 3))
    assert check.shape((2, 3), x=x) is x
    refuses(ValueError, "the shape of x is (2, 3); expected (3, 2)", lambda: check.shape((3, 2), x=x))
    refuses(ValueError, "the shape of x is (2, 3); expected (2,), one a row",
            lambda: check.shape((2,), "one a row", x=x))


def test_entries_lie_between_two_ends_both_included():
    x = np.array([0.0, 1.0])
    assert check.entries_between(0, 1, x=x) is x
    refuses(ValueError, "x[1] is 1.5; expected a number in [0, 1]",
            lambda: check.entries_between(0, 1, x=np.array([0, 1.5])))
    refuses(ValueError, "x[0] is -0.5; expected a number in [0, 1], a discount",
            lambda: check.entries_between(0, 1, "a discount", x=np.array([-.5, 0])))


# ---------------------------------------------------------------- the checks change nothing

@pytest.mark.parametrize("call", [
    lambda x: check.array(x=x), lambda x: check.logits(x=x), lambda x: check.probabilities(x=x),
    lambda x: check.mask(x=x), lambda x: check.same_rank(x=x), lambda x: check.group(1, x=x)])
def test_an_argument_is_never_written_to(call):
    x = np.array([[0.0, 1.0], [1.0, 0.0]])
    x.setflags(write=False)
    call(x)
    assert_array_equal(x, [[0, 1], [1, 0]])
