"""The figure of the benchmarks shows each ratio that they measured, where it was measured."""
import importlib.util
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "benchmarks" / "picture.py"
FOUND = {
    "training_step": {"rows": [{"shape": "A", "cpu times": 2.0, "cpu range": "1.50-2.50",
                                "wall times": 3.0, "wall range": "3.00-3.25"}]},
    "kernels": {"rows": [{"what": "softmax", "times": 9.0, "times torch": 0.5},
                         {"what": "not in torch", "times": 9.0, "times torch": "-"}]},
    "q_learning": {"rows": [{"what": "64 runs at once", "times": 8.0}]},
    "limits": {"rows": [{"what": "a token", "figure": "3 GB/s"}]},
}

pytestmark = pytest.mark.compiled_only("draws what it is given", kernels=())


@pytest.fixture
def picture():
    spec = importlib.util.spec_from_file_location("picture", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_ratio_stands_once_with_its_range(picture):
    assert list(picture.ratios(FOUND)) == [
        ("training step, shape A", picture.CPU, 2, 1.5, 2.5), ("training step, shape A", picture.WALL, 3, 3, 3.25),
        ("softmax", picture.ALL, 0.5, 0.5, 0.5), ("q learning, 64 runs at once", picture.ALL, 8, 8, 8)]


def test_the_figure_names_each_work_and_none_is_drawn_of_nothing(picture, tmp_path):
    path = picture.draw(FOUND, tmp_path)
    words = re.findall(r">([^<>\n]+)</text>", path.read_text("utf-8"))
    assert {"training step, shape A", "softmax", "q learning, 64 runs at once"} <= set(words)
    assert picture.CPU in words and not {"a token", "not in torch"} & set(words)
    assert picture.draw({"limits": FOUND["limits"]}, tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
