"""Supervised fine-tuning: the model imitates answers that a teacher wrote.

    a batch of pairs (prompt, answer)  ->  rows of the chat template
    logp  <-  model.logp(rows)                                             (B, T)
    seed  <-  cross_entropy_grad(logp, weight)      the weight is 0 but on the answers' tokens

With weights 1/N for the N answer tokens of a batch the loss is the cross-entropy per token (formulas.cross_entropy).
The prompt is context, not something to learn to say.  In a conversation of several turns every turn of the assistant
is imitated, and nobody else's.

Cross-entropy is least where the model's distribution is the teacher's, mistakes and their frequencies included.  A
teacher who is right three times in ten makes a model that is right three times in ten when it is sampled;
and if he always errs in the same way, the likeliest answer is the wrong one.  Imitation cannot go beyond.

Source: document 002, the phase of supervised fine-tuning; document 003, "Beyond Imitation".
Leaves out: packing several pairs into one row; prompts that are learned from, too.
"""
from functools import partial

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas.cross_entropy import cross_entropy_grad, cross_entropy_loss
from rlscratch.formulas.weights import token_mean
from rlscratch.optim import AdamW
from rlscratch.train.language.chat import Rows
from rlscratch.train.language.evaluation import held_out, teacher
from rlscratch.train.language.method import Beside, LanguageMethod, Learner, Stages, optimizer_of
from rlscratch.train.language.policy import Policy, backpropagate, copied, descend
from rlscratch.train.language.worlds import NAMES, OWN, World
from rlscratch.train.settings import Choice, at_least_1
from rlscratch.transformer import Transformer


def step(model: Transformer, optimizer: AdamW, rows: Rows, rng: np.random.Generator, *, batch: int) -> dict:
    """One update on pairs drawn from all; its figures, the loss in nats per token.

    rows   the pairs
    batch  how many pairs are drawn, with replacement
    """
    chosen = rows.at(rng.integers(len(rows.tokens), size=check.integer(1, batch=batch)))
    optimizer.zero_grad()
    loss = imitate(model, chosen)
    return {"loss": loss, "gradient_norm": descend(optimizer), "tokens": int(chosen.mask.sum())}


def imitate(model: Transformer, rows: Rows, share: float = 1.0) -> float:
    """Add share dL/dtheta of these pairs to the parameters' gradients; the loss L, nats per token."""
    weight = token_mean(rows.mask)

    def seeds(part: slice, said: dict[str, Array]) -> dict[str, Array]:
        return {"logp": share * cross_entropy_grad(said["logp"], weight[part])}

    return cross_entropy_loss(backpropagate(model, rows, seeds)["logp"], weight)


def beside(rows: Rows, *, batch: int, share: float) -> Beside:
    """What a method of reinforcement learning imitates at each of its steps, as PPO-ptx does:

        L = L_RL + share L_SFT,    L_SFT of `batch` pairs that are drawn from all with replacement

    Source: Ouyang et al. 2022, arXiv:2203.02155, equation 2, where the text of pre-training is imitated.
    """
    check.integer(1, batch=batch)
    check.positive(share=share)

    def one(model: Transformer, rng: np.random.Generator) -> None:
        imitate(model, rows.at(rng.integers(len(rows.tokens), size=batch)), share)

    return one


# ---------------------------------------------------------------- the method

def begin(world: World, rng: np.random.Generator, stages: Stages, *, lr: float, batch: int, shown: int,
          weight_decay: float) -> Learner:
    """A new model, or the given one, and the answers to imitate: of files, or the teacher's, `shown` to each prompt.

    Raises ValueError for an answer that has more tokens than the policy may say.
    """
    if stages.policy is None:
        chat = world.chat()
        model = world.model(chat)
    else:
        model, chat = copied(stages.policy.model), stages.policy.chat
    prompts, answers = world.shown(shown)
    rows = chat.rows(prompts, answers, model.config.context, every=True)
    if (longest := max(len(chat.answer(answer)) for answer in set(answers))) > world.recipe.max_new_tokens:
        check.fail("the number of tokens of the teacher's longest answer", longest,
                   f"at most {world.recipe.max_new_tokens}, as many as the policy may say")
    policy = Policy(model, chat, world.recipe.max_new_tokens, tool=world.task.tool)
    optimizer = optimizer_of(model, lr, weight_decay)

    def report() -> dict[str, float]:
        return held_out(policy, world) | teacher(world)

    return Learner(model, optimizer, rng, chat, partial(step, model, optimizer, rows, rng, batch=batch), report, policy)


METHOD = LanguageMethod("sft", NAMES, (
    Choice("lr", {"": 3e-3, "cups": 8e-3, "products": 8e-3}, "largest step size", check.positive),
    Choice("batch", {"": 128, "cups": 64, "products": 64}, "pairs of a step", at_least_1),
    Choice("shown", {"every-third-character": 4, "addition": 16, "cups": 4, "products": 8, "preferences": 4, OWN: 4,
                     "": 200}, "answers of the teacher to each prompt; of demonstrations, all", at_least_1),
    Choice("weight_decay", {"": 0.01, "every-third-character": 0.1, "addition": 0.1, "cups": 0.1},
           "AdamW's, on matrices", check.non_negative),
), {"every-third-character": 2000, "addition": 4500, "cups": 1000, "products": 3000, "preferences": 600, OWN: 600,
    "": 200}, begin, needs=(), shown="loss")
