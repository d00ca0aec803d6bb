"""What three pages of docs/ name is there, and the measure of memory notices what is planted."""
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def reliability():
    spec = importlib.util.spec_from_file_location("reliability", ROOT / "benchmarks" / "reliability.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["RELIABILITY", "PERFORMANCE", "SCALING"])
def test_every_file_and_target_that_is_named_is_there(page):
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    named = set(re.findall(r"\b((?:tests|rlscratch|benchmarks|docs|csrc)/[\w/]*\w(?:\.\w+)?)", text))
    assert len(named) > 3 and not [name for name in named if not (ROOT / name).exists()]
    targets = set(re.findall(r"make ([\w-]+)", text))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert targets and not [name for name in targets if f"\n{name}:" not in makefile]


@pytest.mark.parametrize(("sizes", "opened", "flat"), [
    ([40, 45, 45.5, 46], [6, 6, 6, 6], True), ([40, 45, 46, 48], [6, 6, 6, 6], False),
    ([40, 45, 45, 45], [6, 6, 6, 7], False), ([40, 45, 45, 45], [5, 6, 6, 6], True)])
def test_memory_or_files_that_grow_after_the_first_mark_are_noticed(sizes, opened, flat, reliability, monkeypatch,
                                                                    capsys):
    marks = iter([*zip(sizes, opened, strict=True)] * 2)
    monkeypatch.setattr(reliability, "used", lambda: next(marks))
    for work in ("trained", "answered"):
        monkeypatch.setattr(reliability, work, lambda: iter(["1 step", "2 steps", "3 steps", "4 steps"]))
    assert reliability.memory(0) is flat
    assert "4 steps" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux alone tells it there")
def test_memory_and_open_files_are_those_of_this_process(reliability, tmp_path):
    before = reliability.used()
    kept = np.ones(40_000_000)                              # 305 MiB: more than was ever freed here
    with open(tmp_path / "a", "w", encoding="utf-8"):
        after = reliability.used()
    assert after[0] - before[0] > 100 and after[1] == before[1] + 1 and kept[0] == 1
