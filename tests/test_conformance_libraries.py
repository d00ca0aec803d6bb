"""Every sentence about another library stands in one file, with the version that it was checked against."""
import importlib
import re
import sys
from pathlib import Path

import pytest

from rlscratch import conformance
from rlscratch.__main__ import main
from rlscratch.conformance import adapters, libraries

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = re.compile(rf"\b({'|'.join(map(re.escape, libraries.NAMES))}|PPOTrainer)\b", re.I)
FILES = [path for path in sorted((ROOT / "rlscratch").rglob("*.py")) if "conformance" not in path.parts]
FILES += [ROOT / "README.md", *sorted((ROOT / "docs" / "findings").glob("*.md"))]


def unlisted(text, file, known):
    """The places that name a library and stand in no listed sentence."""
    text = libraries.plain(text)
    for sentence in known:
        if file in sentence.files:
            text = text.replace(sentence.says, " ")
    return [text[max(0, m.start() - 40):m.end() + 40] for m in LIBRARY.finditer(text)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_names_a_library_but_in_a_listed_sentence(path):
    file = path.relative_to(ROOT).as_posix()
    assert not unlisted(path.read_text("utf-8"), file, libraries.sentences())


@pytest.mark.parametrize("sentence", libraries.sentences(), ids=lambda sentence: sentence.says[:40])
def test_each_listed_sentence_is_said_and_names_what_was_checked(sentence):
    for file in sentence.files:
        assert sentence.says in libraries.plain((ROOT / file).read_text("utf-8"))
    named = {name for name in libraries.NAMES if name in sentence.says}
    assert named == set(sentence.checked)
    for version, how in sentence.checked.values():
        assert re.fullmatch(r"\d+\.\d+[.\d]*|\d{4}-\d{2}", version) and how in ("run", "read")


def test_a_sentence_that_is_not_listed_would_be_noticed():
    known = libraries.sentences()
    assert unlisted('"""veRL adds 1e-7."""', "rlscratch/formulas/grpo.py", known)
    changed = '"""1e-4 in TRL and GRPO-Zero, 1e-5 in veRL, 1e-8 in open-instruct, 1e-9 in OpenRLHF"""'
    assert unlisted(changed, "rlscratch/formulas/grpo.py", known)
    assert not unlisted(changed.replace("1e-5", "1e-6"), "rlscratch/formulas/grpo.py", known)


def test_the_command_shows_what_a_newer_version_may_have_changed(monkeypatch, capsys):
    count = len(libraries.sentences())
    monkeypatch.setattr(libraries, "installed", lambda library: {"TRL": "9.9.9"}.get(library, ""))
    assert main(["libraries"]) == 0
    out = capsys.readouterr().out
    assert "TRL 1.16.0, read; 9.9.9 is installed" in out and "veRL 0.9.1, read;" not in out
    monkeypatch.setattr(libraries, "installed", lambda library: "")
    assert main(["libraries"]) == 0 and f"0 of {count} sentences" in capsys.readouterr().out
    assert main(["libraries", "--all"]) == 0 and f"{count} of {count} sentences" in capsys.readouterr().out


def test_a_library_that_is_not_installed_has_no_version():
    assert libraries.installed("GRPO-Zero") == "" and libraries.installed("NeMo-RL") == ""


def test_the_page_of_options_is_a_run_of_each_adapter(monkeypatch, tmp_path):
    row = adapters.Adapted("eps 0", lambda rewards: rewards - rewards.mean(1, keepdims=True), "group_advantage", "")
    monkeypatch.setattr(adapters, "available", lambda: {"trl": "", "verl": "veRL: verl not installed"})
    monkeypatch.setattr(adapters, "adapted", lambda name: ("1.0", [row]))
    monkeypatch.setattr(libraries, "examine", lambda function, like, framework: conformance.examine(function, like))
    assert main(["libraries", "--rosetta", str(tmp_path / "page.md")]) == 0
    page = (tmp_path / "page.md").read_text("utf-8")
    assert "## TRL 1.0" in page and "| eps 0 | r - mean |  |" in page and "Not run: veRL: verl not installed." in page


def test_the_adapters_say_why_they_are_skipped():
    reasons = adapters.available()
    assert set(reasons) == set(adapters.LIBRARIES)
    assert all(not reason or re.fullmatch(r"\w+: .* not installed", reason) for reason in reasons.values())


def test_packages_stand_in_while_one_of_their_files_is_read(tmp_path):
    (tmp_path / "__init__.py").write_text("raise RuntimeError('its own imports')", "utf-8")
    (tmp_path / "part.py").write_text("import heavy_thing\nfrom heavy_thing import answer", "utf-8")
    with adapters.standing_in({"stood_in": str(tmp_path)}, heavy_thing={"answer": 42}):
        assert importlib.import_module("stood_in.part").answer == 42
    assert "heavy_thing" not in sys.modules and "stood_in" not in sys.modules
