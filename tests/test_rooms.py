"""The faces of rooms: what a room's name opens, whatever file inside holds it."""
import importlib
import pkgutil
import subprocess
import sys

import pytest

import rlscratch
from rlscratch import formulas

LAZY = """
import sys, time
start = time.perf_counter()
import rlscratch as rl
assert time.perf_counter() - start < 0.1
assert "numpy" not in sys.modules and not [name for name in sys.modules if name.startswith("rlscratch.")]
assert {"formulas", "mdp", "train", "__version__"} <= set(dir(rl))
print(rl.formulas.grpo.group_advantage([10, 5, -10]).round(2).tolist())
assert "rlscratch.transformer" not in sys.modules
assert rl.generate.generate and rl.mdp.MDP and rl.transformer.Transformer
"""


@pytest.mark.parametrize(("room", "name"), [("generate", "beam_search"), ("mdp", "best_stationary")])
def test_where_a_function_and_its_file_have_one_name_the_room_shows_the_function(room, name):
    file = importlib.import_module(f"rlscratch.{room}.{name}")
    face = importlib.import_module(f"rlscratch.{room}")
    assert callable(getattr(face, name)) and getattr(face, name) is getattr(file, name)


@pytest.mark.parametrize("room", ["mdp", "expectations", "bpe", "generate"])
def test_a_room_says_what_it_exports_and_has_it(room):
    face = importlib.import_module(f"rlscratch.{room}")
    assert face.__all__ and all(hasattr(face, name) for name in face.__all__)


def test_importing_the_package_opens_no_room_and_asking_opens_that_one():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[0.8, 0.32, -1.12]\n"), done.stderr


def test_an_unknown_name_is_an_error_that_lists_the_rooms():
    with pytest.raises(AttributeError, match=r"^rlscratch has no 'formula'; its rooms are check, .*, formulas, .*cli$"):
        print(rlscratch.formula)


@pytest.mark.parametrize(("package", "listed"), [(rlscratch, rlscratch.ROOMS), (formulas, formulas.__all__)])
def test_the_lists_are_what_the_folders_hold(package, listed):
    assert set(listed) == {found.name for found in pkgutil.iter_modules(package.__path__)} - {"__main__"}
