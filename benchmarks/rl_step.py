"""A step of GRPO and one of PPO as wholes (rollout, scores, update), beside a plain loop in PyTorch and TRL's trainer.

    python -m benchmarks.rl_step [--quick] [--json]

Shape B: 4 layers, width 128, 4 heads, vocabulary 256.  GRPO: 16 prompts x 8 answers x 16 tokens, one epoch, KL from a
frozen reference in the loss, beta .04.  PPO: 128 answers, a critic's head, GAE, 2 epochs of 2 minibatches.  Rewards are
random numbers, so no two answers are merged.  All in float32; the other sides take the same clip, AdamW and norm.

torch is the loop as one would write it: a preallocated cache, one token at a time, then scores, then the update.  TRL
is its GRPOTrainer on transformers' GPT-2 of the same shape.  sides.py tells how the sides take turns.
"""
import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks import sides

TITLE = "A step of reinforcement learning"
LAYERS, WIDTH, HEADS, V, CONTEXT = 4, 128, 4, 256, 32
PROMPTS, G, NEW, ASKED = 16, 8, 16, 8                       # prompts, answers to each, tokens of an answer, of a prompt
LEAST = {"GRPO beside trl": 5, "PPO beside torch": 2}


def ours(method: str) -> Callable[[], Any]:
    """One step here, as a function."""
    from rlscratch import memory
    from rlscratch.train.language import grpo, ppo
    from rlscratch.train.language.chat import Chat
    from rlscratch.train.language.method import optimizer_of
    from rlscratch.train.language.policy import Policy, copied
    from rlscratch.train.variants import variant
    from rlscratch.transformer import Config, Transformer
    memory.keep_freed()
    rng = np.random.default_rng(0)
    chat = Chat.learn(["".join(map(chr, range(0x100, 0x100 + V - 4)))])
    prompts = ["".join(map(chr, 0x100 + rng.integers(V - 4, size=ASKED - 2))) for _ in range(PROMPTS)]
    model = Transformer(Config(V, CONTEXT, WIDTH, LAYERS, HEADS, value_head=method == "PPO"), rng)
    policy, reference, optimizer = Policy(model, chat, NEW), copied(model), optimizer_of(model, 1e-6)

    def score(batch: Any) -> np.ndarray:
        return rng.random(len(batch))

    if method == "GRPO":
        chosen = variant("grpo", beta=0.04)
        return lambda: grpo.step(policy, reference, optimizer, score, prompts, rng, variant=chosen, groups=PROMPTS,
                                 group=G)
    return lambda: ppo.step(policy, reference, optimizer, score, prompts, rng, batch=PROMPTS * G, beta=0.05,
                            kl_penalty="k1-reward", lam=0.95, whiten=True, epochs=2, minibatches=2, clip=0.2,
                            value_clip=0.0, value_weight=0.1, entropy=0.0, target_kl=0.0)


def torchs(method: str) -> Callable[[], Any]:
    """One step there."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.attn, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.fc, self.out = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, x: Any, cache: Any, at: int) -> Any:
            B, T, _ = x.shape
            q, k, v = self.attn(self.ln_1(x)).view(B, T, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
            if cache is not None:
                cache[0][:, :, at:at + T], cache[1][:, :, at:at + T] = k, v
                k, v = cache[0][:, :, :at + T], cache[1][:, :, :at + T]
            a = functional.scaled_dot_product_attention(q, k, v, is_causal=T > 1)
            x = x + self.proj(a.transpose(1, 2).reshape(B, T, WIDTH))
            return x + self.out(functional.gelu(self.fc(self.ln_2(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(V, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.blocks, self.norm = nn.ModuleList(Block() for _ in range(LAYERS)), nn.LayerNorm(WIDTH)
            self.critic = nn.Linear(WIDTH, 1)

        def hidden(self, tokens: Any, caches: Any = None, at: int = 0) -> Any:
            x = self.words(tokens) + self.places.weight[at:at + tokens.shape[1]]
            for i, block in enumerate(self.blocks):
                x = block(x, None if caches is None else caches[i], at)
            return self.norm(x)

        def logp(self, tokens: Any) -> Any:
            h = self.hidden(tokens)[:, ASKED - 1:-1]
            logits = functional.linear(h, self.words.weight)
            chosen = torch.log_softmax(logits, -1).gather(-1, tokens[:, ASKED:, None])[..., 0]
            return chosen, self.critic(h)[..., 0]

    torch.manual_seed(0)
    model, reference, B = Model(), Model(), PROMPTS * G
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    asked = torch.randint(V, (PROMPTS, ASKED)).repeat_interleave(G, 0)
    caches = [[torch.zeros(B, HEADS, CONTEXT, WIDTH // HEADS) for _ in range(2)] for _ in range(LAYERS)]

    @torch.inference_mode()
    def rollout() -> Any:
        tokens, at = [asked], 0
        for _ in range(NEW):
            h = model.hidden(tokens[-1], caches, at)[:, -1]
            at += tokens[-1].shape[1]
            tokens.append(torch.multinomial(torch.softmax(functional.linear(h, model.words.weight), -1), 1))
        return torch.cat(tokens, 1)

    def descend(loss: Any) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def surrogate(logp: Any, old: Any, advantage: Any) -> Any:
        ratio = torch.exp(logp - old)
        return torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)

    def grpo() -> None:
        tokens, rewards = rollout().clone(), torch.rand(PROMPTS, G)
        advantage = ((rewards - rewards.mean(1, True)) / rewards.std(1, keepdim=True)).view(B, 1)
        with torch.inference_mode():
            ref, _ = reference.logp(tokens)
        ref = ref.clone()
        logp, _ = model.logp(tokens)
        away = torch.exp(ref - logp) - (ref - logp) - 1
        descend(-(surrogate(logp, logp.detach(), advantage) - 0.04 * away).mean())

    def ppo() -> None:
        tokens, scores = rollout().clone(), torch.rand(B)
        with torch.inference_mode():
            (old, values), (ref, _) = model.logp(tokens), reference.logp(tokens)
            rewards = -0.05 * (old - ref)
            rewards[:, -1] += scores
            advantage, later = torch.zeros(B, NEW), torch.zeros(B)
            for t in reversed(range(NEW)):
                later = rewards[:, t] + (values[:, t + 1] if t + 1 < NEW else 0) - values[:, t] + 0.95 * later
                advantage[:, t] = later
            target = advantage + values
            advantage = (advantage - advantage.mean()) / advantage.std()
        old, target, advantage = old.clone(), target.clone(), advantage.clone()
        for _ in range(2):
            for part in torch.randperm(B).chunk(2):
                logp, value = model.logp(tokens[part])
                descend(0.05 * (value - target[part]).square().mean()
                        - surrogate(logp, old[part], advantage[part]).mean())

    return grpo if method == "GRPO" else ppo


def trl(seconds: float) -> None:
    """TRL's trainer, in a process that answers as sides.serve does: from the callback behind each of its steps."""
    import datasets
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers
    from trl import GRPOConfig, GRPOTrainer
    words = {f"w{i}": i for i in range(V - 2)} | {"<end>": V - 2, "<pad>": V - 1}
    made = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", pad_token="<pad>")
    rng = np.random.default_rng(0)
    prompts = [" ".join(f"w{i}" for i in rng.integers(V - 2, size=ASKED)) for _ in range(PROMPTS)]
    config = transformers.GPT2Config(vocab_size=V, n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
                                     resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
                                     bos_token_id=None, eos_token_id=V - 2, pad_token_id=V - 1)

    class Watch(transformers.TrainerCallback):
        steps, begin = 0, None

        def on_step_end(self, _: Any, state: Any, control: Any, **__: Any) -> None:
            self.steps += 1
            if self.steps <= 2:                             # untimed
                self.begin = time.perf_counter(), time.process_time(), self.steps
            if self.steps > 2 and time.perf_counter() - self.begin[0] > seconds:
                wall, cpu, since = self.begin
                count = self.steps - since
                print(json.dumps([1e3 * (time.perf_counter() - wall) / count, 1e3 * (time.process_time() - cpu) / count,
                                  (sides.taken() - before) / 1024]), file=answers, flush=True)
                control.should_training_stop = not sys.stdin.readline()
                self.steps = 0

    before, answers, sys.stdout = sides.taken(), sys.stdout, sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        settings = GRPOConfig(output_dir=folder, use_cpu=True, per_device_train_batch_size=PROMPTS * G,
                              num_generations=G, max_completion_length=NEW, beta=0.04, learning_rate=1e-6,
                              max_steps=1_000_000, logging_strategy="no", save_strategy="no", report_to=[], bf16=False,
                              disable_tqdm=True, gradient_checkpointing=False)
        transformers.GPT2LMHeadModel(config).save_pretrained(f"{folder}/model")     # the reference is read from there
        trainer = GRPOTrainer(transformers.GPT2LMHeadModel.from_pretrained(f"{folder}/model"),
                              lambda completions, **_: rng.random(len(completions)).tolist(), settings,
                              datasets.Dataset.from_dict({"prompt": prompts}), processing_class=tokenizer,
                              callbacks=[Watch()])
        if sys.stdin.readline():
            trainer.train()


def measure(quick: bool = False) -> dict:
    """{"title", "rows", "bar": {"what", "value", "least", "met"}}."""
    rows = []
    for side, methods in (("trl", ["GRPO"]), ("torch", ["PPO"] if quick else ["GRPO", "PPO"]))[not find_spec("trl"):]:
        with sides.both("benchmarks.rl_step", quick, side) as processes:
            rows += [{"step": method, "beside": side} | sides.compared(processes, 1 if quick else 5, method)
                     for method in methods]
    bars = [(row["cpu times"] / LEAST[name], name, row["cpu times"]) for row in rows
            if (name := f"{row['step']} beside {row['beside']}") in LEAST and "cpu times" in row]
    if not bars:
        bar = {"what": sides.versions(), "value": 1, "least": 1, "met": True}
    else:
        _, name, value = min(bars)
        bar = {"what": name, "value": value, "least": LEAST[name], "met": value >= LEAST[name]}
    return {"title": f"{TITLE} ({sides.versions()})", "rows": rows, "bar": bar}


def worker(side: str, seconds: str) -> None:
    """The process of one side."""
    if side == "trl":
        trl(float(seconds))
    else:
        make, needs = (torchs, ["torch"]) if side == "torch" else (ours, ["rlscratch.train.language.grpo"])
        sides.serve(make, float(seconds), needs)


if __name__ == "__main__":
    sys.exit(sides.main("benchmarks.rl_step", TITLE, measure, worker, ("SIDE", "SECONDS")))
