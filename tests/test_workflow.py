""".github/workflows/test.yml runs what people run: calls of make, on the systems and the Pythons that we promise."""
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def listed(name):
    """The entries of a list of the matrix."""
    found, = re.findall(rf"^ +{name}: \[(.*)\]$", TEXT, re.M)
    return [entry.strip(' "') for entry in found.split(",")]


def jobs():
    """The text of each job by its name."""
    _, *parts = re.split(r"^  ([\w-]+):\n", TEXT.split("\njobs:\n")[1], flags=re.M)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_command_is_a_call_of_make_for_a_target_that_there_is():
    commands = re.findall(r"\brun: *(.*)", TEXT)
    targets = re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert len(commands) == len(jobs()) == 2
    for command in commands:
        make, target, *settings = command.split()
        assert make == "make" and target in targets
        assert all(re.fullmatch(r"[A-Z]+=\w+", setting) for setting in settings)


def test_nothing_of_others_runs_but_what_fetches_the_code_and_a_python():
    assert {used.split("@")[0] for used in re.findall(r"\buses: (\S+)", TEXT)} == {
        "actions/checkout", "actions/setup-python"}
    assert not {"shell:", "working-directory:", "container:", "services:"} & set(TEXT.split())


def test_both_systems_both_compilers_and_every_python():
    assert [name.split("-")[0] for name in listed("system")] == ["ubuntu", "macos"]
    assert listed("compiler") == ["gcc", "clang"]
    assert listed("python") == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def test_one_job_needs_the_core_and_one_does_without():
    core, alone = jobs()["test"], jobs()["numpy-alone"]
    assert 'RLSCRATCH_REQUIRE_C: "1"' in core and "RLSCRATCH_PURE" not in core
    assert 'RLSCRATCH_PURE: "1"' in alone and "RLSCRATCH_REQUIRE_C" not in alone
