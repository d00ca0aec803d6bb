"""A text as it is learned from and measured on: its two parts, its tokens, and what a model makes of them."""
from dataclasses import dataclass

import numpy as np

from rlscratch.bpe import Tokenizer
from rlscratch.check import Array
from rlscratch.generate import generate
from rlscratch.train.pretraining import bits_per_byte, text
from rlscratch.transformer import Transformer

CONTINUED, TEMPERATURE = 100, 0.8       # tokens of a sample at most, and what divides its logits


@dataclass
class Corpus:
    """A text as it is learned from and measured on.

    train, held      its two parts, bytes
    ids              all tokens; the two parts are encoded each by itself
    start            the place of the first held-out token
    """

    train: bytes
    held: bytes
    tokenizer: Tokenizer
    ids: Array
    start: int

    @classmethod
    def of(cls, content: str, kind: str = "bpe", vocab_size: int = 1024) -> "Corpus":
        """Split a text and encode it; arguments as in text.tokenizer_of."""
        train, held = text.split(content)
        tokenizer = text.tokenizer_of(kind, content, train, vocab_size)
        learned = tokenizer.encode(train)
        return cls(train.encode(), held.encode(), tokenizer, np.array(learned + tokenizer.encode(held)), len(learned))

    @property
    def learned(self) -> Array:
        """The tokens to learn from."""
        return self.ids[:self.start]

    def held_out(self, model: Transformer) -> float:
        """Bits per byte of the held-out part."""
        return bits_per_byte.bits_per_byte(bits_per_byte.nats(model, self.ids, self.start), len(self.held))

    def in_training(self, nats_per_token: float) -> float:
        """The same for a mean loss in training."""
        return bits_per_byte.bits_per_byte(nats_per_token * self.start, len(self.train))

    def sample(self, model: Transformer, rng: np.random.Generator) -> str:
        """How the model goes on after the end of the training part."""
        count = min(CONTINUED, model.config.context // 2)
        prompt = self.learned[count - model.config.context:]
        rollout = generate(model, [prompt], max_new_tokens=count, temperature=TEMPERATURE, rng=rng)
        return self.tokenizer.decode(rollout.answers[0])
