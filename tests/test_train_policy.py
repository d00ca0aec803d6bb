"""One path for rollouts, log-probabilities and updates: what is sampled is what is trained.

The ratio is exp(logp - logp_old).  Before the first update both are the same number, so it is 1, to 1e-12 in float64,
at every temperature, for every length, ended or cut, whatever the batch.  The value of the state before token t is
read where token t - 1 stands, and its gradient goes back there.
"""
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tiny_policy as tiny
from rlscratch import kernels
from rlscratch.autograd import functions as f
from rlscratch.formulas import ppo, weights
from rlscratch.formulas.distribution import entropy, log_softmax
from rlscratch.optim import AdamW
from rlscratch.tasks.task import RewardError, Task
from rlscratch.train.language import policy as path
from rlscratch.train.language.chat import Rows
from rlscratch.train.language.policy import Policy, by_task, copied, outputs, scored, update
from rlscratch.train.on_policy import MOST, deviation

PROMPTS = ["", "a", "ab", "b", "a", "bbb"] * 3
LONGEST = 3


def answered(some, seed=0, prompts=PROMPTS):
    return some.answer(prompts, np.random.default_rng(seed))


# ---------------------------------------------------------------- the ratio before the first update

@given(temperature=st.sampled_from([1.0, 0.7]), seed=st.integers(0, 99), count=st.integers(1, len(PROMPTS)),
       at_once=st.sampled_from([1, 5, 512]))
@example(temperature=1.0, seed=0, count=len(PROMPTS), at_once=512)
@example(temperature=0.7, seed=0, count=len(PROMPTS), at_once=512)
def test_the_ratio_begins_at_1_whatever_the_batch(temperature, seed, count, at_once):
    some = tiny.policy(longest=LONGEST, temperature=temperature)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path, "AT_ONCE", at_once)
        batch = answered(some, seed, PROMPTS[:count])
        order = np.random.default_rng(seed).permutation(count)
        for found in (batch, batch.at(order), batch.at(order[:1])):
            assert_allclose(ppo.ratio(some.logp(found.rows), found.logp), 1, rtol=0, atol=1e-12)
            assert deviation(some.logp(found.rows), found.logp, found.rows.mask) < 1e-12


def test_the_batch_of_that_test_has_answers_of_all_lengths_ended_and_cut():
    batch = answered(tiny.policy(longest=LONGEST))
    chosen = batch.rows.mask.sum(axis=1)
    assert set(chosen[batch.cut]) == {LONGEST} and {1, 2} <= set(chosen[~batch.cut]) and len(batch) == len(PROMPTS)
    assert batch.tokens == chosen.sum() and batch.prompts == PROMPTS
    ends = batch.rows.tokens[np.arange(len(batch)), batch.rows.lengths - 1] == tiny.chat().end
    assert_array_equal(ends, ~batch.cut)
    assert not (batch.logp * (1 - batch.rows.mask)).any() and (batch.logp[batch.rows.mask == 1] < 0).all()


def test_a_policy_in_float32_stays_far_within_what_a_run_allows():
    some = tiny.policy(longest=LONGEST, dtype=np.float32)
    batch = answered(some)
    assert 0 <= deviation(some.logp(batch.rows), batch.logp, batch.rows.mask) < MOST / 100


@pytest.mark.parametrize("planted", ["temperature", "another model", "a token late", "a longer prompt"])
def test_answers_of_another_distribution_stop_the_run(planted):
    some = tiny.policy(longest=LONGEST)
    batch = answered(some)
    logp = {"temperature": lambda: outputs(some.model, batch.rows, 1.01)["logp"],
            "another model": lambda: some.with_model(tiny.policy(seed=1).model).logp(batch.rows),
            "a token late": lambda: np.roll(some.logp(batch.rows), 1, axis=1) * batch.rows.mask,
            "a longer prompt": lambda: some.logp(Rows(np.roll(batch.rows.tokens, 1, axis=1), *batch.rows[1:]))}[planted]
    with pytest.raises(RuntimeError, match=r"before the update a ratio is .* away from 1; expected at most 0.001: the "
                                           "answers were not sampled from the distribution that is trained"):
        deviation(logp(), batch.logp, batch.rows.mask)


def test_a_deviation_counts_chosen_tokens_alone_and_both_directions():
    logp, mask = np.array([[-0.5, -0.25, -9.0]]), np.array([[1.0, 1.0, 0.0]])
    moved = np.array([[1e-4, 0, 5]])
    assert deviation(logp + moved, logp, mask) == pytest.approx(np.expm1(1e-4))
    assert deviation(logp - moved, logp, mask) == pytest.approx(-np.expm1(-1e-4))


# ---------------------------------------------------------------- answers

def test_the_same_seed_gives_the_same_answers_whatever_the_threads_and_the_parts(monkeypatch):
    some, batches = tiny.policy(longest=LONGEST), []
    before = kernels.threads()
    try:
        for threads, at_once in ((1, 512), (2, 512), (1, 4), (2, 1)):
            kernels.set_threads(threads)
            monkeypatch.setattr(path, "AT_ONCE", at_once)
            batches.append(answered(some))
    finally:
        kernels.set_threads(before)
    for other in batches[1:]:
        assert other.texts == batches[0].texts
        assert_array_equal(other.rows.tokens, batches[0].rows.tokens)
        assert_array_equal(other.rows.mask, batches[0].rows.mask)
        assert_array_equal(other.cut, batches[0].cut)
        if kernels.BACKEND == "compiled":
            assert_array_equal(other.logp, batches[0].logp)
        else:
            assert_allclose(other.logp, batches[0].logp, rtol=1e-12)
    assert answered(some, 1).texts != batches[0].texts


def test_at_temperature_0_the_likeliest_tokens_are_given_whatever_the_seed():
    some = tiny.policy(longest=LONGEST)
    greedy = some.answer(["ab"], np.random.default_rng(0), temperature=0)
    assert greedy.texts == some.answer(["ab"], np.random.default_rng(5), temperature=0).texts
    first = len(some.chat.prompt("ab"))
    logits = some.model(greedy.rows.tokens).data[0]
    assert greedy.rows.tokens[0, first] == logits[first - 1].argmax()


def test_batches_follow_each_other_in_rows_of_one_width():
    some = tiny.policy(longest=LONGEST)
    batch = answered(some)
    halves = batch.at(np.arange(4)), batch.at(np.arange(4, len(batch)))
    again = halves[0].followed_by(halves[1], some.chat.pad)
    for mine, theirs in zip((*again.rows, again.logp, again.cut), (*batch.rows, batch.logp, batch.cut), strict=True):
        assert_array_equal(mine, theirs)
    assert (again.prompts, again.texts) == (batch.prompts, batch.texts)
    assert halves[0].rows.tokens.shape[1] == batch.rows.lengths[:4].max()


# ---------------------------------------------------------------- what the model says

@pytest.mark.parametrize(("temperature", "large"), [(1.0, path.LARGE), (0.7, path.LARGE), (0.7, 0)])
def test_outputs_belong_to_the_tokens_that_they_stand_beside(temperature, large, monkeypatch):
    monkeypatch.setattr(path, "LARGE", large)               # 0: logits are made for those tokens alone
    some = tiny.policy(longest=LONGEST, temperature=temperature, value_head=True)
    batch = answered(some)
    found = outputs(some.model, batch.rows, temperature, path.OUTPUTS)
    logits = some.model(batch.rows.tokens).data
    head = some.model.value(some.model.hidden(batch.rows.tokens)).data
    for row, t in np.argwhere(batch.rows.mask == 1):
        before = logits[row, t - 1]
        expected = {"logp": log_softmax(before, temperature)[batch.rows.tokens[row, t]],
                    "entropy": entropy(before / temperature), "value": head[row, t - 1], "score": head[row, t]}
        for name, number in expected.items():
            assert_allclose(found[name][row, t], number, rtol=1e-9, err_msg=name)
    assert all(not (array * (1 - batch.rows.mask)).any() for array in found.values())
    assert all(array.dtype == np.float64 and array.shape == batch.rows.tokens.shape for array in found.values())


def test_of_a_large_vocabulary_logits_are_made_for_answers_alone(monkeypatch):
    some, seen, grads = tiny.policy(longest=LONGEST), [], []
    batch = answered(some)
    logits = some.model._logits
    monkeypatch.setattr(some.model, "_logits", lambda hidden: seen.append(hidden.data[..., 0].size) or logits(hidden))
    for large in (path.LARGE, 0):
        monkeypatch.setattr(path, "LARGE", large)
        update(some.model, AdamW(some.model.parameters(), lr=0), batch.rows, lambda part, said: {"logp": said["logp"]})
        grads.append([p.grad for p in some.model.parameters().values()])
    assert seen == [batch.rows.tokens.size, batch.rows.mask.sum()]
    for whole, alone in zip(*grads, strict=True):
        assert_allclose(alone, whole, rtol=1e-9, atol=1e-12)


def test_rows_that_are_equal_are_read_once_and_said_of_each(monkeypatch):
    some, seen = tiny.policy(longest=LONGEST), []
    batch = answered(some)
    twice = batch.at(np.r_[np.arange(len(batch)), 0, 0])
    hidden = some.model.hidden
    monkeypatch.setattr(some.model, "hidden", lambda tokens: seen.append(len(tokens)) or hidden(tokens))
    found = outputs(some.model, twice.rows)["logp"]
    assert sum(seen) == len({tuple(tokens) for tokens in twice.rows.tokens})
    assert_allclose(found, twice.logp, rtol=1e-12)


@pytest.mark.parametrize("large", [path.LARGE, 0])
def test_equal_tokens_of_which_others_are_asked_for_are_told_apart(large, monkeypatch):
    monkeypatch.setattr(path, "LARGE", large)
    some = tiny.policy(longest=LONGEST)
    rows = answered(some, prompts=["a"]).rows
    early, late = (np.arange(rows.tokens.shape[1])[None] == place for place in (1, rows.tokens.shape[1] - 1))
    both = Rows(np.repeat(rows.tokens, 2, axis=0), np.concatenate([early, late]), np.repeat(rows.lengths, 2))
    assert_array_equal(outputs(some.model, both)["logp"] != 0, both.mask)


def test_an_output_that_there_is_not_is_refused_with_those_that_there_are():
    some = tiny.policy()
    rows = some.chat.rows(["a"], ["b"])
    with pytest.raises(ValueError, match="wanted is 'values'; expected one of 'logp', 'entropy', 'value', 'score'"):
        outputs(some.model, rows, wanted=["values"])
    with pytest.raises(ValueError, match="value_head is False; expected True in the Config"):
        outputs(some.model, rows, wanted=["value"])


# ---------------------------------------------------------------- updates

COEFFICIENTS = {"logp": 1.0, "entropy": -0.3, "value": 0.5, "score": 0.2}


def quadratic(targets, weight):
    """The seeds of sum_it w c (output - target)^2 / 2, summed over the outputs."""
    def objective(part, found):
        return {name: c * weight[part] * (found[name] - targets[name][part]) for name, c in COEFFICIENTS.items()}
    return objective


def setting(seed=0):
    some = tiny.policy(longest=LONGEST, temperature=0.7, value_head=True)
    batch, rng = answered(some), np.random.default_rng(seed)
    targets = {name: rng.standard_normal(batch.rows.mask.shape) for name in COEFFICIENTS}
    return some, batch.rows, targets, weights.token_mean(batch.rows.mask)


def given_by_update(objective=None, **options):
    some, rows, targets, weight = setting()
    update(some.model, tiny.still(some.model), rows, objective or quadratic(targets, weight), temperature=0.7,
           wanted=path.OUTPUTS, max_norm=tiny.FREE, **options)
    return tiny.gradients(some.model)


def given_by_graph():
    """The same loss composed on the graph, with slices of its own for what stands one place further left."""
    some, rows, targets, weight = setting()
    hidden = some.model.hidden(rows.tokens)
    logp, H = some.model.logp(rows.tokens, 0.7, hidden, entropy=True)
    head = some.model.value(hidden)
    terms = {"logp": (logp, targets["logp"], weight), "entropy": (H, targets["entropy"], weight),
             "score": (head, targets["score"], weight),
             "value": (head[:, :-1], targets["value"][:, 1:], weight[:, 1:])}
    loss = sum(f.sum((found - target) * (found - target) * (COEFFICIENTS[name] * w / 2))
               for name, (found, target, w) in terms.items())
    return tiny.by_graph(some.model, loss)


@pytest.mark.parametrize("at_once", [None, 100, 7, 1])
def test_an_update_gives_the_gradient_of_the_graph_in_one_part_or_many(at_once):
    assert_allclose(given_by_update(at_once=at_once), given_by_graph(), rtol=1e-9, atol=1e-13)


def test_a_small_at_once_is_taken_from_the_module_too(monkeypatch):
    monkeypatch.setattr(path, "AT_ONCE", 4)
    assert_allclose(given_by_update(), given_by_graph(), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("planted", ["value not moved", "weights for each part", "sign"])
def test_errors_planted_in_an_update_would_be_seen(planted, monkeypatch):
    _, rows, targets, weight = setting()
    objective, options = quadratic(targets, weight), {}
    if planted == "value not moved":
        monkeypatch.setattr(path, "delayed", lambda head: head)
    elif planted == "weights for each part":
        options["at_once"] = 7

        def objective(part, found):
            own = weights.token_mean(rows.mask[part])
            return quadratic({name: t[part] for name, t in targets.items()}, own)(slice(None), found)
    else:
        right = objective

        def objective(part, found):
            return {name: -seed if name == "entropy" else seed for name, seed in right(part, found).items()}
    assert not np.allclose(given_by_update(objective, **options), given_by_graph(), rtol=1e-4)


def test_what_an_objective_says_outside_the_mask_does_not_count():
    _, rows, targets, weight = setting()
    right = quadratic(targets, weight)

    def objective(part, found):
        return {name: seed + 5 * (1 - rows.mask[part]) for name, seed in right(part, found).items()}

    assert_allclose(given_by_update(objective), given_by_update(), rtol=1e-12)


def test_an_update_returns_the_norm_and_steps_along_the_gradient_cut_to_its_longest():
    some, rows, targets, weight = setting()
    before = {name: p.data.copy() for name, p in some.model.parameters().items()}
    expected = given_by_graph()
    optimizer = tiny.still(some.model)
    optimizer.lr = 1.0
    norm, _ = update(some.model, optimizer, rows, quadratic(targets, weight), temperature=0.7, wanted=path.OUTPUTS,
                     max_norm=0.01)
    assert norm == pytest.approx(np.sqrt(np.sum(expected**2)))
    moved = np.concatenate([(before[name] - p.data).ravel() for name, p in some.model.parameters().items()])
    assert_allclose(moved, expected * 0.01 / norm, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("planted", [np.nan, np.inf])
def test_numbers_that_have_grown_end_the_update_before_the_parameters_change(planted):
    some, rows, _, _ = setting()
    before = {name: p.data.copy() for name, p in some.model.parameters().items()}
    with pytest.raises(RuntimeError, match=r"seed.*; a smaller lr keeps the numbers small"):
        update(some.model, AdamW(some.model.parameters(), 1.0), rows, lambda part, found: {
            "logp": np.where(rows.mask[part] == 1, planted, 0)})
    for name, p in some.model.parameters().items():
        assert_array_equal(p.data, before[name])


def test_rows_longer_than_the_context_are_no_matter_of_the_learning_rate():
    some = tiny.policy()
    with pytest.raises(ValueError, match=r"the number of tokens of the longest row is 9; expected .* in \[1, 8\]"):
        update(some.model, tiny.still(some.model), some.chat.rows(["aaa"], ["bbb"]), lambda part, found: {})


def test_a_part_of_no_rows_is_refused():
    some, rows, targets, weight = setting()
    with pytest.raises(ValueError, match="at_once is 0; expected an integer >= 1"):
        update(some.model, tiny.still(some.model), rows, quadratic(targets, weight), at_once=0)


# ---------------------------------------------------------------- rewards

def test_the_rewards_are_the_task_s_own():
    task = Task("length", ("a", "b"), lambda prompt, answer: len(answer), lambda prompt, answer: True)
    batch = answered(tiny.policy(longest=LONGEST))
    assert_array_equal(scored(by_task(task), batch), [float(len(text)) for text in batch.texts])


@pytest.mark.parametrize(("given", "message"), [
    ([1.0], r"the rewards have the shape \(1,\); expected the shape \(2,\), a number for each answer; the first answer "
            "is 'a' to the prompt 'b'"),
    ([[1.0, 2.0]], r"the rewards have the shape \(1, 2\); expected the shape \(2,\)"),
    (1.0, r"the rewards have the shape \(\); expected"),
    (None, r"the rewards have the shape \(\); expected"),
    (["good", "bad"], r"the rewards are \['good', 'bad'\]; expected the shape \(2,\)"),
    ([[1.0], []], r"the rewards are \[\[1.0\], \[\]\]; expected the shape"),
    ([0.0, np.nan], "the reward of the answer 'bb' to the prompt '' is nan; expected a finite number"),
    ([np.inf, 0.0], "the reward of the answer 'a' to the prompt 'b' is inf; expected a finite number"),
])
def test_bad_rewards_are_named_with_the_prompt_and_the_answer(given, message):
    some = tiny.policy(longest=LONGEST)
    batch = tiny.batch(some, ["b", ""], [[0, some.chat.end], [1, 1, some.chat.end]])
    with pytest.raises(RewardError, match=message):
        scored(lambda _: given, batch)


# ---------------------------------------------------------------- models and bad input

@pytest.mark.parametrize(("head", "rng"), [(False, None), (True, None), (False, 3), (True, 3)])
def test_a_copy_says_the_same_and_stands_on_its_own(head, rng):
    some = tiny.policy(value_head=head)
    rows = some.chat.rows(["a", "bb"], ["b", ""])
    twin = copied(some.model, rng and np.random.default_rng(rng))
    assert_array_equal(outputs(twin, rows)["logp"], outputs(some.model, rows)["logp"])
    assert twin.config.value_head is (head or rng is not None) and twin.dtype == some.model.dtype
    for name, parameter in some.model.parameters().items():
        assert_array_equal(twin.parameters()[name].data, parameter.data)
        twin.parameters()[name].data += 1
        assert not np.array_equal(twin.parameters()[name].data, parameter.data)


@pytest.mark.parametrize(("change", "message"), [
    ({"chat": tiny.chat("abc")}, "the vocabulary of the tokenizer is 7; expected 6 tokens, as the model has"),
    ({"model": tiny.model(6, dropout=0.5)}, "dropout is 0.5; expected 0: with dropout a model is trained on other "),
    ({"temperature": 0.0}, "temperature is 0.0; expected a finite number > 0"),
    ({"max_new_tokens": 0}, r"max_new_tokens is 0; expected an integer in \[1, 8\]"),
    ({"max_new_tokens": 9}, r"max_new_tokens is 9; expected an integer in \[1, 8\]"),
])
def test_a_policy_that_does_not_fit_together_is_refused(change, message):
    fitting = {"model": tiny.model(6), "chat": tiny.chat(), "max_new_tokens": 2}
    with pytest.raises(ValueError, match=message):
        Policy(**fitting | change)


@pytest.mark.parametrize(("prompts", "rng", "error", "message"), [
    ([], 0, ValueError, r"prompts is \[\]; expected at least one text"),
    ("ab", 0, TypeError, "prompts is 'ab'; expected a sequence of texts"),
    (["a", 5], 0, TypeError, "prompt is 5; expected a string"),
    (["a<|end|>"], 0, ValueError, "prompt is .*; expected a text without <|end|>"),
    (["a" * 5], 0, ValueError, r"max_new_tokens is 2; expected at most 1: prompts\[0\] has 7 tokens"),
    (["a"], None, TypeError, "rng is 7; expected a numpy.random.Generator"),
])
def test_prompts_that_cannot_be_asked_are_named(prompts, rng, error, message):
    with pytest.raises(error, match=message):
        tiny.policy().answer(prompts, 7 if rng is None else np.random.default_rng(rng))
