"""Widgets whose runs are too short to learn anything, for tests of what is around them."""
from contextlib import contextmanager

import pytest

from rlscratch.report.widgets import attention, rlhf


@contextmanager
def short_runs():
    """Within it, what trains takes a few steps; afterwards nothing of them is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(rlhf.TRAINED, "sft", {"steps": 2, "lr": 1e-2, "batch": 8, "shown": 1})
        patch.setitem(rlhf.TRAINED, "reward model", {"steps": 1, "lr": 2e-3, "batch": 8, "rankings": 8, "answers": 4})
        patch.setitem(rlhf.TRAINED, "ppo", {"steps": 12, "lr": 6e-4, "batch": 8, "kl_target": 0.0})
        patch.setitem(attention.TRAINED, "words", 40)
        patch.setitem(attention.TRAINED, "sft", {"steps": 2, "lr": 8e-3, "batch": 8, "shown": 1})
        patch.setitem(attention.TRAINED, "grpo", attention.TRAINED["grpo"] | {"steps": 1, "groups": 2, "group": 2})
        patch.setattr(attention, "ANSWERS", 2)
        forget()
        try:
            yield
        finally:
            forget()


def forget():
    """The runs that are kept in memory."""
    rlhf.record.cache_clear()
    attention.record.cache_clear()
