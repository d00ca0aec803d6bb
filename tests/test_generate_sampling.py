"""Sampling: what a rollout holds, and that an answer does not depend on the batch around it.

Document 003, "How This Works in Code", forms the logits of the whole text anew for each token; that loop,
written down here as it stands there, draws the same tokens as the cache does.
"""
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from markov import Markov, cycle
from rlscratch import kernels
from rlscratch.formulas import distribution
from rlscratch.generate import Within, beam_search, filters, generate, sampling
from rlscratch.transformer import Config, Transformer
from strategies import arrays

V, CONTEXT = 11, 40
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [1, 2, 3], [10, 0], [0, 0, 0, 0, 0, 0, 0], [3, 2, 1]]
KNOBS = [{}, {"temperature": 0.7, "top_k": 5}, {"top_p": 0.8, "min_p": 0.05},
         {"top_k": 4, "repetition_penalty": 1.7}, {"top_k": 4, "repetition_penalty": 1.7, "order": "huggingface"},
         {"temperature": 0.0, "repetition_penalty": 1.2}]
ids_of = ["plain", "cold, top-k", "top-p, min-p", "document's order", "Hugging Face's order", "greedy"]
every_knob = pytest.mark.parametrize("knobs", KNOBS, ids=ids_of)


def model_of(dtype=np.float64, seed=0):
    """A transformer whose distributions are far from flat."""
    model = Transformer(Config(V, CONTEXT, 24, 2, 3, tied=False), np.random.default_rng(seed), dtype)
    for name, times in (("wte.weight", 10), ("wpe.weight", 10), ("lm_head.weight", 12)):
        model.parameters()[name].data *= times
    return model


MODEL, MODEL32 = model_of(), model_of(np.float32)


def seeded(seed=7):
    return np.random.default_rng(seed)


def documents_loop(model, prompt, stream, steps, stop, knobs):
    """The document's pseudo code: logits of the whole text, filters, softmax, a random token, until the end."""
    tokens, logps, u = list(prompt), [], stream.random(steps)
    for n in range(steps):
        logits = model(np.array([tokens])).data[:, -1]
        probs = filters.filtered(logits, np.array([tokens]), **knobs)
        token = kernels.draw(probs, u[n:n + 1])[0]
        tokens.append(int(token))
        logps.append(np.log(probs[0, token]))
        if token in stop:
            break
    return tokens, logps


# ---------------------------------------------------------------- the layout

def test_a_rollout_by_hand():
    """Each token is followed by the next of five; 4 stops.  Row 0 needs two steps, row 1 is cut off after three."""
    rollout = generate(cycle(5, logit=8.0), [[1, 2], [0]], max_new_tokens=3, stop=[4], rng=seeded())
    assert rollout.tokens.tolist() == [[1, 2, 3, 4], [0, 1, 2, 3]]
    assert rollout.mask.tolist() == [[0, 0, 1, 1], [0, 1, 1, 1]]
    assert rollout.lengths.tolist() == [4, 4]
    assert rollout.finished.tolist() == [True, False]
    assert rollout.reasons == ["stop", "length"]
    assert rollout.answers == [[3, 4], [1, 2, 3]]
    assert_allclose(rollout.logp, -rollout.mask * np.log1p(4 * np.exp(-8)), rtol=1e-12)


def test_rows_are_padded_on_the_right_with_an_id_that_stops_nothing():
    for pad, expected in ((None, 1), (2, 2)):
        rollout = generate(cycle(5), [[4], [1]], max_new_tokens=4, stop=[0], rng=seeded(), pad=pad)
        assert rollout.tokens.tolist() == [[4, 0, expected, expected, expected], [1, 2, 3, 4, 0]]
        assert rollout.mask.tolist() == [[0, 1, 0, 0, 0], [0, 1, 1, 1, 1]]


def test_any_of_several_stop_tokens_ends_an_answer():
    rollout = generate(cycle(6), [[0], [3]], max_new_tokens=5, stop=[2, 5], rng=seeded())
    assert rollout.answers == [[1, 2], [4, 5]]
    assert rollout.tokens.shape == (2, 3)


def test_a_stop_token_in_the_prompt_ends_nothing():
    assert generate(cycle(4), [[2, 2]], max_new_tokens=2, stop=[2], temperature=0).answers == [[3, 0]]


def test_the_same_prompt_is_read_once_and_rows_that_ended_leave():
    """Rows end after 1, 3 and 3 tokens (cut off): the last token needs no step, so 0 + 2 + 2 steps."""
    model = cycle(5)
    rollout = generate(model, [[3], [0], [0]], max_new_tokens=3, stop=[4], temperature=0)
    assert rollout.answers == [[4], [1, 2, 3], [1, 2, 3]]
    assert (model.started, model.stepped) == (2, 4)


# ---------------------------------------------------------------- what is drawn

@pytest.mark.parametrize("whom", ["a model", "the class"])
def test_a_step_put_in_the_place_of_a_model_s_own_is_called(whom, monkeypatch):
    model, seen = model_of(), []
    step, expected = model.step, generate(model, PROMPTS[:2], max_new_tokens=4, rng=seeded())

    def counted(cache, tokens):
        seen.append(len(tokens))
        return step(cache, tokens)

    if whom == "a model":
        monkeypatch.setattr(model, "step", counted)
    else:
        monkeypatch.setattr(Transformer, "step", lambda self, cache, tokens: counted(cache, tokens))
    assert_array_equal(generate(model, PROMPTS[:2], max_new_tokens=4, rng=seeded()).tokens, expected.tokens)
    assert seen == [2, 2, 2]


@every_knob
def test_the_cache_draws_what_the_document_s_loop_draws(knobs):
    rollout = generate(MODEL, PROMPTS, max_new_tokens=12, stop=[2, 9], rng=seeded(), **knobs)
    for row, (prompt, stream) in enumerate(zip(PROMPTS, seeded().spawn(len(PROMPTS)), strict=True)):
        tokens, logp = documents_loop(MODEL, prompt, stream, 12, [2, 9], knobs)
        assert rollout.tokens[row, :rollout.lengths[row]].tolist() == tokens
        assert_allclose(rollout.logp[row][rollout.mask[row] == 1], logp, atol=1e-9)
        assert rollout.finished[row] == (tokens[-1] in (2, 9))


def test_answers_do_differ_and_end_at_different_times():
    """Else the test above, and those below, would compare little."""
    rollout = generate(MODEL, PROMPTS, max_new_tokens=12, stop=[2, 9], rng=seeded())
    assert len(set(rollout.mask.sum(axis=1))) >= 3
    assert len(set(map(tuple, rollout.answers))) == len(PROMPTS)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.5])
def test_the_ratio_is_1_before_the_first_update(temperature):
    rollout = generate(MODEL, PROMPTS, max_new_tokens=12, temperature=temperature, stop=[2], rng=seeded())
    logp = MODEL.logp(rollout.tokens, temperature).data * rollout.mask
    assert_allclose(np.exp(logp - rollout.logp), 1, rtol=0, atol=1e-12)
    assert np.abs(MODEL.logp(rollout.tokens, temperature * 1.001).data * rollout.mask - rollout.logp).max() > 1e-5


@given(arrays((3, 3)).map(Markov), st.integers(0, 2), st.integers(1, 3))
@example(Markov(np.zeros((3, 3))), 0, 3)
def test_every_answer_comes_as_often_as_its_probability_says(model, stop, length):
    """By enumeration: uniforms in the middle of an answer's share draw that answer, and the shares add to 1."""
    total = 0
    for answer in model.answers(length, [stop]):
        logp = model.logp_of([0], answer)
        rollout = generate(model, [[0]], max_new_tokens=length, stop=[stop], rng=[Told(model, [0, *answer])])
        assert rollout.answers == [answer]
        assert_allclose(rollout.logp[0, 1:], logp, rtol=1e-12)
        total += np.exp(sum(logp))
    assert_allclose(total, 1)


class Told(np.random.Generator):
    """A generator that says what it is told: uniforms that make a Markov model write this text."""

    def __new__(cls, *_):
        return super().__new__(cls, np.random.PCG64(0))

    def __init__(self, model, text):
        super().__init__(np.random.PCG64(0))
        rows = distribution.softmax(model.logits)
        self.uniforms = [rows[a, :b].sum() + rows[a, b] / 2 for a, b in pairwise(text)]

    def random(self, size):
        return np.array([*self.uniforms, *[0.5] * size])[:size]


def test_the_penalty_counts_the_prompt_and_the_answer_but_no_padding():
    """Flat logits of 1: a token seen before has 1/2, so after 0 come 1, 2, 3 and then, all seen, 0 again."""
    flat = Markov(np.ones((4, 4)))
    rollout = generate(flat, [[0], [3, 1, 3]], max_new_tokens=4, temperature=0, repetition_penalty=2.0)
    assert rollout.answers == [[1, 2, 3, 0], [0, 2, 0, 0]]


# ---------------------------------------------------------------- the same, whatever the batch

@every_knob
@pytest.mark.parametrize("model", [MODEL32, MODEL], ids=["float32", "float64"])
def test_an_answer_is_the_same_alone_and_in_a_batch_of_seven(model, knobs):
    together = generate(model, PROMPTS, max_new_tokens=15, stop=[2, 9], rng=seeded().spawn(7), **knobs)
    for row, stream in enumerate(seeded().spawn(7)):
        alone = generate(model, [PROMPTS[row]], max_new_tokens=15, stop=[2, 9], rng=[stream], **knobs)
        assert alone.answers == [together.answers[row]]
        here, there = alone.logp[0], together.logp[row, :alone.lengths[0]]
        if kernels.BACKEND == "compiled":
            assert here.tobytes() == there.tobytes()
        else:
            assert_allclose(here, there, atol=1e-4)


def test_the_order_of_the_prompts_changes_nothing():
    order = [3, 1, 6, 0, 2, 5, 4]
    first = generate(MODEL, PROMPTS, max_new_tokens=9, stop=[2], rng=seeded().spawn(7))
    streams = seeded().spawn(7)
    second = generate(MODEL, [PROMPTS[i] for i in order], max_new_tokens=9, stop=[2], rng=[streams[i] for i in order])
    assert second.answers == [first.answers[i] for i in order]


def test_one_generator_is_spawned_by_place():
    one = generate(MODEL, PROMPTS, max_new_tokens=6, rng=seeded())
    several = generate(MODEL, PROMPTS, max_new_tokens=6, rng=seeded().spawn(7))
    assert one.answers == several.answers
    fewer = generate(MODEL, PROMPTS[:3], max_new_tokens=6, rng=seeded())
    assert fewer.answers == one.answers[:3]


def test_a_second_batch_from_the_same_generator_is_another_one():
    rng = seeded()
    first, second = (generate(MODEL, PROMPTS, max_new_tokens=6, rng=rng) for _ in range(2))
    assert first.answers != second.answers


def test_fewer_tokens_are_the_beginning_of_more():
    few, many = (generate(MODEL, PROMPTS, max_new_tokens=n, rng=seeded()) for n in (4, 9))
    assert few.answers == [answer[:4] for answer in many.answers]


def test_a_stream_gives_as_many_uniforms_whenever_the_answer_ends():
    early, late = seeded(), seeded()
    generate(cycle(5), [[3]], max_new_tokens=6, stop=[4], rng=[early])
    generate(cycle(5), [[3]], max_new_tokens=6, rng=[late])
    expected = seeded()
    expected.random(6)
    assert early.random() == late.random() == expected.random()


def test_a_row_that_stayed_in_a_wrong_place_would_be_noticed(monkeypatch):
    """Planted: rows leave, but whose row is whose is not written down."""
    model = Within(MODEL, range(V))             # whose loop is written in Python
    right = generate(model, PROMPTS, max_new_tokens=12, stop=[2, 9], rng=seeded())
    whole = sampling._leave

    def careless(cache, rows, ids, ended):
        before = rows.copy()
        cache, rows, ids = whole(cache, rows, ids, ended)
        return cache, before[:len(rows)], ids

    monkeypatch.setattr(sampling, "_leave", careless)
    assert generate(model, PROMPTS, max_new_tokens=12, stop=[2, 9], rng=seeded()).answers != right.answers


def test_greedy_decoding_needs_no_generator():
    one = generate(MODEL, PROMPTS, max_new_tokens=6, temperature=0)
    assert one.answers == generate(MODEL, PROMPTS, max_new_tokens=6, temperature=0, rng=seeded()).answers
    assert_array_equal(one.logp, 0)
    for prompt, answer in zip(PROMPTS, one.answers, strict=True):
        logits = MODEL(np.array([prompt + answer])).data[0]
        assert logits[len(prompt) - 1:-1].argmax(axis=1).tolist() == answer


def test_a_prompt_may_fill_the_context_but_for_the_answer():
    prompts = [[1] * (CONTEXT - 3), [1]]
    assert generate(MODEL, prompts, max_new_tokens=3, rng=seeded()).lengths.tolist() == [CONTEXT, 4]
    assert generate(MODEL, np.array([[1, 2], [3, 4]]), max_new_tokens=2, temperature=0).tokens.shape == (2, 4)


# ---------------------------------------------------------------- a vocabulary with ids that stand for nothing

@every_knob
@pytest.mark.parametrize("model", [MODEL, MODEL32], ids=["float64", "float32"])
def test_within_a_few_ids_no_other_is_drawn_and_these_share_the_mass(model, knobs):
    few = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10]
    found = generate(Within(model, few), PROMPTS, max_new_tokens=12, rng=seeded(), **knobs)
    assert set(np.concatenate(found.answers)) <= set(few)
    logits = model.start(np.array([[1, 2]]))[0]
    assert_allclose(np.exp(kernels.log_softmax(Within(model, few).start(np.array([[1, 2]]))[0]))[:, few],
                    kernels.softmax(logits[:, few]), rtol=1e-5)


@every_knob
@pytest.mark.parametrize("model", [MODEL, MODEL32], ids=["float64", "float32"])
def test_within_all_ids_the_model_is_what_it_was(model, knobs):
    """So whole answers in one call are those of the loop, which runs for the other model."""
    one, other = (generate(m, PROMPTS, max_new_tokens=12, stop=[2, 9], rng=seeded(), **knobs)
                  for m in (model, Within(model, range(V))))
    assert_array_equal(one.tokens, other.tokens)
    assert_array_equal(one.finished, other.finished)
    if kernels.BACKEND == "compiled":
        assert_array_equal(one.logp, other.logp)
    assert_allclose(one.logp, other.logp, rtol=1e-4)


def test_a_beam_stays_within_them_too():
    found = beam_search(Within(MODEL, [2, 4]), [1, 2, 3], beams=6, max_new_tokens=3)
    assert set(np.concatenate(found.rollout.answers)) == {2, 4}


# ---------------------------------------------------------------- best of n

# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize(("wrong", "error", "message"), [
    ({"prompts": []}, ValueError, r"prompts is \[\]; expected at least one prompt"),
    ({"prompts": "text"}, TypeError, r"prompts is 'text'; expected a list of prompts"),
    ({"prompts": 3}, TypeError, r"prompts is 3; expected a list of prompts"),
    ({"prompts": [1, 2]}, ValueError, r"the shape of prompts\[0\] is \(\); expected 1 dimension"),
    ({"prompts": [[1], []]}, ValueError, r"prompts\[1\] is \[\]; expected at least one token id"),
    ({"prompts": [[1], [2, 11]]}, ValueError, r"prompts\[1\]\[1\] is 11; expected an integer in \[0, 11\)"),
    ({"prompts": [[1], [-1]]}, ValueError, r"prompts\[1\]\[0\] is -1; expected an integer in \[0, 11\)"),
    ({"prompts": [["a"]]}, TypeError, r"prompts\[0\] is \['a'\]; expected integers in \[0, 11\)"),
    ({"prompts": [[1], [1] * 38]}, ValueError,
     r"max_new_tokens is 3; expected at most 2: prompts\[1\] has 38 tokens, the model's context is 40"),
    ({"max_new_tokens": 0}, ValueError, r"max_new_tokens is 0; expected an integer >= 1"),
    ({"max_new_tokens": 2.0}, TypeError, r"max_new_tokens is 2.0; expected an integer >= 1"),
    ({"temperature": -0.1}, ValueError, r"temperature is -0.1; expected a finite number >= 0"),
    ({"top_k": 0}, ValueError, r"top_k is 0; expected an integer >= 1"),
    ({"top_p": 0}, ValueError, r"top_p is 0; expected a number in \(0, 1\]"),
    ({"top_p": 1.5}, ValueError, r"top_p is 1.5; expected a number in \(0, 1\]"),
    ({"min_p": 2}, ValueError, r"min_p is 2; expected a number in \[0, 1\]"),
    ({"repetition_penalty": -1}, ValueError, r"repetition_penalty is -1; expected a finite number > 0"),
    ({"order": "mine"}, ValueError, r"order is 'mine'; expected one of 'document', 'huggingface'"),
    ({"stop": [11]}, ValueError, r"stop\[0\] is 11; expected an integer in \[0, 11\)"),
    ({"stop": 2}, ValueError, r"the shape of stop is \(\); expected 1 dimension"),
    ({"stop": [2], "pad": 2}, ValueError, r"pad is 2; expected an id that is no stop token"),
    ({"pad": 11}, ValueError, r"pad is 11; expected an integer in \[0, 10\]"),
    ({"rng": None}, TypeError, r"rng is None; expected a numpy.random.Generator, .*, or one a prompt"),
    ({"rng": 7}, TypeError, r"rng is 7; expected a numpy.random.Generator"),
    ({"rng": [seeded()]}, ValueError, r"the number of generators in rng is 1; expected 2, one a prompt"),
    ({"rng": [seeded(), 5]}, TypeError, r"rng\[1\] is 5; expected a numpy.random.Generator"),
    ({"rng": [seeded()] * 2}, ValueError, r"expected a different generator for each prompt"),
])
def test_bad_arguments_are_named_before_anything_is_drawn(wrong, error, message):
    rng = seeded()
    arguments = {"prompts": [[1, 2], [3]], "max_new_tokens": 3, "rng": rng} | wrong
    with pytest.raises(error, match=message):
        generate(MODEL, arguments.pop("prompts"), **arguments)
    assert rng.bit_generator.seed_seq.n_children_spawned == 0


def test_two_generators_over_the_same_bits_are_refused():
    bits = np.random.PCG64(0)
    with pytest.raises(ValueError, match="expected a different generator for each prompt"):
        generate(MODEL, [[1], [2]], max_new_tokens=2, rng=[np.random.Generator(bits), np.random.Generator(bits)])
