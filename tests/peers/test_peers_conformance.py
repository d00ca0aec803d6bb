"""The losses of TRL, veRL and OpenRLHF are what their adapters expect, and PyTorch and JAX pass through the referee.

An adapter names the version that it was written for.  If a newer one fails here, read what changed, and then change
`expected`, libraries.json and docs/rosetta.md.
"""
from pathlib import Path

import pytest

from rlscratch.__main__ import main
from rlscratch.conformance import adapters, examine, oracle

pytestmark = pytest.mark.filterwarnings("ignore")                  # theirs; ours are errors everywhere else
torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[peers]'")

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rosetta.md").read_text("utf-8")
STRANGER = """
import torch

def grpo_loss(logprobs, old_logprobs, ref_logprobs, advantages, mask, clip=0.2, beta=0.04):
    ratio = torch.exp(logprobs - old_logprobs)
    adv = advantages.unsqueeze(1)
    surrogate = torch.min(ratio * adv, torch.clamp(ratio, 1 - clip, 1 + clip) * adv)
    d = ref_logprobs - logprobs
    kl = torch.exp(d) - d - 1
    per_token = -(surrogate - beta * kl)
    return ((per_token * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)).mean()
"""


@pytest.mark.parametrize("library", adapters.LIBRARIES)
def test_each_option_of_a_library_is_what_its_adapter_says(library):
    reason = adapters.available()[library]
    if reason:
        pytest.skip(reason)
    version, rows = adapters.adapted(library)
    written = f"## {adapters.LIBRARIES[library]} {version}," in PAGE
    for row in rows:
        first = str(examine(row.function, row.like, framework=row.framework)).splitlines()[0]
        assert first.startswith(f"agrees with {row.expected}"), f"{library} {version}, {row.option}: {first}"
        assert not written or f"| {row.option} | {first[12:].replace('|', '&#124;')} |" in PAGE, row.option


def test_a_stranger_s_loss_is_judged_in_one_command(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(STRANGER, "utf-8")
    assert main(["conform", f"{tmp_path}/mine.py:grpo_loss", "--as", "grpo", "--framework", "torch"]) == 0
    assert "ppo, range 0.8 to 1.2, aggregate sequence mean, KL in the loss k3, beta 0.04" in capsys.readouterr().out


def test_a_torch_loss_has_an_oracle():
    space = {}
    exec(STRANGER, space)
    found = oracle(space["grpo_loss"], framework="torch")
    assert found.left < 1e-6 and abs(found.parts["grad KL(ref || pi) by prefix"] / found.parts["grad J"] - .04) < 1e-6


def test_a_detached_ratio_is_a_note_and_a_wrong_gradient_of_one_s_own_is_a_breach():
    def cispo(logprobs, old_logprobs, advantages, mask):
        ratio = torch.exp(logprobs - old_logprobs).clamp(0, 5).detach()
        return -(ratio * advantages[:, None] * logprobs * mask).sum() / mask.sum()

    found = examine(cispo, "cispo", framework="torch")
    assert found.ok and any("detached" in note for note in found.notes)


def test_a_jax_loss_is_judged():
    jnp = pytest.importorskip("jax.numpy", reason="jax is not installed")

    def loss(logprobs, old_logprobs, advantages, mask, eps=0.2):
        ratio, A = jnp.exp(logprobs - old_logprobs), advantages[:, None]
        return -(jnp.minimum(ratio * A, jnp.clip(ratio, 1 - eps, 1 + eps) * A) * mask).sum() / mask.sum()

    assert examine(loss, "dapo", framework="jax").ok
