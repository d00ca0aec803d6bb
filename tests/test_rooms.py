"""The faces of rooms: what a room's name opens, whatever file inside holds it."""
import importlib

import pytest


@pytest.mark.parametrize(("room", "name"), [("generate", "beam_search"), ("mdp", "best_stationary")])
def test_where_a_function_and_its_file_have_one_name_the_room_shows_the_function(room, name):
    file = importlib.import_module(f"rlscratch.{room}.{name}")
    face = importlib.import_module(f"rlscratch.{room}")
    assert callable(getattr(face, name)) and getattr(face, name) is getattr(file, name)


@pytest.mark.parametrize("room", ["mdp", "expectations", "bpe", "generate"])
def test_a_room_says_what_it_exports_and_has_it(room):
    face = importlib.import_module(f"rlscratch.{room}")
    assert face.__all__ and all(hasattr(face, name) for name in face.__all__)
