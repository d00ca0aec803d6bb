"""A replay buffer: the last N transitions, from which any may be drawn again.

A network that changes for one transition changes for all, so what is not rehearsed is forgotten.  Drawn
from the buffer, a batch looks like everything that was seen and not like the last few steps, which
resemble each other.

Source: Lin 1992, "Self-improving reactive agents"; document 002, "Deep Q-Learning (FrozenLake)", memory.
Leaves out: priorities; transitions of several steps.
"""
import numpy as np

from rlscratch import check
from rlscratch.train.tabular.q_learning import Transition

KINDS = {"a": np.int32, "reward": np.float32, "terminated": np.bool_}


class Replay:
    """A ring of transitions.

    capacity      N
    shape, dtype  of a state

    arrays  (N, ...) each, by the names of the fields of Transition; 0 where nothing was written yet
    count   transitions put in so far, those that were overwritten included

    >>> replay = Replay(2)
    >>> for s in (1, 2, 3):
    ...     replay.put(Transition(s, 0, 0.0, s + 1, False))
    >>> len(replay), replay.arrays["s"].tolist()
    (2, [3, 2])
    """

    def __init__(self, capacity: int, shape: tuple[int, ...] = (), dtype: type = np.int32) -> None:
        capacity = check.integer(1, capacity=capacity)
        self.arrays = {name: np.zeros(capacity, KINDS[name]) if name in KINDS else np.zeros((capacity, *shape), dtype)
                       for name in Transition._fields}
        self.count = 0

    def __len__(self) -> int:
        return min(self.count, len(self.arrays["s"]))

    def put(self, transition: Transition) -> None:
        """In the place of the oldest."""
        place = self.count % len(self.arrays["s"])
        for name, array in self.arrays.items():
            array[place] = getattr(transition, name)
        self.count += 1

    def draw(self, batch: int, rng: np.random.Generator) -> Transition:
        """Transitions as arrays (batch, ...), each as likely as any other, with replacement.

        Raises ValueError while the buffer is empty and for a batch that is no integer >= 1.
        """
        if not self.count:
            check.fail("the number of transitions", 0, "at least one before any is drawn")
        rows = check.generator(rng=rng).integers(len(self), size=check.integer(1, batch=batch))
        return Transition(**{name: array[rows] for name, array in self.arrays.items()})
