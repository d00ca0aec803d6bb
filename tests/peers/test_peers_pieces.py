"""The pieces one at a time: kernels, optimiser, schedule and clipping against PyTorch, filters against
transformers, ids against tiktoken.

In float64 two right answers differ by rounding alone, so the tolerance is 1e-10 of the largest entry there, and 1e-5
in float32.  Four differences are meant, and each has a test:

    clipping        torch adds 1e-6 to the norm in the quotient; ours adds eps, by default 0
    cosine          CosineAnnealingLR climbs again after T_max; ours stays at the floor
    equal logits    transformers' top-k keeps every token equal to the k-th; ours k tokens.  Where equal tokens lie
                    across the threshold of top-p, theirs keeps those that its unstable sort puts last; ours the
                    lowest ids, under either rule
    thresholds      what reaches top-p or min-p on paper may miss it by rounding in transformers; ours has a margin
"""
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch import bpe, kernels, optim
from rlscratch.autograd import Tensor
from rlscratch.formulas import cross_entropy, distribution
from rlscratch.generate import filters

pytestmark = pytest.mark.filterwarnings("ignore")                  # theirs; ours are errors everywhere else
torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[peers]'")
F = torch.nn.functional

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: dtype.__name__)


def normal(seed, dtype, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def leaf(array):
    return torch.tensor(array, requires_grad=True)


def assert_close(ours, theirs):
    theirs = theirs.detach().numpy()
    assert ours.dtype == theirs.dtype
    tolerance = TOLERANCE[ours.dtype.type]
    assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


# Kernels

def their_attention(qkv, causal=True):
    """(B, T, H, D) from (B, T, 3, H, D)."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2)


@both_dtypes
@pytest.mark.parametrize("T, D", [(1, 8), (7, 5), (33, 16), (130, 64)])
def test_attention_and_its_gradient_agree(dtype, T, D):
    qkv, dout = normal(0, dtype, 2, T, 3, 3, D), normal(1, dtype, 2, T, 3, D)
    theirs = leaf(qkv)
    expected = their_attention(theirs)
    expected.backward(torch.tensor(dout))
    out, lse = kernels.attention(qkv)
    assert_close(out, expected)
    assert_close(kernels.attention_backward(dout, qkv, out, lse), theirs.grad)


def test_the_comparison_notices_attention_that_is_not_causal():
    qkv = normal(0, np.float64, 2, 7, 3, 3, 5)
    with pytest.raises(AssertionError):
        assert_close(kernels.attention(qkv)[0], their_attention(torch.tensor(qkv), causal=False))


@both_dtypes
@pytest.mark.parametrize("eps", [1e-5, 0.1])
@pytest.mark.parametrize("N, C", [(1, 5), (9, 31), (64, 48)])
def test_layer_norm_and_its_gradient_agree(dtype, eps, N, C):
    x, gain, bias, dy = normal(0, dtype, N, C) + 3, normal(1, dtype, C), normal(2, dtype, C), normal(3, dtype, N, C)
    theirs = [leaf(array) for array in (x, gain, bias)]
    expected = F.layer_norm(theirs[0], (C,), *theirs[1:], eps=eps)
    expected.backward(torch.tensor(dy))
    y, stats = kernels.layer_norm(x, gain, bias, eps)
    assert_close(y, expected)
    for ours, leaf_ in zip(kernels.layer_norm_backward(dy, x, gain, stats), theirs, strict=True):
        assert_close(ours, leaf_.grad)


@both_dtypes
@pytest.mark.parametrize("exact", [False, True], ids=["tanh", "exact"])
def test_gelu_with_bias_and_its_gradient_agree(dtype, exact):
    x, bias, dy = 4 * normal(0, dtype, 50, 37), normal(1, dtype, 37), normal(2, dtype, 50, 37)
    theirs = [leaf(x), leaf(bias)]
    expected = F.gelu(theirs[0] + theirs[1], approximate="none" if exact else "tanh")
    expected.backward(torch.tensor(dy))
    assert_close(kernels.bias_gelu(x, bias, exact), expected)
    for ours, leaf_ in zip(kernels.bias_gelu_backward(dy, x, bias, exact), theirs, strict=True):
        assert_close(ours, leaf_.grad)


@both_dtypes
def test_the_comparison_notices_the_other_gelu(dtype):
    x, bias = 4 * normal(0, dtype, 50, 37), np.zeros(37, dtype)
    with pytest.raises(AssertionError):
        assert_close(kernels.bias_gelu(x, bias, exact=False), F.gelu(torch.tensor(x)))


@both_dtypes
def test_cross_entropy_and_its_gradient_agree(dtype):
    """As the formula has it, the mean of the rows, and as the kernel has it, each row with a seed of its own."""
    logits, target = 3 * normal(0, dtype, 20, 61), np.random.default_rng(1).integers(61, size=20)
    logits[:, 60], target[target == 60] = -np.inf, 0                          # a token that cannot be
    theirs = leaf(logits)
    expected = F.cross_entropy(theirs, torch.tensor(target))
    expected.backward()
    assert_allclose(cross_entropy.logits_cross_entropy(logits, target), expected.item(), rtol=TOLERANCE[dtype])
    assert_close(cross_entropy.logits_cross_entropy_grad(logits, target), theirs.grad)

    theirs, seed = leaf(logits), normal(2, dtype, 20)
    expected = -F.cross_entropy(theirs, torch.tensor(target), reduction="none")
    expected.backward(torch.tensor(seed))
    logp, entropy, stats = kernels.chosen_logp(logits, target)
    assert_close(logp, expected)
    assert_close(kernels.chosen_logp_backward(seed, np.zeros_like(seed), logits, target, entropy, stats), theirs.grad)


@both_dtypes
def test_entropy_and_its_gradient_agree(dtype):
    logits, target, seed = 3 * normal(0, dtype, 20, 61), np.zeros(20, int), normal(1, dtype, 20)
    theirs = leaf(logits)
    expected = torch.distributions.Categorical(logits=theirs, validate_args=False).entropy()
    expected.backward(torch.tensor(seed))
    _, entropy, stats = kernels.chosen_logp(logits, target)
    assert_close(entropy, expected)
    assert_close(kernels.chosen_logp_backward(np.zeros_like(seed), seed, logits, target, entropy, stats), theirs.grad)


# Optimiser, schedule, clipping

def after_1000_steps(**changed):
    """A matrix and a vector after 1000 steps on gradients that depend on them: ours, theirs, each (2,)."""
    settings = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-6, "weight_decay": 0.1}
    ours = {"W": Tensor(normal(0, np.float64, 7, 5), requires_grad=True),
            "b": Tensor(normal(1, np.float64, 5), requires_grad=True)}
    theirs = [leaf(t.data.copy()) for t in ours.values()]
    our_optimizer, their_optimizer = optim.AdamW(ours, **{**settings, **changed}), torch.optim.AdamW(theirs, **settings)
    rng = np.random.default_rng(2)
    for _ in range(1000):
        for t, p in zip(ours.values(), theirs, strict=True):
            noise = rng.normal(size=t.shape) * np.exp(3 * rng.normal())        # scales from 1e-4 to 1e4
            t.grad = np.sin(t.data) + noise
            p.grad = torch.sin(p.detach()) + torch.tensor(noise)
        our_optimizer.step()
        their_optimizer.step()
    return [t.data for t in ours.values()], [p.detach().numpy() for p in theirs]


def test_adamw_agrees_over_1000_steps():
    for ours, theirs in zip(*after_1000_steps(), strict=True):
        assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("changed", [{"weight_decay": 0.1001}, {"eps": 1.001e-6}, {"betas": (0.9, 0.99001)}],
                         ids=lambda changed: next(iter(changed)))
def test_the_comparison_notices_other_settings(changed):
    (ours, _), (theirs, _) = after_1000_steps(**changed)
    with pytest.raises(AssertionError):
        assert_allclose(ours, theirs, rtol=1e-9)


def their_cosine(peak, floor, total, steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total, eta_min=floor)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


@pytest.mark.parametrize("warmup", [0, 10])
def test_the_cosine_agrees_up_to_the_last_step(warmup):
    """CosineAnnealingLR has no warm-up: ours w steps later is theirs.  It works each rate out from the one before."""
    ours = [optim.warmup_cosine(warmup + t, 3e-4, 3e-5, warmup, warmup + 100) for t in range(101)]
    assert_allclose(ours, their_cosine(3e-4, 3e-5, 100, 101), rtol=1e-10)


def test_after_the_last_step_theirs_climbs_again_and_ours_stays():
    assert their_cosine(3e-4, 3e-5, 100, 151)[150] > 1.6e-4
    assert optim.warmup_cosine(150, 3e-4, 3e-5, 0, 100) == 3e-5


def clipped(max_norm, **ours_alone):
    """The norm that each returns and the gradients that it leaves, as one vector: ours, theirs."""
    gradients = [normal(0, np.float64, 7, 5), normal(1, np.float64, 5)]
    ours = [Tensor(np.zeros_like(g), requires_grad=True) for g in gradients]
    theirs = [leaf(np.zeros_like(g)) for g in gradients]
    for g, t, p in zip(gradients, ours, theirs, strict=True):
        t.grad, p.grad = g.copy(), torch.tensor(g)
    norms = optim.clip_grad_norm(ours, max_norm, **ours_alone), torch.nn.utils.clip_grad_norm_(theirs, max_norm).item()
    return [np.concatenate([[n], *(np.ravel(p.grad) for p in some)])
            for n, some in zip(norms, (ours, theirs), strict=True)]


@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 5.0, 100.0])
def test_clipping_agrees_with_1e_6_added_to_the_norm(max_norm):
    assert_allclose(*clipped(max_norm, eps=1e-6), rtol=1e-12)


def test_clipping_without_it_leaves_exactly_the_norm_asked_for_and_theirs_less():
    ours, theirs = (np.linalg.norm(vector[1:]) for vector in clipped(1.0))
    assert_allclose(ours, 1.0, rtol=1e-14)
    assert 1e-8 < 1 - theirs < 1e-6


# Processors

@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[peers]'")


def probabilities(scores):
    return torch.softmax(scores, dim=-1).numpy()


@pytest.fixture
def rows():
    """Logits (200, 50), of many temperatures, and earlier ids (200, 9)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 50)) * rng.uniform(0.1, 5, size=(200, 1)), rng.integers(50, size=(200, 9))


@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 3.0])
def test_temperature_agrees(transformers, rows, temperature):
    theirs = transformers.TemperatureLogitsWarper(temperature)(None, torch.tensor(rows[0]))
    assert_allclose(distribution.softmax(rows[0], temperature), probabilities(theirs), rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 10, 49, 50, 80])
@pytest.mark.parametrize("decimals", [12, 0], ids=["no equals", "many equals"])
def test_top_k_with_all_equals_agrees(transformers, rows, k, decimals):
    logits = rows[0].round(decimals)
    theirs = transformers.TopKLogitsWarper(k)(None, torch.tensor(logits))
    ours = distribution.top_k(distribution.softmax(logits), k, ties="all")
    assert_allclose(ours, probabilities(theirs), rtol=1e-12)


def test_of_equal_logits_ours_keeps_k_and_theirs_all(transformers):
    logits, none = np.array([[1.0, 2.0, 1.0, 1.0]]), np.zeros((1, 0), int)
    theirs = transformers.TopKLogitsWarper(2)(None, torch.tensor(logits))
    assert_array_equal(theirs.isfinite(), [[True, True, True, True]])
    assert_array_equal(filters.filtered(logits, none, top_k=2) > 0, [[True, True, False, False]])


@pytest.mark.parametrize("rule", ["hf", "mass_before"])
@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.999, 1.0])
def test_top_p_agrees_away_from_the_threshold(transformers, rows, p, rule):
    theirs = transformers.TopPLogitsWarper(p)(None, torch.tensor(rows[0]))
    assert_allclose(distribution.top_p(distribution.softmax(rows[0]), p, rule), probabilities(theirs), rtol=1e-12)


def test_on_the_threshold_rounding_decides_theirs_and_a_margin_ours(transformers):
    """Document 003: the fifth word of "The movie was ___" reaches .9."""
    movie = np.array([[.25, .20, .18, .15, .12, .05, .03, .02]])
    theirs = transformers.TopPLogitsWarper(0.9)(None, torch.tensor(np.log(movie))).isfinite()
    assert theirs.sum() == (distribution.top_p(movie, 0.9, rule="hf") > 0).sum() == 6
    assert (distribution.top_p(movie, 0.9) > 0).sum() == 5


@pytest.mark.parametrize("rule", ["hf", "mass_before"])
def test_of_equal_tokens_across_the_threshold_both_keep_as_many_but_not_the_same(transformers, rule):
    """Theirs sorts upwards and keeps the end, so the last of the equals where the sort leaves them in order."""
    probs = np.full((1, 5), 0.2)
    theirs = transformers.TopPLogitsWarper(0.5)(None, torch.tensor(np.log(probs))).isfinite().numpy()
    ours = distribution.top_p(probs, 0.5, rule) > 0
    assert theirs.sum() == ours.sum() == 3
    assert_array_equal(ours, [[True, True, True, False, False]])


@pytest.mark.parametrize("p", [0.0, 0.02, 0.3, 1.0])
def test_min_p_agrees_away_from_the_threshold(transformers, rows, p):
    theirs = transformers.MinPLogitsWarper(p)(None, torch.tensor(rows[0]))
    assert_allclose(distribution.min_p(distribution.softmax(rows[0]), p), probabilities(theirs), rtol=1e-12)


@both_dtypes
def test_a_tenth_of_the_largest_always_stays_in_ours_and_may_go_in_theirs(transformers, dtype):
    """.6 .34 .06 and six like it: whether .1 * .6 comes out above .06 is rounding."""
    probs = np.array([[a, 1 - 1.1 * a, 0.1 * a] for a in np.linspace(0.5, 0.8, 7)]).astype(dtype)
    theirs = transformers.MinPLogitsWarper(0.1)(None, torch.tensor(np.log(probs)))[:, 2].isfinite()
    assert theirs.sum() < 7
    assert (distribution.min_p(distribution.softmax(np.log(probs)), 0.1)[:, 2] > 0).all()


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.3, 4.0])
def test_the_repetition_penalty_agrees(transformers, rows, penalty):
    logits, previous = rows
    logits[:, 0], logits[:, 1], previous[:, 0] = -np.inf, 0.0, 1              # what cannot be, and the kink
    theirs = transformers.RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor(previous), torch.tensor(logits))
    assert_allclose(distribution.repetition_penalty(logits, previous, penalty), theirs.numpy(), rtol=1e-14)


KNOBS = {"temperature": 0.8, "top_k": 12, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.7}


def their_list(transformers):
    """The list that transformers' own generate() makes of the knobs, so that the order is theirs too."""
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=8, n_layer=1, n_head=1,
                                     bos_token_id=None, eos_token_id=None)
    settings = transformers.GenerationConfig(do_sample=True, **KNOBS)
    return transformers.GPT2LMHeadModel(config)._get_logits_processor(settings, input_ids_seq_length=9, device="cpu")


def test_all_knobs_together_agree_in_the_order_of_huggingface_and_in_no_other(transformers, rows):
    logits, previous = rows
    theirs = their_list(transformers)
    assert len(theirs) == len(KNOBS)
    expected = probabilities(theirs(torch.tensor(previous), torch.tensor(logits)))
    assert_allclose(filters.filtered(logits, previous, **KNOBS, order="huggingface"), expected, rtol=1e-12)
    with pytest.raises(AssertionError):
        assert_allclose(filters.filtered(logits, previous, **KNOBS, order="document"), expected, rtol=1e-12)


def test_samples_have_the_probability_that_theirs_gives_them(transformers, rows):
    """The compiled sampler, all knobs: it reports the log-probability under the filtered distribution."""
    logits, previous = rows
    expected = probabilities(their_list(transformers)(torch.tensor(previous), torch.tensor(logits)))
    ids, logp = filters.sample(logits, np.random.default_rng(1).random(200), previous, **KNOBS, order="huggingface")
    assert_allclose(logp, np.log(expected[np.arange(200), ids]), atol=1e-12)


# Ids

@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Ours and tiktoken's, made of the same two files, each by its own reader."""
    tiktoken = pytest.importorskip("tiktoken", reason="tiktoken is not installed: pip install '.[peers]'")
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks
    if "RLSCRATCH_GPT2" not in os.environ:
        pytest.skip("RLSCRATCH_GPT2 does not name a folder with GPT-2's vocab.json and merges.txt")
    folder, headed = Path(os.environ["RLSCRATCH_GPT2"]), tmp_path_factory.mktemp("gpt2") / "merges.txt"
    lines = (folder / "merges.txt").read_text("utf-8").removeprefix("#version: 0.2\n")
    headed.write_text("#version: 0.2\n" + lines, "utf-8")          # their reader drops the first line, whatever it is
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", "")                     # else it may keep files by name, and find old ones
        ranks = data_gym_to_mergeable_bpe_ranks(str(headed), str(folder / "vocab.json"))
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"     # as first released
    theirs = tiktoken.Encoding("gpt2", pat_str=pattern, mergeable_ranks=ranks,
                               special_tokens={"<|endoftext|>": 50256})
    return bpe.Tokenizer.from_gpt2(folder / "vocab.json", folder / "merges.txt"), theirs


TEXTS = {
    "empty": "",
    "words": "Hello world, it's Ubiquitous; they'll say we've DON'T",
    "spaces": "  a   b\n\n c\t\t\r\n  ",
    "digits": "3.14159 2024 ²½ ٣٤ Ⅷ",
    "accents": "naïve café e\u0301 Straße İstanbul",
    "cjk": "日本語の文字と한국어 中文。",
    "emoji": "👩\u200d👩\u200d👧 🏳️\u200d🌈🙂",
    "odd spaces": "a\u00a0b\u2003 c\u3000d\u200be\x1cf\x85g",
    "controls": "\x00\x01\x7f\ufeff\ufffd",
    "long": "a" * 500 + " " * 300 + "=" * 200,
    "code": "def f(x):\n    return x ** 2  # square\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_ids_agree(tokenizers, text):
    ours, theirs = tokenizers
    assert ours.encode(text) == theirs.encode_ordinary(text)
    assert ours.decode(theirs.encode_ordinary(text)) == text


def test_ids_of_this_repository_agree(tokenizers):
    ours, theirs = tokenizers
    text = "\n".join(path.read_text("utf-8") for path in sorted(Path(kernels.__file__).parents[1].rglob("*.py")))
    assert ours.encode(text) == theirs.encode(text, allowed_special="all")             # it names <|endoftext|>


def test_ids_of_random_characters_agree(tokenizers):
    """Of the whole of Unicode and of its first 0x500, where letters, marks and numbers lie close."""
    ours, theirs = tokenizers
    rng = np.random.default_rng(0)
    for limit in (0x500, 0x3000, 0xD800, 0x20000):
        for _ in range(50):
            codes = rng.integers(limit, size=60)
            text = "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)
            assert ours.encode(text) == theirs.encode_ordinary(text), ascii(text)


def test_the_special_token_agrees(tokenizers):
    ours, theirs = tokenizers
    text = "one<|endoftext|> two<|endoftext|>"
    assert ours.encode(text) == theirs.encode(text, allowed_special="all")
