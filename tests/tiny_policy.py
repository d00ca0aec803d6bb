"""A policy as a method of policy gradients meets it: batches, scripts, gradients as vectors, a toy task.

Its tokens are the four marks of the chat template and a few letters; one layer of 16 channels, float64.  Biases and
gains are random too, so that a missing term shows.
"""
from dataclasses import replace

import numpy as np

from rlscratch.autograd import functions as f
from rlscratch.optim import SGD, AdamW
from rlscratch.tasks import tools
from rlscratch.train.language import sft, worlds
from rlscratch.train.language.chat import Chat
from rlscratch.train.language.policy import Batch, Policy
from rlscratch.transformer import Config, Transformer
from tiny import every_answer, rows_of

FREE = 1e9              # a norm that nothing reaches


def chat(letters="ab"):
    return Chat.learn([letters])


def model(vocab_size, seed=6, *, value_head=False, dtype=np.float64, context=8, width=16, dropout=0.0, spread=0.25):
    rng = np.random.default_rng(seed)
    made = Transformer(Config(vocab_size, context, width, 1, 2, value_head=value_head, dropout=dropout), rng, dtype)
    for parameter in made.parameters().values():
        parameter.data += spread * rng.standard_normal(parameter.shape)
    return made


def policy(letters="ab", longest=2, temperature=1.0, seed=6, **shape):
    template = chat(letters)
    return Policy(model(template.tokenizer.vocab_size, seed, **shape), template, longest, temperature)


def batch(some, prompts, answered):
    """Answers (ids) to prompts as a policy's batch, with its log-probabilities of them."""
    rows = rows_of([(some.chat.prompt(prompt), answer) for prompt, answer in zip(prompts, answered, strict=True)],
                   some.chat.pad)
    return _batch(some, prompts, rows)


def everything(some, prompt="a"):
    """The batch of all answers to a prompt, and their probabilities, which add to 1."""
    rows = every_answer(some, prompt)
    found = _batch(some, [prompt] * len(rows.tokens), rows)
    return found, np.exp(found.logp.sum(axis=1))


def _batch(some, prompts, rows):
    answered = [tokens[mask == 1] for tokens, mask in zip(rows.tokens, rows.mask, strict=True)]
    return Batch(list(prompts), [some.chat.text(ids) for ids in answered], rows, some.logp(rows),
                 np.array([ids[-1] != some.chat.end for ids in answered]))


def right(found):
    """The reward of a toy task: 1 for the prompt itself."""
    return [float(text == prompt) for prompt, text in zip(found.prompts, found.texts, strict=True)]


def taught(seed=0, **shape):
    """A policy in float32 that imitates who repeats a letter 2 times in 5, and says the next one else."""
    some = policy("abc", seed=seed, dtype=np.float32, **shape)
    rows = some.chat.rows(list("aaaaabbbbbccccc"), list("aabbbbbcccccaaa"))
    optimizer, rng = fast(some), np.random.default_rng(seed)
    optimizer.lr = 0.02
    for _ in range(120):
        sft.step(some.model, optimizer, rows, rng, batch=30)
    return some


def fast(some):
    """The optimiser of the toy task."""
    return AdamW(some.model.parameters(), 0.01, (0.9, 0.99), weight_decay=0.0)


def world(name="ice-cream-text", **recipe):
    """A world with the smallest of models."""
    made = worlds.make(name)
    return replace(made, recipe=replace(made.recipe, width=16, layers=1, **recipe))


class Scripted(Policy):
    """A policy whose next answers are given."""

    def answer(self, prompts, rng, temperature=None):
        found = self.__dict__["script"]
        assert found.prompts == list(prompts)
        return found


def scripted(some, found=None):
    actor = Scripted(some.model, some.chat, some.max_new_tokens, some.temperature)
    actor.__dict__["script"] = found
    return actor


def still(some):
    """An optimiser that moves nothing, so that what it is given can be read off the parameters."""
    return SGD(some.parameters(), 0.0)


def gradients(some):
    """A copy of all gradients as one vector, 0 where there is none."""
    found = [np.zeros(p.shape) if p.grad is None else p.grad for p in some.parameters().values()]
    return np.concatenate([gradient.ravel() for gradient in found])


def by_graph(some, loss):
    """The gradient of a scalar of the graph, as one vector."""
    for parameter in some.parameters().values():
        parameter.grad = None
    loss.backward()
    return gradients(some)


def probabilities(some, found):
    """(B,) on the graph: how likely each answer of the batch is."""
    logp = some.model.logp(found.rows.tokens, some.temperature)
    return f.exp(f.sum(logp * found.rows.mask, axis=1))


def perturbed(array, mask, seed, size=0.3):
    """The same off policy: noise on every chosen token."""
    return mask * (array + size * np.random.default_rng(seed).standard_normal(array.shape))


def results(chat, tool, answer):
    """Where the results stand in the ids of an answer, as slices; each is what the tool says of what was written."""
    places, at = [], 0
    while chat.result in answer[at:] and (at := answer.index(chat.result, at) + 1) < len(answer):
        result = chat.heard(tools.asked(tool, chat.call(answer[:at])))
        places.append(slice(at, at := at + len(result)))
        assert answer[places[-1]] == result
    return places
