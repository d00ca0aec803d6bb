"""Every sentence about another library stands in one file, with the version that it was checked against."""
import re
from pathlib import Path

import pytest

from rlscratch.__main__ import main
from rlscratch.conformance import libraries

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = re.compile(rf"\b({'|'.join(map(re.escape, libraries.NAMES))}|PPOTrainer)\b", re.I)
FILES = [path for path in sorted((ROOT / "rlscratch").rglob("*.py")) if path.parent.name != "conformance"]


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
