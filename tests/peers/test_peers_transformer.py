"""The transformer against Hugging Face's GPT-2 on PyTorch: logits, gradients, steps of training.

Their model is initialised at random, written by transformers as safetensors and loaded by us; and the other way
round.  float32, to 1e-5 of the largest entry.
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
         "eps": {"layer_norm_epsilon": 1e-2}}


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
    assert gradients.keys() == ours.parameters().keys()
    for name, p in ours.parameters().items():
        assert_close(p.grad, gradients[name], err_msg=name)


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
    """Ten steps with clipping and decay: the parameters stay together to rounding."""
    model, ours, tokens = both(tmp_path)
    our_optimizer = AdamW(ours.parameters(), lr=1e-3, weight_decay=0.1)
    their_optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    seed = np.full(tokens.shape, -1 / 69, np.float32)
    for _ in range(10):
        our_optimizer.zero_grad()
        ours.logp(tokens).backward(seed)
        our_norm = clip_grad_norm(our_optimizer, 1.0, eps=1e-6)
        our_optimizer.step()
        their_optimizer.zero_grad()
        (-their_logp(model, tokens).mean()).backward()
        their_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        their_optimizer.step()
        assert_allclose(our_norm, their_norm.item(), rtol=1e-4)
    weights = {name.removeprefix("transformer."): p for name, p in model.named_parameters()}
    for name, p in ours.parameters().items():
        # q . (k + b) adds the same to all scores of a query, so the bias of keys has gradient 0: what either
        # side finds there is rounding, which Adam, dividing by its size, makes into whole steps.
        some = slice(None) if name.split(".")[-2:] != ["c_attn", "bias"] else np.r_[:48, 96:144]
        assert_close(p.data[some], weights[name][some], tolerance=1e-4, err_msg=name)


@pytest.mark.parametrize("changes", [{}, {"tied": False}, {"exact_gelu": True}], ids=["as GPT-2", "untied", "exact"])
def test_what_we_write_transformers_reads(tmp_path, changes):
    ours = Transformer(Config(61, 24, 48, 2, 4, **changes), np.random.default_rng(0))
    checkpoint.to_huggingface(ours, tmp_path)
    model, told = transformers.GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not told["unexpected_keys"]
    assert not set(told["missing_keys"]) - {"lm_head.weight"}      # tied: the embedding under a second name
    tokens = np.random.default_rng(0).integers(61, size=(2, 24))
    assert_close(ours(tokens).data, model.eval()(torch.tensor(tokens)).logits)
