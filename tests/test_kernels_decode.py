"""Decoding in one call: against its twin, against the training forward pass, and against a token at a time.

The compiled core promises bits: a row's logits are those of the whole sequence's forward pass, whatever else is in
the batch, whether the matrices were packed first (answers longer than 8 tokens) or not, on any number of threads.
"""
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kernel_cases import DTYPES, close, compiled
from rlscratch import kernels, transformer
from rlscratch.autograd import no_grad
from rlscratch.blocks import STYLES
from rlscratch.kernels import reference
from rlscratch.transformer import Config, Transformer

SHAPES = [Config(11, 40, 24, 2, 3, tied=False), Config(65, 33, 17, 1, 1),
          Config(97, 24, 80, 2, 5, exact_gelu=True, inner=37),
          Config(11, 40, 24, 2, 6, kv_heads=2, **STYLES["llama"]),
          Config(65, 33, 17, 1, 3, kv_heads=1, head_dim=10, tied=False, inner=33, **STYLES["qwen2"]),
          Config(29, 24, 16, 2, 2, gated=True), Config(29, 24, 16, 1, 2, norm="rms", biases="attention", head_dim=40),
          Config(29, 24, 16, 2, 4, positions="rotary", biases="none", kv_heads=1),
          Config(29, 24, 96, 2, 2, head_dim=2, inner=16)]               # wider than all that its layers hold
KNOBS = [{}, {"temperature": 0.7, "top_k": 5}, {"top_p": 0.8, "min_p": 0.05}]
PROMPTS = np.array([[1, 2, 3], [4, 0, 0], [5, 6, 0], [1, 2, 3], [10, 9, 8]])
LENGTHS = np.array([3, 1, 2, 3, 3])


def model_of(config, dtype):
    """Far from flat, and every bias and gain its own."""
    rng = np.random.default_rng(3)
    model = Transformer(config, rng, dtype)
    for parameter in model.parameters().values():
        parameter.data[...] += 0.3 * rng.standard_normal(parameter.shape)
    return model


def begun(model, tokens=9):
    """Logits, cache, uniforms and stop tokens for answers to five prompts."""
    logits, cache = model.start(PROMPTS, LENGTHS, room=3 + tokens)
    stops = np.zeros(model.config.vocab_size, bool)
    stops[[2, 7]] = True
    return logits, cache, np.random.default_rng(1).random((5, tokens)), stops


def a_token_at_a_time(model, tokens, knobs):
    """The loop of answer, with step() and kernels.sample()."""
    logits, cache, u, stops = begun(model, tokens)
    ids, logp, counts = np.zeros(u.shape, np.int64), np.zeros(u.shape, model.dtype), np.zeros(5, np.int64)
    going = np.ones(5, bool)
    for n in range(tokens):
        drawn, chances = kernels.sample(logits, u[:, n].copy(), **knobs)
        ids[going, n], logp[going, n], counts[going] = drawn[going], chances[going], n + 1
        going &= ~stops[drawn]
        if n + 1 < tokens:
            logits = model.step(cache, drawn)
    return ids, logp, counts


def tokens_of(keys, count):
    """(K, D, count): the first keys of a sequence, which the cache holds in blocks (K, blocks, D, 16)."""
    K, _, D, _ = keys.shape
    return keys.swapaxes(1, 2).reshape(K, D, -1)[..., :count]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("config", SHAPES)
@pytest.mark.parametrize("T", [1, 4])
def test_more_tokens_equal_their_twin_s(isa, T, config, dtype):
    model = model_of(config, dtype)
    _, cache, _, _ = begun(model)
    ours, theirs = ([a.copy() for a in part] for part in (cache.keys + cache.values, cache.keys + cache.values))
    tokens, last, L = np.random.default_rng(2).integers(config.vocab_size, size=(5, T)), LENGTHS % T, config.layers
    weights, output, _, _, lengths, *shape = model._decoded(cache)
    got = kernels.decode(tokens, last, weights, output, ours[:L], ours[L:], lengths, *shape)
    want = reference.decode(tokens, last, weights, output, theirs[:L], theirs[L:], lengths, *shape)
    close(got / np.abs(want).max(), want / np.abs(want).max(), 40 * config.width)
    for row, n in enumerate(lengths):
        for k, other in zip(ours[:L], theirs[:L], strict=True):
            close(tokens_of(k[row], n + T), tokens_of(other[row], n + T), 40 * config.width)
    assert_array_equal(lengths, LENGTHS)


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [1, 4, 20])
@pytest.mark.parametrize("config", SHAPES)
def test_log_probabilities_are_those_of_the_training_forward_pass_bit_for_bit(isa, config, tokens, dtype):
    model = model_of(config, dtype)
    logits, cache, u, stops = begun(model, tokens)
    ids, logp, counts = model.answer(cache, logits, u, stops)
    assert_array_equal(cache.lengths, LENGTHS + counts - np.where(stops[ids[np.arange(5), counts - 1]]
                                                                  | (counts == tokens), 1, 0))
    for row, (start, count) in enumerate(zip(LENGTHS, counts, strict=True)):
        text = np.concatenate([PROMPTS[row, :start], ids[row, :count]])[None]
        with no_grad():
            whole = model(text).data[0, start - 1:-1]
        again, chances = kernels.sample(np.ascontiguousarray(whole), u[row, :count].copy())
        assert_array_equal(again, ids[row, :count])
        assert_array_equal(chances, logp[row, :count])


@compiled
@pytest.mark.parametrize("knobs", KNOBS)
@pytest.mark.parametrize("tokens", [5, 20])
@pytest.mark.parametrize("config", [SHAPES[0], SHAPES[3]], ids=["gpt2", "llama"])
def test_whole_answers_are_those_of_a_token_at_a_time(isa, on_threads, config, tokens, knobs):
    model = model_of(config, np.float32)

    def at_once():
        logits, cache, u, stops = begun(model, tokens)
        kept = logits.copy()
        found = model.answer(cache, logits, u, stops, **knobs)
        assert_array_equal(logits, kept)
        return found

    expected = a_token_at_a_time(model, tokens, knobs)
    assert len(set(expected[2])) > 1                                # rows end at different times
    for count in (1, 2, 3):
        for one, other in zip(on_threads(count, at_once), expected, strict=True):
            assert_array_equal(one, other)


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("heads", "D"), [(4, 16), (5, 32), (4, 24)])
def test_heads_that_go_abreast_give_the_bits_of_the_forward_pass_however_long_the_sequence(isa, heads, D, dtype):
    """Of five heads the last goes alone, and so do those whose width is no whole number of vectors."""
    T = 270                                                         # sums longer than 256 terms are cut
    model = model_of(Config(11, T, 24, 1, heads, head_dim=D, inner=8), dtype)
    tokens = np.random.default_rng(4).integers(11, size=(1, T))
    with no_grad():
        expected = model(tokens).data[0]
    logits, cache = model.start(tokens[:, :1])
    for t in range(1, T):
        assert_array_equal(logits[0], expected[t - 1])
        logits = model.step(cache, tokens[:, t])
    assert_array_equal(logits[0], expected[-1])


@pytest.mark.parametrize("config", [SHAPES[0], SHAPES[3]], ids=["gpt2", "llama"])
@pytest.mark.parametrize("knobs", KNOBS)
def test_whole_answers_equal_their_twin_s(knobs, config):
    model = model_of(config, np.float64)
    found = []
    for answer in (kernels.answer, reference.answer):
        logits, cache, u, stops = begun(model)
        found.append((*answer(logits, u, stops, *model._decoded(cache), **knobs), cache.lengths))
    (ids, logp, counts, lengths), (ids2, logp2, counts2, lengths2) = found
    assert_array_equal(ids, ids2)
    assert_array_equal(counts, counts2)
    assert_array_equal(lengths, lengths2)
    close(logp, logp2, 1000)


def test_bad_logits_on_the_way_are_an_error_that_says_so():
    model = model_of(SHAPES[0], np.float64)
    logits, cache, u, stops = begun(model)
    model.parameters()["h.1.mlp.c_proj.bias"].data[3] = np.nan
    with pytest.raises(ValueError, match=r"logits\[0, 0\] is nan"):
        model.answer(cache, logits, u, stops)


@pytest.mark.parametrize("eps", [np.inf, 0.0, -1e-5])
def test_an_eps_that_cannot_be_is_refused(eps):
    model = model_of(SHAPES[0], np.float64)
    logits, cache, u, stops = begun(model)
    *args, exact_gelu, _ = model._decoded(cache)
    with pytest.raises(ValueError, match=r"eps is .*; expected a finite number > 0"):
        kernels.decode(np.zeros((5, 1), np.int64), np.zeros(5, np.int64), *args, exact_gelu, eps)
    with pytest.raises(ValueError, match=r"eps is .*; expected a finite number > 0"):
        kernels.answer(logits, u, stops, *args, exact_gelu, eps)


def test_prompts_that_are_read_some_rows_at_a_time_give_the_same(monkeypatch):
    model = model_of(SHAPES[0], np.float64)
    logits, cache, _, _ = begun(model)
    monkeypatch.setattr(transformer, "AT_A_TIME", 7)                # two rows of three tokens
    again, parts, _, _ = begun(model)
    same = assert_array_equal if kernels.BACKEND == "compiled" else close
    same(again, logits)
    for row, n in enumerate(LENGTHS):
        for k, other in zip(parts.keys, cache.keys, strict=True):
            same(tokens_of(k[row], n), tokens_of(other[row], n))
    assert_array_equal(parts.lengths, LENGTHS)
