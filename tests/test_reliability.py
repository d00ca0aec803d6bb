"""docs/RELIABILITY.md names files and commands that are there, and its measure of memory notices what is planted."""
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "RELIABILITY.md").read_text("utf-8")


@pytest.fixture
def reliability():
    spec = importlib.util.spec_from_file_location("reliability", ROOT / "benchmarks" / "reliability.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_file_and_target_that_is_named_is_there():
    named = set(re.findall(r"`((?:tests|rlscratch|benchmarks|docs|csrc)/[\w/.]+)`", TEXT))
    assert len(named) > 5 and not [name for name in named if not (ROOT / name).exists()]
    targets = set(re.findall(r"make ([\w-]+)", TEXT))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert targets and not [name for name in targets if f"\n{name}:" not in makefile]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux alone tells it there")
@pytest.mark.parametrize(("size", "opened", "flat"), [(1, False, True), (500_000, False, False), (1, True, False)])
def test_memory_or_files_that_grow_are_noticed(size, opened, flat, reliability, monkeypatch, tmp_path, capsys):
    kept = []

    def work():
        for number in range(5):
            kept.append(np.ones(size))                      # 4 MB each
            if opened:
                kept.append(open(tmp_path / str(number), "w", encoding="utf-8"))    # noqa: SIM115
            yield f"{number} steps"

    monkeypatch.setattr(reliability, "answered", work)
    monkeypatch.setattr(reliability, "trained", work)
    assert reliability.memory(0) is flat
    assert "4 steps" in capsys.readouterr().out
    for file in kept:
        getattr(file, "close", list)()
