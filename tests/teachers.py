"""All answers of a task's teacher to a prompt, with their probabilities: its uniforms enumerated, not sampled."""
from collections import Counter

import numpy as np

PARTS = 30          # probabilities that are whole thirds or tenths are counted exactly


class Says(np.random.Generator):
    """A generator whose next uniform is known."""

    def __init__(self, uniform):
        super().__init__(np.random.PCG64(0))
        self.uniform = uniform

    def random(self):
        return self.uniform

    def choice(self, size, p):
        return int(np.searchsorted(np.cumsum(p), self.uniform, side="right"))


def shown(teacher, prompt):
    """{answer: probability}, for a teacher that reads one uniform a prompt."""
    answers = Counter(teacher(prompt, Says((k + 0.5) / PARTS)) for k in range(PARTS))
    return {answer: count / PARTS for answer, count in answers.items()}
