"""A pretrained model is given the marks of the chat template, so that training goes on from it.

    tokenizer    each mark that it lacks gets the next free id
    embedding    each new id gets a row: the mean of the old rows, moved a hundredth of the way to one of them
    all else     stays, so the logits of all old tokens are the same numbers

Why the mean.  With a tied embedding the logit of a token is z_j = h . w_j, so the mean row w has the logit mean_j z_j.
By Jensen's inequality

    exp(mean_j z_j) <= mean_j exp(z_j),    so    p(new) <= 1 / V    with V old tokens                            (1)

whatever h is: a mark that the model has never seen is not likelier than a token is on average.  (Moved to row j it has
at most .99 / V + .01 p_j, since exp is convex; the move tells the marks apart.)  Rows near 0 would have the logit 0,
and where a model's logits are far below 0, as GPT-2's are, it would say nothing but marks.

Source: Hewitt 2021, "Initializing New Word Embeddings for Pretrained Language Models".
Leaves out: a model that is pretrained on rows of the template.
"""
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rlscratch import bpe, check, checkpoint
from rlscratch.train.language.chat import SPECIAL, Chat
from rlscratch.transformer import Transformer

MOVED = 0.01            # of the way from the mean to an old row
EMBEDDINGS = ("wte.weight", "lm_head.weight")


def load(folder: str | Path, rng: np.random.Generator, marks: Sequence[str] = SPECIAL) -> tuple[Transformer, Chat]:
    """The model in a folder and its template: of a run, or of a GPT-2, Llama or Qwen2 that transformers wrote.

    rng    the rows of marks that the tokenizer lacks are drawn from it
    marks  that it is to have

    Dropout is turned off: a policy is trained on the distribution that it is sampled from.
    Raises ValueError for a folder that holds no such model, and for one with another vocabulary than its tokenizer's.
    """
    folder = Path(folder)
    is_run = (folder / checkpoint.INDEX).exists() or not (folder / "config.json").exists()
    model = checkpoint.load(folder).model if is_run else checkpoint.from_huggingface(folder)
    tokenizer = bpe.load(folder)
    marked = tokenizer.with_special(mark for mark in marks if mark not in tokenizer.special_tokens)
    if marked.vocab_size > tokenizer.vocab_size:
        model = grown(model, tokenizer.vocab_size, marked.vocab_size, rng)
    return model, Chat(marked)


def grown(model: Transformer, known: int, size: int, rng: np.random.Generator) -> Transformer:
    """A copy of a model with rows for the ids from `known` to `size`, without dropout.

    known  ids of its tokenizer; rows beyond, with which some models are padded, stand for no token and are dropped
    size   ids of the tokenizer with the marks
    """
    check.integer(1, model.config.vocab_size, known=known, called="the vocabulary of the tokenizer")
    config = replace(model.config, vocab_size=check.integer(known, size=size), dropout=0.0)
    copy = Transformer(config, None, model.dtype)
    for name, parameter in model.parameters().items():
        to = copy.parameters()[name].data
        if name not in EMBEDDINGS:
            to[...] = parameter.data
            continue
        old, new = parameter.data[:known], size - known
        drawn = old[rng.choice(known, new, replace=known < new)]
        to[:known], to[known:] = old, (1 - MOVED) * old.mean(axis=0) + MOVED * drawn
    return copy
