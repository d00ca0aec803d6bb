"""Attention of a small model that was trained here, over "Ubiquitous", before and after GRPO; and a box for BPE.

The task is every third character of a word (tasks.spelling): "Ubiquitous" -> "Uqts".  The teacher mostly takes one
wrong step, so its imitator does; GRPO is paid for right answers alone.  The weights are computed from queries and keys,

    w_ij = softmax_j( q_i . k_j / sqrt(D) ),    j <= i

which are kept to three decimals.  The box cuts any text by the merges of the run of rlhf.py, which are learned from its
instructions and answers.
"""
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from html import escape
from typing import Any

import numpy as np

from rlscratch.autograd import functions as f
from rlscratch.bpe import Tokenizer
from rlscratch.formulas.distribution import softmax
from rlscratch.report.widgets import parts
from rlscratch.report.widgets.parts import shown, tag
from rlscratch.tasks import spelling
from rlscratch.train.language import grpo, sft, worlds
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Policy
from rlscratch.transformer import Transformer

WORD, ANSWERS = "Ubiquitous", 100
LABELS = ("›", *WORD, "»", *spelling.every_third(WORD))     # the marks of the chat template, and letters
# 7 seconds of processor time in all.
TRAINED = {"words": 8000, "sft": {"steps": 800, "lr": 8e-3, "batch": 32, "shown": 2},
           "grpo": {"steps": 60, "lr": 2e-3, "groups": 16, "group": 16, "beta": 0.0, "variant": "grpo"}}
LAYERS, WIDTH, HEADS = 2, 48, 3
MODELS = {"sft": "before GRPO, after imitation", "grpo": "after GRPO"}
BEGIN = {"model": "sft", "layer": 2, "head": 1, "query": 13, "text": WORD}
CELL, LEFT, TOP = 19, 30, 24
BYTES = {byte: bytes([byte]) for byte in range(256)}


# ---------------------------------------------------------------- what is recorded

@lru_cache
def record() -> dict[str, Any]:
    """Of each model: q and k (layers, heads, T, D), its likeliest next token with its probability, right answers."""
    words = [word.capitalize() for word in spelling.words(TRAINED["words"], np.random.default_rng(0), shortest=9,
                                                          longest=10)]
    world = worlds.make("every-third-character", words=words)
    world = replace(world, recipe=replace(world.recipe, width=WIDTH, layers=LAYERS))
    for learner, _ in sft.METHOD.learn(world, **TRAINED["sft"]):
        imitator = learner.policy
    before = _told(imitator)
    for learner, _ in grpo.METHOD.learn(world, Stages(imitator), **TRAINED["grpo"]):
        learned = learner.policy
    return {"sft": before, "grpo": _told(learned)}


@lru_cache
def merges() -> list[tuple[bytes, bytes]]:
    """The merges of the run of rlhf.py."""
    return worlds.make("preferences", seed=0).chat().tokenizer.merges


@lru_cache
def tokenizer() -> Tokenizer:
    """The same without the marks of the chat template, which no text can write."""
    made = {256 + i: a + b for i, (a, b) in enumerate(merges())}
    return Tokenizer(BYTES | made, merges())


def _told(policy: Policy) -> dict[str, Any]:
    """What is shown of a policy."""
    chat, right = policy.chat, spelling.every_third(WORD)
    q, k, logits = reading(policy.model, [*chat.prompt(WORD), *chat.answer(right)[:-1]])
    p = softmax(logits)
    said = policy.answer([WORD] * ANSWERS, np.random.default_rng(1)).texts
    names = {id_: {"<|end|>": "end", "<|user|>": "›", "<|assistant|>": "»"}.get(mark, mark)
             for mark, id_ in chat.tokenizer.special_tokens.items()}
    best = [names.get(int(row.argmax()), chat.tokenizer.decode([int(row.argmax())])) for row in p]
    return {"q": q.round(3).tolist(), "k": k.round(3).tolist(), "guess": best,
            "sure": p.max(axis=-1).round(4).tolist(), "right": said.count(right)}


def reading(model: Transformer, tokens: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A GPT-2 reads, step by step: queries and keys (layers, heads, T, D) on the way, and the logits (T, V)."""
    p, config = {name: part.data.astype(float) for name, part in model.parameters().items()}, model.config
    heads, looked = (len(tokens), 3, config.heads, -1), []

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return f.layer_norm(x, p[f"{name}.weight"], p[f"{name}.bias"], config.eps).data

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    x = p["wte.weight"][tokens] + p["wpe.weight"][:len(tokens)]
    for h in (f"h.{layer}" for layer in range(config.layers)):
        q, k, v = linear(norm(x, f"{h}.ln_1"), f"{h}.attn.c_attn").reshape(heads).transpose(1, 2, 0, 3)
        seen = np.stack([weights(*each) @ value for *each, value in zip(q, k, v, strict=True)], axis=1)
        x = x + linear(seen.reshape(x.shape), f"{h}.attn.c_proj")
        wide = norm(x, f"{h}.ln_2") @ p[f"{h}.mlp.c_fc.weight"]
        x = x + linear(f.bias_gelu(wide, p[f"{h}.mlp.c_fc.bias"]).data, f"{h}.mlp.c_proj")
        looked.append((q, k))
    return *np.swapaxes(looked, 0, 1), norm(x, "ln_f") @ p["wte.weight"].T


# ---------------------------------------------------------------- what is shown

def weights(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    """The equation above for one head, (T, T)."""
    later = np.triu(np.full((len(q), len(q)), -np.inf), 1)
    return softmax(q @ k.T / math.sqrt(q.shape[-1]) + later)


def data() -> dict[str, Any]:
    """The record, the letters, and the merges as pairs of ids."""
    place = {token: i for i, token in tokenizer().vocab.items()}
    return {**record(), "labels": LABELS, "merges": [(place[a], place[b]) for a, b in merges()]}


def numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """weights (T, T) of the chosen head, and the ids of the text in the box."""
    told, layer, head = record()[settings["model"]], settings["layer"] - 1, settings["head"] - 1
    return {"weights": weights(*(np.array(told[name][layer][head]) for name in "qk")),
            "ids": tokenizer().encode(settings["text"])}


def said(found: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The same in a sentence."""
    at, told = settings["query"], record()[settings["model"]]
    row = np.asarray(found["weights"])[at]
    most = int(row.argmax())
    return (f"Having read “{LABELS[at]}” (place {at}), head {settings['head']} of layer {settings['layer']} looks most "
            f"at “{LABELS[most]}” (place {most}), weight {shown(row[most])}. Likeliest to come next: "
            f"“{told['guess'][at]}”, {shown(told['sure'][at])}. The text in the box is {len(found['ids'])} tokens.")


def fragment() -> str:
    """The figure."""
    found, told, T = numbers(BEGIN), record(), len(LABELS)
    row = BEGIN["query"]
    picture = [
        *(tag("text", label, x=LEFT + CELL * (j + 0.5), y=16, text_anchor="middle") for j, label in enumerate(LABELS)),
        *(tag("text", label, x=14, y=TOP + CELL * (i + 0.75), text_anchor="middle") for i, label in enumerate(LABELS)),
        *(tag("rect", k=f"w{i}-{j}", class_="w-a", x=LEFT + CELL * j, y=TOP + CELL * i, width=CELL - 1, height=CELL - 1,
              fill_opacity=f"{found['weights'][i, j]:.2f}") for i in range(T) for j in range(i + 1)),
        tag("rect", k="row", class_="w-frame", x=1, y=TOP + CELL * row - 1, width=LEFT + CELL * T - 2, height=CELL + 1)]
    layer, head = _finder(told["grpo"])
    controls = (
        parts.choice("model", "Model", MODELS),
        parts.slider("layer", "Layer", 1, LAYERS, 1, BEGIN["layer"], 0),
        parts.slider("head", "Head", 1, HEADS, 1, BEGIN["head"], 0),
        parts.slider("query", "Token that looks back", 0, T - 1, 1, row, 0),
        parts.buttons(parts.button("Before GRPO", model="sft"), parts.button("After GRPO", model="grpo"),
                      parts.button("Before the third letter", query=13),
                      parts.button("A head that finds it", model="grpo", query=13, layer=layer, head=head)),
        parts.text("text", "Tokenizer: any text", WORD, 80))
    return parts.figure(
        "attention", "Attention, before and after GRPO.",
        f"A model with {LAYERS} layers of {HEADS} heads has to say every third letter of a word, here of “{WORD}”. "
        "Each row is a token that looks back; the colour is strong where it looks most. › and » are marks before "
        f"question and answer. Of {ANSWERS} answers {told['sft']['right']} were right before GRPO, "
        f"{told['grpo']['right']} after. The tokens of this model are letters; the box below shows the tokens of a "
        "tokenizer with learned merges.",
        picture, TOP + CELL * T + 2, controls, said(found, BEGIN), data(), below=_tokens(found["ids"]))


def _finder(told: Mapping[str, Any]) -> tuple[int, int]:
    """Layer and head that look most at the third letter of the answer when it is due."""
    looks = {(layer, head): weights(*(np.array(told[name][layer - 1][head - 1]) for name in "qk"))[13, 1 + 6]
             for layer in range(1, LAYERS + 1) for head in range(1, HEADS + 1)}
    return max(looks, key=looks.__getitem__)


def _tokens(ids: list[int]) -> str:
    """The tokens of a text, each in a frame; a space is ␣."""
    pieces = (tokenizer().vocab[i].decode("utf-8", "replace").replace(" ", "␣") for i in ids)
    return f'<p class="w-tokens" data-k="tokens">{"".join(f"<span>{escape(piece)}</span> " for piece in pieces)}</p>'
