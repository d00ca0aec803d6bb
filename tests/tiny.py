"""A policy with so few answers that all of them can be listed, and what tests want of an update.

The vocabulary is a letter or two and the four marks of the chat template; any of them may follow any other, so with
V tokens there are 1 + (V - 1) V answers of at most two tokens: the end alone, or another token and then any.
"""
import itertools
from dataclasses import replace

import numpy as np

from rlscratch.optim import AdamW
from rlscratch.tasks.task import Task
from rlscratch.train.language.chat import Chat, Rows
from rlscratch.train.language.policy import Policy, copied
from rlscratch.train.language.worlds import Recipe, World
from rlscratch.transformer import Config, Transformer


def policy(letters="a", longest=2, seed=0, dtype=np.float64, head=False, scale=4.0, context=12, temperature=1.0):
    """A policy with random parameters, larger than a new model's so that its answers are not equally likely."""
    chat = Chat.learn([letters], "characters")
    model = Transformer(Config(chat.tokenizer.vocab_size, context, 16, 1, 2, value_head=head),
                        np.random.default_rng(seed), dtype)
    for name, parameter in model.parameters().items():
        if "ln" not in name:
            parameter.data *= scale
    return Policy(model, chat, longest, temperature)


def every_answer(policy, prompt):
    """Rows of all answers to a prompt, the shorter ones first."""
    V, end, begin = policy.model.config.vocab_size, policy.chat.end, policy.chat.prompt(prompt)
    others = [token for token in range(V) if token != end]
    answers = [ids for n in range(policy.max_new_tokens) for front in itertools.product(others, repeat=n)
               for ids in ([(*front, end)] if n + 1 < policy.max_new_tokens else [(*front, t) for t in range(V)])]
    return rows_of([(begin, ids) for ids in answers], policy.chat.pad)


def rows_of(pairs, pad, width=0):
    """(prompt, answer) as ids -> Rows, `width` tokens wide or as wide as they need."""
    lengths = np.array([len(p) + len(a) for p, a in pairs])
    tokens = np.full((len(pairs), max(width, lengths.max())), pad)
    mask = np.zeros(tokens.shape)
    for row, (p, a) in enumerate(pairs):
        tokens[row, :lengths[row]] = [*p, *a]
        mask[row, len(p):lengths[row]] = 1
    return Rows(tokens, mask, lengths)


class Draws(np.random.Generator):
    """A generator that draws these integers, whatever is asked for."""

    def __init__(self, *integers):
        super().__init__(np.random.PCG64(0))
        self.drawn = np.array(integers).ravel()

    def integers(self, high, size=None):
        assert self.drawn.max() < high and size == len(self.drawn)
        return self.drawn


def gradient(policy_or_model, step):
    """What `step(subject, optimizer)` would move a copy by, by name, and its figures.

    The gradient is cut to length 1 before the optimiser sees it; here it has its own length again.
    """
    if isinstance(policy_or_model, Policy):
        subject = replace(policy_or_model, model=copied(policy_or_model.model))
        model = subject.model
    else:
        subject = model = copied(policy_or_model)
    figures = step(subject, AdamW(model.parameters(), 0.0))
    longer = max(1.0, figures["gradient_norm"])
    return {name: p.grad * longer for name, p in model.parameters().items() if p.grad is not None}, figures


def by_autograd(model, loss):
    """The gradient of a loss that is a Tensor: `loss(copy of the model)`, by name."""
    model = copied(model)
    loss(model).backward()
    return {name: p.grad for name, p in model.parameters().items() if p.grad is not None}


LETTERS = "abcd"


def world(reward, longest=3, prompts=("a", "b", "c"), held_out=("d",), right=None, seed=0):
    """Letters asked, letters answered: the teacher says one to `longest` - 1 of them, drawn at random.

    reward  (prompt, answer) -> number
    right   (prompt, answer) -> whether the answer is right; None: no answer is
    """
    def teacher(prompt, rng):
        return "".join(rng.choice(list(LETTERS), size=rng.integers(1, longest)))

    task = Task("letters", prompts, reward, right or (lambda prompt, answer: False), held_out=held_out,
                teacher=teacher)
    return World("letters", task, Recipe(lambda: task, "characters", 16, 1, longest), seed)


def beginner(world, seed=0, dtype=np.float32, scale=1.0):
    """An untrained policy of a world: every token is about as likely."""
    chat = world.chat()
    model = Transformer(world.model(chat).config, np.random.default_rng(seed), dtype)
    for name, parameter in model.parameters().items():
        if "ln" not in name:
            parameter.data *= scale
    return Policy(model, chat, world.recipe.max_new_tokens)


def trained(method, world, stages, steps, **settings):
    """The learner after that many steps, and the figures of each."""
    history = []
    for learner, figures in method.learn(world, stages, steps, **settings):     # noqa: B007
        history.append(figures)
    return learner, history
