"""The transformer against a second one, written here token by token in plain NumPy.

Derivatives are checked end to end in float64; what must be equal bit for bit (a cache and the whole sequence,
a sequence alone and in company) is compared so with the compiled core, and to rounding on NumPy, which does
not promise that rows of a product ignore their neighbours.
"""
import math
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch import kernels
from rlscratch.autograd import Tensor, backward
from rlscratch.autograd.gradcheck import GradientError, gradcheck
from rlscratch.blocks import STYLES, memory_to_train, numbers, shapes
from rlscratch.formulas.distribution import entropy, log_softmax
from rlscratch.optim import AdamW
from rlscratch.train.pretraining.pretrain import learn
from rlscratch.transformer import Config, Transformer

SMALL = Config(vocab_size=11, context=12, width=12, layers=2, heads=3, value_head=True)
LLAMA = {"heads": 6, "kv_heads": 2, **STYLES["llama"]}
OPTIONS = {"as GPT-2": {}, "untied": {"tied": False}, "exact GELU": {"exact_gelu": True}, "eps": {"eps": 0.1},
           "as Llama": LLAMA, "as Qwen2": {**STYLES["qwen2"], "heads": 4, "kv_heads": 1, "head_dim": 10, "tied": False},
           "rms": {"norm": "rms"}, "rotary": {"positions": "rotary", "rotary_base": 50.0}, "gated": {"gated": True},
           "shared keys": {"heads": 6, "kv_heads": 3}, "no biases": {"biases": "none", "head_dim": 3}}


def made(dtype=np.float64, seed=0, **changes):
    """A model whose parameters are far from their first values: gains and biases count, attention is not flat."""
    rng = np.random.default_rng(seed)
    model = Transformer(Config(**{**vars(SMALL), **changes}), rng, dtype)
    for p in model.parameters().values():
        p.data += rng.normal(0, 0.3, p.shape)
    return model


def some_tokens(B=3, T=7, V=11, seed=1):
    return np.random.default_rng(seed).integers(V, size=(B, T))


def equal_rows(actual, expected):
    """Bit for bit with the compiled core, to rounding on NumPy."""
    if kernels.BACKEND == "compiled":
        assert_array_equal(actual, expected)
    else:
        tight = 1e-12 if actual.dtype == np.float64 else 1e-5
        assert_allclose(actual, expected, rtol=tight, atol=tight)


# ---------------------------------------------------------------- the definition, once more

def by_hand(model, tokens):
    """hidden (T, C) and logits (T, V) of one sequence, token by token and head by head."""
    c, w = model.config, {name: p.data for name, p in model.parameters().items()}
    H, G, D, _ = c.sizes

    def norm(x, name):
        if c.norm == "rms":
            return w[f"{name}.weight"] * x / math.sqrt((x * x).mean() + c.eps)
        return w[f"{name}.weight"] * (x - x.mean()) / math.sqrt(x.var() + c.eps) + w[f"{name}.bias"]

    def affine(x, name):
        return x @ w[f"{name}.weight"] + w.get(f"{name}.bias", 0)

    def gelu(z):
        if c.exact_gelu:
            return z * np.array([(1 + math.erf(v / math.sqrt(2))) / 2 for v in z])
        return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))

    def placed(head, t):
        """A query or a key of token t: pairs of channels, as complex numbers, turned by their angles."""
        if c.positions == "learned":
            return head
        turned = (head[:D // 2] + 1j * head[D // 2:]) * [
            np.exp(1j * t * c.rotary_base ** (-2 * d / D)) for d in range(D // 2)]
        return np.concatenate([turned.real, turned.imag])

    def inner(n, name):
        if not c.gated:
            return gelu(affine(n, name))
        gate, passing = np.split(affine(n, name), 2)
        return gate / (1 + np.exp(-gate)) * passing

    x = [w["wte.weight"][token] + (w["wpe.weight"][t] if "wpe.weight" in w else 0) for t, token in enumerate(tokens)]
    for layer in range(c.layers):
        heads = [affine(norm(row, f"h.{layer}.ln_1"), f"h.{layer}.attn.c_attn").reshape(H + 2 * G, D) for row in x]
        for t, row in enumerate(x):
            mixed = []
            for head in range(H):
                key = H + head // (H // G)
                q = placed(heads[t][head], t)
                p = np.exp([q @ placed(heads[j][key], j) / math.sqrt(D) for j in range(t + 1)])
                mixed.append(sum(p[j] / p.sum() * heads[j][key + G] for j in range(t + 1)))
            row = row + affine(np.concatenate(mixed), f"h.{layer}.attn.c_proj")
            wide = inner(norm(row, f"h.{layer}.ln_2"), f"h.{layer}.mlp.c_fc")
            x[t] = row + affine(wide, f"h.{layer}.mlp.c_proj")
    hidden = np.array([norm(row, "ln_f") for row in x])
    return hidden, hidden @ w["wte.weight" if c.tied else "lm_head.weight"].T


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS)
def test_logits_are_those_of_the_model_written_by_hand(changes):
    model, tokens = made(**changes), some_tokens()
    hidden, logits = zip(*(by_hand(model, row) for row in tokens), strict=True)
    assert_allclose(model.hidden(tokens).data, hidden, rtol=1e-11, atol=1e-11)
    assert_allclose(model(tokens).data, logits, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("wrong", ["h.0.attn.c_attn.weight", "h.1.ln_2.bias", "wpe.weight"])
def test_the_comparison_by_hand_notices_one_changed_entry(wrong):
    model, tokens = made(), some_tokens(B=1)
    expected = by_hand(model, tokens[0])[1]
    model.parameters()[wrong].data.flat[0] += 1e-3
    assert not np.allclose(model(tokens).data[0], expected, rtol=1e-7, atol=1e-7)


def test_float32_stays_float32_and_agrees_with_float64():
    model, tokens = made(np.float32), some_tokens()
    double = Transformer(model.config, None, np.float64)
    for name, p in double.parameters().items():
        p.data[...] = model.parameters()[name].data
    assert model(tokens).data.dtype == np.float32
    assert_allclose(model(tokens).data, double(tokens).data, rtol=2e-5, atol=2e-5)
    model.logp(tokens).backward(np.ones(tokens.shape, np.float32))
    assert {p.grad.dtype for name, p in model.parameters().items() if "score" not in name} == {np.dtype(np.float32)}


# ---------------------------------------------------------------- log-probabilities, entropy, values

def test_logp_is_aligned_with_its_token():
    model, tokens = made(), some_tokens()
    rows = log_softmax(model(tokens).data, 0.7)
    logp, H = (x.data for x in model.logp(tokens, temperature=0.7, entropy=True))
    assert_array_equal(logp[:, 0], 0)
    assert_array_equal(H[:, 0], 0)
    for b, t in np.ndindex(3, 6):
        assert_allclose(logp[b, t + 1], rows[b, t, tokens[b, t + 1]], rtol=1e-12)
        assert_allclose(H[b, t + 1], entropy(rows[b, t]), rtol=1e-11)


@pytest.mark.parametrize("where", [np.eye(3, 7), np.ones((3, 7), bool), np.arange(21).reshape(3, 7) % 7 == 0,
                                   np.zeros((3, 7))])
def test_logp_where_it_is_asked_for_is_the_same_and_so_is_its_gradient(where):
    part, whole, tokens = made(), made(), some_tokens()
    asked = where.astype(bool)
    seeds = np.random.default_rng(2).normal(size=(2, *tokens.shape))
    some = part.logp(tokens, 0.7, entropy=True, where=where)
    every = whole.logp(tokens, 0.7, entropy=True)
    backward(zip(some, seeds * asked, strict=True))
    backward(zip(every, seeds * asked, strict=True))
    for x, y in zip(some, every, strict=True):
        assert_array_equal(x.data[asked], y.data[asked])
        assert not x.data[~asked].any()
    for name, p in part.parameters().items():
        if (grad := whole.parameters()[name].grad) is not None:
            assert_allclose(p.grad, grad, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("where", "message"), [
    (np.ones((3, 6)), r"the shape of where is \(3, 6\); expected \(3, 7\)"),
    (np.full((3, 7), 0.5), r"where\[0, 0\] is 0.5; expected 0 or 1")])
def test_a_place_that_is_none_is_refused_by_its_name(where, message):
    with pytest.raises(ValueError, match=message):
        made().logp(some_tokens(), where=where)


def test_a_sequence_of_one_token_has_logp_0_and_gives_no_gradient():
    model = made()
    logp = model.logp([[3], [4]])
    assert_array_equal(logp.data, np.zeros((2, 1)))
    logp.backward(np.ones((2, 1)))
    assert all(not p.grad.any() for p in model.parameters().values() if p.grad is not None)


def test_one_forward_pass_serves_logp_entropy_and_values():
    apart, once, tokens = made(), made(), some_tokens()
    seeds = np.random.default_rng(2).normal(size=(3, *tokens.shape))
    hidden = once.hidden(tokens)
    backward(zip([*once.logp(tokens, hidden=hidden, entropy=True), once.value(hidden)], seeds, strict=True))
    apart.logp(tokens).backward(seeds[0])
    apart.logp(tokens, entropy=True)[1].backward(seeds[1])
    apart.value(apart.hidden(tokens)).backward(seeds[2])
    for name, p in once.parameters().items():
        assert_allclose(p.grad, apart.parameters()[name].grad, rtol=1e-9, atol=1e-11, err_msg=name)


def test_values_are_the_head_by_hand():
    model, tokens = made(), some_tokens()
    w, b = (model.parameters()[f"score.{name}"].data for name in ("weight", "bias"))
    assert_allclose(model.value(model.hidden(tokens)).data,
                    [by_hand(model, row)[0] @ w[0] + b[0] for row in tokens], rtol=1e-11)


# ---------------------------------------------------------------- derivatives, end to end

def as_function(model, tokens):
    """The model as a function of its parameters, in their order: logp, entropy and values."""
    names = list(model.parameters())

    def run(*parameters):
        stand_in = Transformer(model.config, None, np.float64)
        stand_in._parameters.update(zip(names, parameters, strict=True))
        for layer, block in enumerate(stand_in._blocks):
            block.update({name: stand_in._parameters[f"h.{layer}.{name}"] for name in block})
        hidden = stand_in.hidden(tokens)
        return *stand_in.logp(tokens, temperature=1.3, hidden=hidden, entropy=True), stand_in.value(hidden)

    return run, [p.data for p in model.parameters().values()]


@pytest.mark.parametrize("changes", [{}, {"tied": False, "exact_gelu": True}, LLAMA, {**LLAMA, "biases": "qkv"}],
                         ids=["as GPT-2", "untied, exact", "as Llama", "as Qwen2"])
def test_a_model_of_two_layers_passes_gradcheck_end_to_end(changes):
    run, arrays = as_function(made(**changes), some_tokens(B=2, T=5))
    gradcheck(run, *arrays, projections=3, rtol=1e-7)


def test_gradcheck_would_notice_a_parameter_whose_gradient_is_off_by_one_part_in_a_thousand():
    run, arrays = as_function(made(), some_tokens(B=2, T=5))

    def planted(first, *others):
        return run(first * (1 + 1e-3) + Tensor(-1e-3 * first.data), *others)

    with pytest.raises(GradientError, match="argument 0"):
        gradcheck(planted, *arrays, projections=3, rtol=1e-7)


def test_tied_weights_collect_the_gradients_of_both_uses():
    tied, untied, tokens = made(), made(tied=False), some_tokens()
    for name, p in untied.parameters().items():
        p.data[...] = tied.parameters()[name if name != "lm_head.weight" else "wte.weight"].data
    seed = np.random.default_rng(3).normal(size=tokens.shape)
    for model in (tied, untied):
        model.logp(tokens).backward(seed)
    below, above = (untied.parameters()[name].grad for name in ("wte.weight", "lm_head.weight"))
    assert_allclose(tied.parameters()["wte.weight"].grad, below + above, rtol=1e-9, atol=1e-12)
    assert min(np.abs(below).max(), np.abs(above).max()) > 1e-3


def test_only_the_rows_of_the_tokens_and_positions_seen_get_an_embedding_s_gradient():
    model, tokens = made(tied=False), np.array([[1, 2, 1]])
    model.logp(tokens).backward(np.ones((1, 3)))
    words, places = (model.parameters()[name].grad.any(axis=1) for name in ("wte.weight", "wpe.weight"))
    assert np.flatnonzero(words).tolist() == [1, 2]
    assert np.flatnonzero(places).tolist() == [0, 1]                    # the last token predicts nothing


# ---------------------------------------------------------------- padding and causality

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_padding_on_the_right_changes_nothing_before_it(dtype):
    model, tokens = made(dtype), some_tokens(B=5, T=12)
    whole = model(tokens).data
    for b, length in enumerate([1, 3, 7, 11, 12]):
        equal_rows(whole[b, :length], model(tokens[b: b + 1, :length]).data[0])
    padded = tokens.copy()
    padded[:, 7:] = 0
    assert_array_equal(model(padded).data[:, :7], whole[:, :7])


def test_padding_that_carries_no_weight_changes_no_gradient():
    tokens, seed = some_tokens(B=1, T=9), np.random.default_rng(0).normal(size=(1, 9))
    short, long = made(), made()
    short.logp(tokens[:, :6]).backward(seed[:, :6])
    long.logp(tokens).backward(np.where(np.arange(9) < 6, seed, 0))
    for name, p in long.parameters().items():
        if p.grad is not None:
            assert_allclose(p.grad, short.parameters()[name].grad, rtol=1e-9, atol=1e-11, err_msg=name)


def test_a_later_token_is_never_seen_and_an_earlier_one_is():
    model, tokens = made(), some_tokens(B=1, T=8)
    before, changed = model(tokens).data, tokens.copy()
    changed[0, 4] = (changed[0, 4] + 1) % 11
    after = model(changed).data
    assert_array_equal(after[:, :4], before[:, :4])
    assert (after[:, 4:] != before[:, 4:]).any(axis=-1).all()


# ---------------------------------------------------------------- the cache

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("changes", [
    {}, {"width": 32, "heads": 2}, {"width": 40, "heads": 5}, LLAMA, OPTIONS["as Qwen2"]])
def test_logits_with_a_cache_equal_those_of_the_whole_sequence(dtype, changes):
    model, tokens = made(dtype, **{"context": 40, **changes}), some_tokens(B=4, T=40)
    whole, lengths = model(tokens).data, np.array([25, 1, 17, 30])
    logits, cache = model.start(np.where(np.arange(30) < lengths[:, None], tokens[:, :30], 0), lengths)
    equal_rows(logits, whole[np.arange(4), lengths - 1])
    for _ in range(10):
        logits = model.step(cache, tokens[np.arange(4), cache.lengths])
        equal_rows(logits, whole[np.arange(4), cache.lengths - 1])
    assert_array_equal(cache.lengths, lengths + 10)


@pytest.mark.parametrize("config", [
    Config(300, 48, 48, 2, 4), Config(65, 48, 96, 2, 6), Config(17, 48, 130, 1, 5),
    Config(65, 48, 96, 2, 6, kv_heads=2, **STYLES["llama"])], ids=["48", "96", "130", "llama"])
def test_a_sequence_has_the_same_logits_alone_and_among_others(config):
    rng = np.random.default_rng(0)
    model, tokens = Transformer(config, rng), rng.integers(config.vocab_size, size=(7, 48))
    lengths, steps = np.array([9, 1, 33, 20, 5, 40, 17]), 8

    def run(rows, room):
        longest = lengths[rows].max()
        logits, cache = model.start(tokens[rows, :longest], lengths[rows], room)
        found = [logits]
        for _ in range(steps):
            found.append(model.step(cache, tokens[rows, cache.lengths]))
        return np.stack(found, axis=1)

    together = run(np.arange(7), 48)
    for row in range(7):
        equal_rows(together[row], run(np.array([row]), int(lengths[row]) + steps)[0])
    order = np.array([4, 2, 4, 0])
    equal_rows(together[order], run(order, 48))


def test_rows_of_a_cache_go_on_by_themselves():
    model, tokens = made(), some_tokens(B=3, T=8)
    _, cache = model.start(tokens[:, :5])
    picked = cache.rows(np.array([2, 0, 2]))
    logits = model.step(picked, np.array([1, 2, 3]))
    for row, (sequence, token) in enumerate([(2, 1), (0, 2), (2, 3)]):
        equal_rows(logits[row], model(np.array([[*tokens[sequence, :5], token]])).data[0, -1])
    assert_array_equal(cache.lengths, 5)
    equal_rows(model.step(cache, tokens[:, 5]), model(tokens[:, :6]).data[:, -1])


@pytest.mark.parametrize("index", [
    slice(None, None, 2), slice(None, None, -1), slice(2, None), [2, 0], [True, False, True]])
def test_any_index_of_numpy_s_picks_rows_that_step_takes(index):
    model, tokens = made(), some_tokens(B=3, T=6)
    _, cache = model.start(tokens[:, :5])
    equal_rows(model.step(cache.rows(index), tokens[index, 5]), model(tokens[index]).data[:, -1])
    assert_array_equal(cache.lengths[:2], 5)


def test_keys_that_heads_share_are_cached_once():
    _, cache = made(**LLAMA).start(some_tokens(), room=12)
    assert {k.shape for k in cache.keys} == {(3, 2, 1, 2, 16)} and {v.shape for v in cache.values} == {(3, 2, 16, 2)}


def test_a_word_said_again_and_again_says_nothing_of_places_unless_they_are_learned():
    """Its values are all the same, so how rotary scores weigh them does not matter."""
    word = np.array([[3] * 9])
    rotary, learned = (made(**changes)(word).data[0] for changes in (LLAMA, {}))
    assert_allclose(rotary[1:], rotary[:-1], rtol=1e-11, atol=1e-11)
    assert np.abs(learned[1:] - learned[:-1]).max() > 0.01


def test_a_context_that_is_no_multiple_of_the_cache_s_step_can_be_filled_to_the_last_token():
    model, tokens = made(context=19), some_tokens(B=2, T=19)
    _, cache = model.start(tokens[:, :18])
    equal_rows(model.step(cache, tokens[:, 18]), model(tokens).data[:, -1])
    with pytest.raises(ValueError, match="the length of sequence 0 is 20; expected at most 19"):
        model.step(cache, tokens[:, 0])


def test_generation_leaves_no_graph_and_no_gradient():
    model = made()
    logits, cache = model.start(some_tokens())
    assert isinstance(logits, np.ndarray)
    assert logits.flags.writeable
    model.step(cache, np.zeros(3, int))
    assert all(p.grad is None for p in model.parameters().values())


# ---------------------------------------------------------------- the beginning, and learning

def test_parameters_have_gpt_2_s_names_and_as_many_numbers_as_gpt_2():
    gpt2 = Config(50257, 1024, 768, 12, 12)
    assert sum(math.prod(shape) for _, shape in shapes(gpt2)) == 124_439_808
    model = Transformer(SMALL, np.random.default_rng(0))
    assert model.num_params == sum(p.data.size for p in model.parameters().values())
    assert {name.removeprefix("h.0.") for name in model.parameters() if name.startswith("h.0.")} == {
        f"{module}.{part}" for module in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
        for part in ("weight", "bias")}
    assert [name for name in model.parameters() if not name.startswith("h.")] == [
        "wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias", "score.weight", "score.bias"]


def test_a_llama_has_as_many_numbers_as_its_paper_says():
    """LLaMA 7B: 6,738,415,616; SmolLM-135M, with shared keys and a tied embedding: 134,515,008."""
    seven = Config(32000, 2048, 4096, 32, 32, tied=False, inner=11008, **STYLES["llama"])
    assert numbers(seven) == 6_738_415_616
    assert numbers(Config(49152, 2048, 576, 30, 9, inner=1536, kv_heads=3, **STYLES["llama"])) == 134_515_008
    assert numbers(Config(151936, 32768, 896, 24, 14, inner=4864, kv_heads=2, **STYLES["qwen2"])) == 494_032_768


def test_a_gated_network_has_as_many_numbers_as_another():
    plain, gated = (numbers(Config(7, 6, 48, 1, 2, biases="none", gated=gated)) for gated in (False, True))
    assert plain == gated


def test_a_model_says_in_one_line_what_it_is():
    """By pencil: 16 (64 + 32) + 2 (12 16^2 + 9 16 + 4 16) + 2 16 numbers."""
    model = Transformer(Config(vocab_size=64, context=32, width=16, layers=2, heads=4), None)
    assert 16 * (64 + 32) + 2 * (12 * 16**2 + 9 * 16 + 4 * 16) + 2 * 16 == 8128
    assert repr(model) == "Transformer(2 layers, 4 heads, width 16, context 32, 64 tokens, 8,128 parameters, float32)"


def test_first_parameters_are_gpt_2_s():
    model = Transformer(Config(200, 100, 120, 8, 4), np.random.default_rng(0))
    for name, p in model.parameters().items():
        if name.endswith("bias"):
            assert_array_equal(p.data, 0)
        elif "ln_" in name:
            assert_array_equal(p.data, 1)
        else:
            wanted = 0.02 / 4 if name.endswith("c_proj.weight") else 0.02       # sqrt(2 * 8 layers) = 4
            assert_allclose(p.data.std(), wanted, rtol=0.05)                    # 12,000 draws or more: 7 deviations
            assert abs(p.data.mean()) < 0.05 * wanted


def test_the_same_generator_gives_the_same_model_in_both_dtypes():
    single, double = (Transformer(SMALL, np.random.default_rng(5), dtype) for dtype in (np.float32, np.float64))
    for name, p in single.parameters().items():
        assert_array_equal(p.data, double.parameters()[name].data.astype(np.float32))


def test_the_first_loss_is_about_log_v():
    model = Transformer(Config(64, 32, 64, 2, 4), np.random.default_rng(0), np.float64)
    logp = model.logp(some_tokens(B=16, T=32, V=64)).data[:, 1:]
    assert abs(-logp.mean() - math.log(64)) < 0.05


def test_it_learns_eight_short_sequences_by_heart():
    rng = np.random.default_rng(0)
    model, tokens = Transformer(Config(16, 12, 32, 2, 4), rng), rng.integers(16, size=(8, 12))
    tokens[:, 0] = np.arange(8)                         # so that what follows can be known
    seed = np.full(tokens.shape, -1 / 88, np.float32)
    seed[:, 0] = 0
    optimizer = AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(150):
        optimizer.zero_grad()
        logp = model.logp(tokens)
        logp.backward(seed)
        optimizer.step()
    assert -model.logp(tokens).data[:, 1:].mean() < 0.02
    logits, cache = model.start(tokens[:, :1])
    for t in range(1, 12):
        assert_array_equal(logits.argmax(axis=-1), tokens[:, t])
        logits = model.step(cache, tokens[:, t])


# ---------------------------------------------------------------- dropout

def test_dropout_needs_a_generator_and_replays_from_its_seed():
    model, tokens = made(dropout=0.25), some_tokens()
    plain = made()(tokens).data
    assert_array_equal(model(tokens).data, plain)
    once, again, other = (model(tokens, np.random.default_rng(seed)).data for seed in (1, 1, 2))
    assert_array_equal(once, again)
    assert (once != other).any()
    assert (once != plain).any()


def test_dropout_sets_a_share_to_0_and_keeps_the_mean():
    model = made(dropout=0.25)
    x = model._dropped(Tensor(np.ones((400, 500))), np.random.default_rng(0)).data
    assert set(np.unique(x)) == {0, 1 / 0.75}
    assert abs((x == 0).mean() - 0.25) < 0.005          # five deviations of 200,000 draws


def test_gradients_go_through_dropout():
    model, tokens = made(dropout=0.25), some_tokens(B=2, T=4)
    name, h = "h.0.mlp.c_proj.bias", 1e-6
    p = model.parameters()[name]
    model(tokens, np.random.default_rng(0)).backward(np.ones((2, 4, 11)))
    slope, gradient = [], p.grad.copy()
    for sign in (1, -1):
        p.data = p.data + sign * h
        slope.append(model(tokens, np.random.default_rng(0)).data.sum())
        p.data = p.data - sign * h
    assert_allclose((slope[0] - slope[1]) / (2 * h), gradient.sum(), rtol=1e-6)


# ---------------------------------------------------------------- errors

@pytest.mark.parametrize("changes, error, message", [
    ({"vocab_size": 0}, ValueError, r"vocab_size is 0; expected an integer >= 1"),
    ({"layers": 2.0}, TypeError, r"layers is 2.0; expected an integer >= 1"),
    ({"heads": 5}, ValueError, r"width is 12; expected a multiple of heads, which is 5"),
    ({"dropout": 1.0}, ValueError, r"dropout is 1.0; expected a number in \[0, 1\)"),
    ({"dropout": -0.1}, ValueError, r"dropout is -0.1; expected a number in \[0, 1\)"),
    ({"tied": 1}, ValueError, r"tied is 1; expected one of False, True"),
    ({"eps": 0.0}, ValueError, r"eps is 0.0; expected a finite number > 0"),
    ({"norm": "batch"}, ValueError, r"norm is 'batch'; expected one of 'layer', 'rms'"),
    ({"positions": "none"}, ValueError, r"positions is 'none'; expected one of 'learned', 'rotary'"),
    ({"gated": 1}, ValueError, r"gated is 1; expected one of False, True"),
    ({"biases": False}, ValueError, r"biases is False; expected one of 'all', 'attention', 'qkv', 'none'"),
    ({"kv_heads": 2}, ValueError, r"heads is 3; expected a multiple of kv_heads, which is 2"),
    ({"kv_heads": 0}, ValueError, r"kv_heads is 0; expected an integer >= 1"),
    ({"head_dim": 5, "positions": "rotary"}, ValueError, r"the width of a head is 5; expected an even number with rot"),
    ({"rotary_base": 0.0}, ValueError, r"rotary_base is 0.0; expected a finite number > 0")])
def test_a_config_that_cannot_be_says_why(changes, error, message):
    with pytest.raises(error, match=message):
        Config(**{**vars(SMALL), **changes})


BAD_TOKENS = [
    ([[0, 11]], ValueError, r"tokens\[0, 1\] is 11; expected an integer in \[0, 11\)"),
    ([[-1]], ValueError, r"tokens\[0, 0\] is -1; expected an integer in \[0, 11\)"),
    ([[0.0]], TypeError, r"tokens is \[\[0.0\]\]; expected integers in \[0, 11\)"),
    ([0, 1], ValueError, r"the shape of tokens is \(2,\); expected 2 dimensions"),
    (np.zeros((2, 0), int), ValueError, r"the shape of tokens is \(2, 0\); expected \(B, T\), B and T at least 1"),
    (np.zeros((0, 2), int), ValueError, r"the shape of tokens is \(0, 2\); expected \(B, T\), B and T at least 1"),
    (np.zeros((2, 13), int), ValueError, r"the shape of tokens is \(2, 13\); expected .*T at most 12, the context")]


@pytest.mark.parametrize("tokens, error, message", BAD_TOKENS)
@pytest.mark.parametrize("method", ["__call__", "hidden", "logp", "start"])
def test_tokens_that_cannot_be_say_why(method, tokens, error, message):
    with pytest.raises(error, match=message):
        getattr(made(), method)(tokens)


def test_other_arguments_that_cannot_be_say_why():
    model, tokens = made(), some_tokens()
    with pytest.raises(TypeError, match="dtype is 'float16'; expected float32 or float64"):
        Transformer(SMALL, None, np.float16)
    with pytest.raises(TypeError, match="rng is 0; expected a numpy"):
        Transformer(SMALL, 0)
    with pytest.raises(TypeError, match="rng is 0; expected a numpy"):
        model(tokens, rng=0)
    with pytest.raises(ValueError, match="value_head is False; expected True in the Config"):
        made(value_head=False).value(model.hidden(tokens))
    with pytest.raises(ValueError, match=r"the shape of hidden is \(3, 6, 12\); expected \(3, 7, 12\)"):
        model.logp(tokens, hidden=model.hidden(tokens[:, :6]))
    with pytest.raises(ValueError, match="temperature is 0"):
        model.logp(tokens, temperature=0)


@pytest.mark.parametrize("lengths, room, message", [
    ([1, 2], None, r"the shape of lengths is \(2,\); expected \(3,\), one length a prompt"),
    ([1, 0, 2], None, r"lengths\[1\] is 0; expected at least 1"),
    ([1, 8, 2], None, r"lengths\[1\] is 8; expected an integer in \[0, 8\)"),
    (None, 6, r"room is 6; expected an integer in \[7, 12\]"),
    (None, 13, r"room is 13; expected an integer in \[7, 12\]")])
def test_prompts_that_do_not_fit_say_why(lengths, room, message):
    with pytest.raises(ValueError, match=message):
        made().start(some_tokens(), lengths, room)


def test_steps_that_do_not_fit_say_why_and_change_nothing():
    model = made()
    _, cache = model.start(some_tokens())
    keys, lengths = [k.copy() for k in cache.keys], cache.lengths.copy()
    with pytest.raises(ValueError, match=r"tokens\[2\] is 11; expected an integer in \[0, 11\)"):
        model.step(cache, [0, 1, 11])
    with pytest.raises(ValueError, match=r"the shape of tokens is \(2,\); expected \(3,\), one token a sequence"):
        model.step(cache, [0, 1])
    assert_array_equal(cache.lengths, lengths)
    for k, old in zip(cache.keys, keys, strict=True):
        assert_array_equal(k[:, :, 0, :, :7], old[:, :, 0, :, :7])


# ---------------------------------------------------------------- how much it takes

@pytest.mark.parametrize("changes", [{}, {"tied": False, "value_head": False}, {"layers": 5, "inner": 7},
                                     *OPTIONS.values()])
def test_parameters_are_counted_without_making_them(changes):
    model = made(**changes)
    assert numbers(model.config) == sum(p.size for p in model.parameters().values()) == model.num_params


def test_what_no_memory_can_hold_is_refused_before_it_is_made():
    for changes in ({"layers": 10**9}, {"vocab_size": 10**15}, {"width": 3 * 10**9}):
        with pytest.raises(ValueError, match=r"width and layers is \(.*\); expected less: it would take .* GiB"):
            made(**changes)
    with pytest.raises(ValueError, match=r"context is 1000000000000; expected less: it would take .* GiB"):
        made(**LLAMA, context=10**12)


@pytest.mark.compiled_only("what a step keeps does not depend on the backend")
def test_a_step_takes_what_is_said_at_the_least_and_not_many_times_as_much():
    config, B = Config(vocab_size=300, context=64, width=64, layers=4, heads=2), 8
    tracemalloc.start()
    model = Transformer(config, np.random.default_rng(0))
    steps = learn(model, AdamW(model.parameters(), 1e-3), np.arange(1000) % 300, np.random.default_rng(0), batch=B,
                  lr=lambda: 1e-3)
    next(steps)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert memory_to_train(config, B, config.context) < peak < 4 * memory_to_train(config, B, config.context)
