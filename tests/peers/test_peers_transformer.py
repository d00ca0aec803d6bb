"""The transformer against Hugging Face's GPT-2 on PyTorch: logits, gradients, steps of training.

Their model is initialised at random, written by transformers as safetensors and loaded by us; and the other way
round.  float32, to 1e-5 of the largest entry; steps of training in float64, to 1e-9.
"""
import numpy as np
import pytest
from numpy.testing import assert_allclose

from rlscratch import checkpoint
from rlscratch.optim import AdamW, clip_grad_norm
from rlscratch.transformer import Config, Transformer

pytestmark = pytest.mark.filterwarnings("ignore")                  # theirs; ours are errors everywhere else
torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[peers]'")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[peers]'")

KINDS = {"as GPT-2": {}, "exact GELU": {"activation_function": "gelu"}, "untied": {"tie_word_embeddings": False},
         "eps": {"layer_norm_epsilon": 1e-2}, "inner": {"n_inner": 80},
         "not scaled": {"scale_attn_weights": False}, "scaled by layer": {"scale_attn_by_inverse_layer_idx": True},
         "scaled by layer alone": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
         "another name of GELU": {"activation_function": "gelu_pytorch_tanh"},
         "fast GELU": {"activation_function": "gelu_fast"}}


def scale_of(layer, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, **_):
    """Their scale of attention over 1 / sqrt(D), D = 12."""
    return (1.0 if scale_attn_weights else 12**0.5) / (layer + 1 if scale_attn_by_inverse_layer_idx else 1)


def theirs(**changes):
    torch.manual_seed(0)
    config = transformers.GPT2Config(**{
        "vocab_size": 61, "n_positions": 24, "n_embd": 48, "n_layer": 3, "n_head": 4, "resid_pdrop": 0.0,
        "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": None, "eos_token_id": None, **changes})
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():                                          # gains, biases and attention should count
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model


def both(folder, **changes):
    model = theirs(**changes)
    model.save_pretrained(folder)
    tokens = np.random.default_rng(0).integers(61, size=(3, 24))
    return model, checkpoint.from_huggingface(folder), tokens


def assert_close(ours, theirs, tolerance=1e-5, **named):
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max(), **named)


def their_logp(model, tokens):
    """(B, T - 1)."""
    logp = torch.log_softmax(model(torch.tensor(tokens)).logits[:, :-1], dim=-1)
    return logp.gather(-1, torch.tensor(tokens)[:, 1:, None])[..., 0]


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_logits_agree(tmp_path, changes):
    model, ours, tokens = both(tmp_path, **changes)
    assert_close(ours(tokens).data, model(torch.tensor(tokens)).logits)


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_gradients_of_every_parameter_agree(tmp_path, changes):
    model, ours, tokens = both(tmp_path, **changes)
    seed = np.random.default_rng(1).normal(size=tokens.shape).astype(np.float32)
    ours.logp(tokens).backward(seed)
    their_logp(model, tokens).backward(torch.tensor(seed[:, 1:]))
    gradients = {name.removeprefix("transformer."): p.grad for name, p in model.named_parameters()}
    for layer in range(3):                      # our queries are theirs times a scale, and a gradient the other way
        for part in ("weight", "bias"):
            gradients[f"h.{layer}.attn.c_attn.{part}"][..., :48] /= scale_of(layer, **changes)
    assert gradients.keys() == ours.parameters().keys()
    for name, p in ours.parameters().items():
        assert_close(p.grad, gradients[name], err_msg=name)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "60KB"}], ids=["one file", "shards"])
def test_half_precision_and_shards_are_read_as_they_are_written(tmp_path, dtype, shards):
    model = theirs().to(dtype)
    model.save_pretrained(tmp_path, **shards)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == bool(shards)
    ours, tokens = checkpoint.from_huggingface(tmp_path), np.random.default_rng(0).integers(61, size=(3, 24))
    assert_close(ours(tokens).data, model.float()(torch.tensor(tokens)).logits)


@pytest.mark.parametrize("activation", ["relu", "silu", "tanh", "gelu_10", "quick_gelu"])
def test_other_activations_are_refused_by_name(tmp_path, activation):
    theirs(activation_function=activation).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"activation_function in config.json is '{activation}'; expected one of"):
        checkpoint.from_huggingface(tmp_path)


def test_the_comparison_notices_the_other_gelu(tmp_path):
    model, ours, tokens = both(tmp_path)
    exact = Transformer(Config(**{**vars(ours.config), "exact_gelu": True}), None)
    for name, p in exact.parameters().items():
        p.data[...] = ours.parameters()[name].data
    with pytest.raises(AssertionError):
        assert_close(exact(tokens).data, model(torch.tensor(tokens)).logits)


def test_logits_with_a_cache_agree(tmp_path):
    model, ours, tokens = both(tmp_path)
    logits, cache = ours.start(tokens[:, :20], [20, 5, 13])
    expected = model(torch.tensor(tokens)).logits
    assert_close(logits, expected[torch.arange(3), torch.tensor([19, 4, 12])])
    for _ in range(4):
        logits = ours.step(cache, tokens[np.arange(3), cache.lengths])
        assert_close(logits, expected[torch.arange(3), torch.tensor(cache.lengths - 1)])


def test_training_goes_the_same_way(tmp_path):
    """Ten steps with clipping and decay, in float64: the parameters stay together to rounding.

    In float32 Adam divides gradients that are nearly 0 by their own size, and rounding becomes whole steps.
    """
    model, _, tokens = both(tmp_path)
    model, ours = model.double(), checkpoint.from_huggingface(tmp_path, np.float64)
    our_optimizer = AdamW(ours.parameters(), lr=1e-3, weight_decay=0.1)
    their_optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    seed = np.full(tokens.shape, -1 / 69)
    for _ in range(10):
        our_optimizer.zero_grad()
        ours.logp(tokens).backward(seed)
        our_norm = clip_grad_norm(our_optimizer, 1.0, eps=1e-6)
        our_optimizer.step()
        their_optimizer.zero_grad()
        (-their_logp(model, tokens).mean()).backward()
        their_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        their_optimizer.step()
        assert_allclose(our_norm, their_norm.item(), rtol=1e-10)
    weights = {name.removeprefix("transformer."): p for name, p in model.named_parameters()}
    for name, p in ours.parameters().items():
        # q . (k + b) adds the same to all scores of a query, so the bias of keys has gradient 0: what either
        # side finds there is rounding, which Adam, dividing by its size, makes into whole steps.
        some = slice(None) if name.split(".")[-2:] != ["c_attn", "bias"] else np.r_[:48, 96:144]
        assert_close(p.data[some], weights[name][some], tolerance=1e-9, err_msg=name)


@pytest.mark.parametrize("changes", [{}, {"tied": False}, {"exact_gelu": True}], ids=["as GPT-2", "untied", "exact"])
def test_what_we_write_transformers_reads(tmp_path, changes):
    ours = Transformer(Config(61, 24, 48, 2, 4, **changes), np.random.default_rng(0))
    checkpoint.to_huggingface(ours, tmp_path)
    model, told = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not told["unexpected_keys"]
    assert not set(told["missing_keys"]) - {"lm_head.weight"}      # tied: the embedding under a second name
    tokens = np.random.default_rng(0).integers(61, size=(2, 24))
    assert_close(ours(tokens).data, model.eval()(torch.tensor(tokens)).logits)
