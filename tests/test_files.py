"""Files are whole or absent, and JSON that is damaged is named with its file and field."""
import json
import os

import pytest

from rlscratch import files

CONTENT = {"step": 3, "facts": {"seconds": 1.5, "names": ["a", None]}, "on": True}


def test_sealed_json_comes_back_without_its_seal(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, CONTENT, seal=True)
    assert files.SEAL in json.loads(path.read_text("utf-8"))
    assert files.read_json(path, sealed=True) == CONTENT
    files.write_json(path, CONTENT)
    assert files.read_json(path) == json.loads(path.read_text("utf-8")) == CONTENT


def test_another_number_breaks_the_seal_and_another_layout_does_not(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, CONTENT, seal=True)
    whole = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(whole), "utf-8")
    assert files.read_json(path, sealed=True) == CONTENT
    path.write_text(json.dumps(whole | {"step": 4}), "utf-8")
    with pytest.raises(ValueError, match=r"a\.json is not as it was written: its sha256 is another"):
        files.read_json(path, sealed=True)


@pytest.mark.parametrize(("text", "says"), [
    (b"", "a.json is no JSON: "), (b'{"a": 1', "a.json is no JSON: "), (b'{"a": "\xff"}', "a.json is no JSON: "),
    (b"[" * 10**6, "a.json is no JSON: "), (b"[1, 2]", r"a.json is \[1, 2\]; expected one JSON object"),
    (b"null", "a.json is None; expected one JSON object")])
def test_what_is_no_object_is_named_with_its_file(text, says, tmp_path):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError, match=says):
        files.read_json(tmp_path / "a.json")


@pytest.mark.parametrize(("read", "says"), [
    (lambda c: c["steps"], "the field 'steps' of a.json is missing; it has 'step', 'facts', 'on'"),
    (lambda c: c["facts"]["rng"], "the field 'rng' of a.json is missing; it has 'seconds', 'names'"),
    (lambda c: c.get_as(int, "facts"), "the field 'facts' of a.json is {.*}; expected an integer"),
    (lambda c: c.get_as(int, "on"), "the field 'on' of a.json is True; expected an integer"),
    (lambda c: c.get_as((str, type(None)), "step"), "the field 'step' of a.json is 3; expected a text or null")])
def test_a_field_that_is_missing_or_of_another_type_is_named(read, says):
    with pytest.raises(ValueError, match=says):
        read(files.parsed(json.dumps(CONTENT), "a.json"))


def test_fields_of_the_right_type_are_given():
    content = files.parsed(json.dumps(CONTENT), "a.json")
    assert (content.get_as(int, "step"), content.get_as(bool, "on")) == (3, True)
    assert content["facts"].get_as((int, float), "seconds") == 1.5


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    kept = [".part", "model.part", ".hidden.7", "a.json", ".a.json.part"]
    for name in [*kept, ".model-3.safetensors.77.part", f".a.json.{os.getpid()}.part"]:
        (tmp_path / name).write_bytes(b"half")
    files.remove_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


@pytest.mark.parametrize("fails", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(fails, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old", "utf-8")

    def write(part):
        part.write_text("half", "utf-8")
        raise fails

    with pytest.raises(type(fails)) as raised:
        files.write_atomic(path, write)
    assert [*tmp_path.iterdir()] == [path] and path.read_text("utf-8") == "old"
    assert getattr(raised.value, "filename", str(path)) == str(path)


@pytest.mark.parametrize("fails", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_line_is_added_whole_or_not_at_all(fails, tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    files.append_line(path, {"a": 1})

    def fail(_):
        raise fails

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", fail)
        files.append_line(path, {"a": 2})                               # which asks for no flush
        with pytest.raises(type(fails)) as raised:
            files.append_line(path, {"a": 3}, sync=True)
    assert path.read_text("utf-8") == '{"a": 1}\n{"a": 2}\n'
    assert getattr(raised.value, "filename", str(path)) == str(path)
