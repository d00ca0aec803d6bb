"""The tour: a ladder of examples run as processes, and pages that need nothing but their folder.

What the chapters teach, and how they look in a browser: test_course.py.
"""
import argparse
import html.parser
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from colours import contrast, schemes
from rlscratch.documents import DOCUMENTS, entries, ledger
from rlscratch.documents.entry import VERDICTS
from rlscratch.documents.errata import errata
from rlscratch.report import equations, widgets
from rlscratch.report.tour import books, course, drawings, ladder, library, moving, page, questions
from rlscratch.report.tour import command as tour

pytestmark = pytest.mark.compiled_only("pages and processes, whichever backend a script computes on")

LONGEST = 60                # seconds of any rung's budget

GOOD = '''"""A first rung: it prints and draws.

Document 002 has this.

Look for the <b>line</b>.
"""
BUDGET = 5  # seconds of processor time
from rlscratch.report import figures
from rlscratch.formulas.ppo import ratio
print("ratio", round(ratio([-0.5], [-1.0])[0], 3), "<script>alert(1)</script> ≈")
fig, ax = figures.new()
ax.plot([0, 1], [0, 1])
figures.save(fig, "01_line", "A line, from 0 to 1 & back.")
'''
BAD = '"""A second rung"""\nBUDGET = 5\nprint("so far")\nraise SystemExit("it <broke>")\n'


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    (folder / "01_line.py").write_text(GOOD, "utf-8")
    (folder / "02_bad.py").write_text(BAD, "utf-8")
    (folder / "notes.py").write_text("no rung", "utf-8")
    return folder


@pytest.fixture(scope="module")
def results(examples):
    return ladder.run_all(ladder.rungs(examples), quiet=True)


@pytest.fixture(scope="module", autouse=True)
def still():
    """Nothing trains for a figure that moves: test_widgets.py looks at those."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(widgets, "fragment", lambda name: "")
        patch.setattr(moving, "shipped", lambda: [])
        yield


@pytest.fixture(scope="module")
def rows():
    return ledger.table()


@pytest.fixture(scope="module")
def built(rows, results):
    return course.build(rows, results, questions=ladder.run_all(questions.shipped(), quiet=True))


@pytest.fixture(scope="module")
def alone(rows):
    """The course of one number, without examples."""
    return course.build(rows[:1], [])


def squeezed(text):
    return re.sub(r"\s+", " ", text)


def as_shown(text):
    """A sentence of a docstring as a reader of the page sees it: π for pi, w_t with its index."""
    return squeezed("".join(Tags(equations.prose(text)).text))


def numbered(text):
    """The numbers of the equations of a derivation: at the ends of lines, or before a remark."""
    return {int(n) for n in re.findall(r"^    .*\((\d+)\)(?:$|   )", text, re.M)}


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, and all text outside style and script."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        self.open.append("/" + tag)

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


# ---------------------------------------------------------------- the ladder

def test_a_rung_is_read_without_being_run(examples):
    first, second = ladder.rungs(examples)
    assert (first.name, first.title, first.budget) == ("01_line", "A first rung: it prints and draws", 5)
    assert first.lesson == "Document 002 has this.\n\nLook for the <b>line</b>."
    assert (second.title, second.lesson, second.source) == ("A second rung", "", BAD)


def test_a_rung_shows_what_it_printed_and_drew(results):
    result = results[0]
    assert result.output == "ratio 1.649 <script>alert(1)</script> ≈" and result.error == ""
    (figure,) = result.figures
    assert figure.name == "01_line" and figure.caption == "A line, from 0 to 1 & back." and b"<svg" in figure.svg
    assert 0 < result.seconds <= result.rung.budget and not result.recorded


def test_a_failure_is_a_result_and_the_others_are_run(results):
    assert [result.rung.name for result in results] == ["01_line", "02_bad"]
    assert results[1].output == "so far" and "exit status 1" in results[1].error and "it <broke>" in results[1].error


def test_a_rung_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "LEAST", 1)
    script = tmp_path / "01_endless.py"
    script.write_text('"""Endless"""\nBUDGET = 0.1\nprint("begun", flush=True)\nwhile True: pass\n')
    result = ladder.run(ladder.read(script))
    assert result.output == "begun" and result.error == "stopped by signal 9; patience ends after 2 s"


@pytest.mark.parametrize("source, expected", [
    ("BUDGET = 3\n", "has no docstring; expected a title in its first line"),
    ('"""T"""\n', "BUDGET in .* is missing; expected one line, BUDGET = seconds > 0"),
    ('"""T"""\nBUDGET = "long"\n', r"BUDGET in .* is \['long'\]; expected"),
    ('"""T"""\nBUDGET = 0\n', r"BUDGET in .* is \[0\]; expected"),
    ('"""T\n', "is not Python"),
])
def test_a_script_that_is_no_rung_says_what_is_missing(tmp_path, source, expected):
    script = tmp_path / "01_x.py"
    script.write_text(source)
    with pytest.raises(ValueError, match=expected):
        ladder.read(script)
    (broken,) = ladder.run_all(ladder.rungs(tmp_path), quiet=True)
    assert re.search(expected, broken.error)


def test_the_project_s_own_rungs_are_well_made():
    rungs = ladder.rungs(ladder.folder())
    numbers = [rung.name[:2] for rung in rungs]
    assert len(set(numbers)) == len(numbers) and {"04", "11", "12"} <= set(numbers)
    for rung in rungs:
        assert not rung.fault, rung.fault
        assert rung.budget <= LONGEST, rung.name
        assert books.cited(rung.lesson), f"{rung.name} names no document"


def test_the_tour_takes_a_minute_on_two_cores():
    rungs = [*ladder.rungs(ladder.folder()), *questions.shipped()]
    assert sum(rung.budget for rung in rungs if rung.budget <= ladder.LONG) <= 110


def test_the_chapters_hold_the_whole_ladder_and_its_readme_has_them():
    rungs = ladder.rungs(ladder.folder())
    chapters = [ladder.in_chapter(rungs, str(i)) for i in range(1, len(ladder.CHAPTERS) + 1)]
    assert sorted((rung for chapter in chapters for rung in chapter), key=lambda rung: rung.number) == rungs
    assert all(chapters[:7]) and chapters == [ladder.in_chapter(rungs, name) for name in ladder.CHAPTERS]
    told = [number for numbers in ladder.CHAPTERS.values() for number in numbers]
    assert len(told) == len(set(told))
    readme = ladder.folder() / "README.md"
    if readme.exists():
        text = readme.read_text("utf-8")
        with_rungs = [name for name, chapter in zip(ladder.CHAPTERS, chapters, strict=True) if chapter]
        assert re.findall(r"^## (.+)", text, re.MULTILINE) == with_rungs
        assert re.findall(r"\]\((\w+)\.py\)", text) == [rung.name for chapter in chapters for rung in chapter]


def test_rungs_are_chosen_by_number_and_by_chapter():
    rungs = ladder.rungs(ladder.folder())
    assert [rung.name[:2] for rung in ladder.numbered(rungs, "38, 5")] == ["05", "38"]
    assert [rung.name[:2] for rung in ladder.in_chapter(rungs, "gradients")][:3] == ["07", "18", "08"]
    assert ladder.chapter_of(replace(rungs[0], path=rungs[0].path.with_name("99_new.py"))) == "Beyond"
    with pytest.raises(ValueError, match=r"only is '5,99'; expected numbers of examples, .* there is no 99"):
        ladder.numbered(rungs, "5,99")
    for unclear in ("20", "an", "nowhere"):
        with pytest.raises(ValueError, match=f"chapter is '{unclear}'; expected one of 1 Sampling; 2 Values"):
            ladder.in_chapter(rungs, unclear)


STOPPED = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)        # a shell's background jobs inherit that it is ignored
from rlscratch.report.tour import ladder
print("ready", flush=True)
ladder.run_all(ladder.rungs(Path(sys.argv[1])), quiet=True)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_tour_that_is_stopped_leaves_no_child_behind(sent, tmp_path):
    pids = tmp_path / "pids"
    pids.mkdir()
    endless = f"""'An endless rung'
BUDGET = 1
import os, time
open(f"{pids}/{{os.getpid()}}", "w").close()
time.sleep(600)
"""
    for number in "123":
        (tmp_path / f"0{number}_endless.py").write_text(endless)
    stopped = subprocess.Popen([sys.executable, "-c", STOPPED, str(tmp_path)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    running = min(2, os.cpu_count())
    while len(begun := list(pids.iterdir())) < running:
        assert stopped.poll() is None
        time.sleep(0.05)
    stopped.send_signal(sent)
    _, err = stopped.communicate(timeout=60)
    assert "KeyboardInterrupt" in err and stopped.returncode != 0
    assert len(list(pids.iterdir())) == running         # and no other was begun
    for path in begun:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name), 0)


# ---------------------------------------------------------------- the pages

def test_every_entry_is_on_the_page_of_its_document_with_its_verdict_or_kind(built, rows):
    counted, text = {}, {}
    for number in DOCUMENTS:
        shown = Tags(built[f"document-{number}.html"])
        text[number] = squeezed("".join(shown.text))
        counted |= {(number, attributes["id"]): attributes["data-counted"] for tag, attributes in shown.tags
                    if tag == "tr" and "data-counted" in attributes}
    assert counted == {(entry.document, page.slug(entry.id)): entry.counted for entry in entries()}
    for entry in entries():
        for part in (entry.claim, entry.note, entry.formula, entry.proof):
            assert squeezed(part) in text[entry.document], entry.id
    assert len(counted) == len(rows)


def test_where_text_and_formula_part_is_told_in_an_appendix_and_not_at_the_beginning(built):
    parting = [finding for finding in errata() if finding.verdict == "differs"]
    assert len(parting) >= 9
    for finding in parting:
        before, after = built[f"document-{finding.document}.html"].split('<section id="appendix"')
        assert all(squeezed(part) in squeezed("".join(Tags(after).text)) for part in (finding.printed, finding.holds))
        assert finding.printed not in html.unescape(built["index.html"])
        assert before.count("<table") >= 1


def test_every_formula_is_listed_and_derived_in_one_chapter(built, rows):
    shelf = library.derivations([row.entry for row in rows], [])
    assert {d.name for d in shelf} >= {"distribution", "ppo", "grpo", "kl", "td", "process"}
    listed = Tags(built["formulas.html"])
    links = set(listed.attributes("href"))
    for derivation in shelf:
        source = built[course.home(derivation).file]
        text = squeezed("".join(Tags(source).text))
        assert (ladder.ROOT / derivation.file).is_file() and (ladder.ROOT / derivation.tests).is_file()
        homes = [c for c in course.CHAPTERS if f' id="{page.slug(derivation.module)}"' in built[c.file]]
        assert derivation.formulas and homes == [course.home(derivation)]
        for formula in derivation.formulas:
            assert squeezed(formula.signature) in text and as_shown(formula.summary) in text
            assert f"{course.home(derivation).file}#{formula.anchor}" in links and f' id="{formula.anchor}"' in source
    ppo = next(d for d in shelf if d.module == "rlscratch.formulas.ppo")
    assert ppo.formulas[0].signature == "ratio(logp, logp_old)" and ppo.formulas[0].anchor == "f-ppo-ratio"
    assert ppo.formulas[0].equations == (("ppo", 1),)


def test_a_derivation_loses_no_step(rows):
    for derivation in library.derivations([], []):
        steps = course.steps(derivation)
        told = " ".join(part if kind != "equations" else " ".join(f"({n})" for n, _ in part) for kind, part in steps)
        plain = [part for part in page.paragraphs(derivation.text) if not part.startswith("    ")]
        assert all(part in told for part in plain), derivation.module
        assert {f"({n})" for n in numbered(derivation.text)} <= set(re.findall(r"\(\d+\)", told)), derivation.module


def test_an_example_knows_the_formulas_it_calls_and_the_documents_it_cites(built):
    asked = built["4-ppo-grpo-and-kl.html"].split('id="f-ppo-ratio"')[1].split('class="formula-item"')[0]
    assert '<a href="1-sampling.html#01_line">' in asked
    assert '<a href="1-sampling.html#01_line">' in built["document-002.html"].split('id="rungs"')[1]


def test_every_finding_is_on_its_page_with_its_answer_and_what_its_script_printed(built):
    shown, asked = built["questions.html"], questions.shipped()
    text = re.sub(r"\s+", "", "".join(Tags(shown).text))
    assert len(asked) >= 10
    for question in asked:
        assert all(re.sub(r"[\s-]+", "", part) in text.replace("-", "") for part in (
            question.title, as_shown(question.lesson), question.source))
        assert shown.count(f'<section class="finding" id="{question.name}"') == 1
    assert shown.count("Back to the questions") == len(asked) and "Recorded" not in shown
    asked = built["4-ppo-grpo-and-kl.html"].split('id="f-ppo-ppo_clip_grad"')[1]
    assert '<a href="questions.html#loss_of_zero">' in asked


def test_a_finding_that_fails_is_told_and_one_that_lacks_a_part_is_named(rows, tmp_path):
    question = replace(questions.shipped()[0], source="raise SystemExit('it <broke>')")
    one = course.build(rows[:1], [], questions=[ladder.run(question)])
    assert "Something failed" in one["index.html"]
    assert "This script failed" in one["questions.html"] and "it &lt;broke&gt;" in one["questions.html"]
    (tmp_path / "bad.md").write_text("# A question?\n\nAn answer.\n", "utf-8")
    with pytest.raises(ValueError, match=r"bad\.md is no finding; expected a question"):
        questions.read(tmp_path / "bad.md")


def test_where_docs_is_not_there_the_course_has_no_findings(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "ROOT", tmp_path)
    assert questions.shipped() == []
    assert "questions.html" not in alone and "questions.html" not in Tags(alone["index.html"]).attributes("href")


def test_what_an_example_says_is_text_and_never_markup(built, rows):
    whole = "".join(built.values())
    assert "<script>alert(1)" not in whole and "&lt;script&gt;alert(1)" in whole
    assert "it <broke>" not in whole and "it &lt;broke&gt;" in whole
    entry = replace(rows[0].entry, claim='<img src=x onerror="alert(2)">', section="</script>")
    planted = replace(rows[0], entry=entry)
    one = "".join(course.build([planted], []).values())
    assert "<img src=x" not in one and "&lt;img src=x" in one and "\\u003c/script>" in one


def test_the_api_reference_is_linked_where_it_stands(rows, alone, tmp_path):
    assert tour._reference(tmp_path / "tour") == ""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.html").touch()
    assert tour._reference(tmp_path / "tour") == "../docs/index.html"
    one = course.build(rows[:1], [], reference="../docs/index.html")
    assert "../docs/index.html" in Tags(one["index.html"]).attributes("href") and "make docs" in alone["index.html"]


def test_a_figure_is_inside_its_chapter_for_both_kinds_of_screen_and_its_letters_are_letters(built, results):
    (figure,) = results[0].figures
    assert figure.narrow and b"<svg" in figure.narrow
    shown = built["1-sampling.html"].split('id="figure-01_line"')[1].split("</figure>")[0]
    assert re.findall(r'<svg viewBox="[\d. ]+" class="(\w+)" role="img"', shown) == ["wide", "narrow"]
    assert ">0.2</text>" in shown and "A line, from 0 to 1 &amp; back.</figcaption>" in shown
    assert "<metadata" not in shown and "<style" not in shown and "#000000" not in shown and 'class="axis"' in shown
    assert "data:image" not in "".join(built.values())


def test_what_stands_on_an_image_keeps_its_colours_and_what_stands_beside_it_follows_the_page():
    svg = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90 90"><path d="M 10 70 L 60 70 L 60 20 z"
        style="fill: #ffffff"/><image x="10" y="-20" width="50" height="50"/><text style="font: 10px x" x="30" y="40">on
        </text><text style="font: 10px x" x="80" y="90">beside</text><path d="M 0 0 L 9 0" style="fill: #ffffff"/>
        </svg>"""
    shown = drawings.inline(ladder.Figure("one", svg.encode(), ""), "It")
    assert '<path d="M10 70h50v-50z" style="fill:#ffffff"/>' in shown
    assert '<path d="M0 0h9" style="fill:var(--paper)"/>' in shown
    assert re.findall(r"<text ([^>]*)>", shown) == ['x="30" y="40" style="fill:#000"', 'x="80" y="90"']
    assert 'style="max-width:120px;font-size:10px"' in shown


def outside(source, beside=()):
    """Whatever in a page would be fetched or leads out of it and of what stands beside it."""
    tags = Tags(source)
    links = [value for name in ("src", "href", "srcset", "action", "poster", "data") for value in tags.attributes(name)]
    return [value for value in links if not value.startswith(("#", "data:")) and value.split("#")[0] not in beside] + [
        *re.findall(r"@import[^;]*|url\((?!['\"]?data:|#)[^)]*\)|\bfetch\(|XMLHttpRequest|importScripts", source)]


def test_the_pages_refer_to_nothing_outside_of_their_folder(built):
    assert {name: outside(source, built) for name, source in built.items() if outside(source, built)} == {}
    assert all("default-src 'none'" in source for name, source in built.items() if name.endswith(".html"))
    for planted in ('<img src="https://a.b/c.png">', '<link href="style.css">', "<style>@import 'x';</style>",
                    "<style>p { background: url(http://a.b) }</style>"):
        assert outside(built["index.html"] + planted, built) != [], planted


def test_ids_are_unique_and_every_link_arrives_on_its_page(built):
    tags = {name: Tags(source) for name, source in built.items() if name.endswith(".html")}
    ids = {name: tag.attributes("id") for name, tag in tags.items()}
    for name, tag in tags.items():
        assert len(ids[name]) == len(set(ids[name])), [i for i in ids[name] if ids[name].count(i) > 1]
        for link in tag.attributes("href"):
            there, _, anchor = link.partition("#")
            assert not anchor or anchor in ids[there or name], (name, link)
        labels = {one for value in tag.attributes("aria-labelledby") for one in value.split()}
        assert labels <= set(ids[name])
    found = json.loads(re.search(r'id="index">(.*?)</script>', built["index.html"])[1])
    assert all(not anchor or anchor in ids[file] for file, items in found for _, _, anchor, _ in items)


def test_tables_have_captions_and_headings_have_an_order(built):
    for name in filter(lambda name: name.endswith(".html"), built):
        tags = Tags(built[name])
        assert dict(tags.tags)["html"]["lang"] == "en"
        names = [tag for tag, _ in tags.tags]
        assert names.count("table") == names.count("caption")
        assert all("scope" in attributes for tag, attributes in tags.tags if tag == "th")
        levels = [int(tag[1]) for tag in names if re.fullmatch(r"h[1-6]", tag)]
        assert levels.count(1) == 1 and all(b <= a + 1 for a, b in pairwise(levels)), name


def test_text_stands_out_from_its_ground_in_light_and_in_dark(built):
    style = built["course.css"]
    assert contrast("#000000", "#ffffff") == pytest.approx(21) and contrast("#777777", "#ffffff") < 4.5
    for colour in schemes(style):
        pairs = [(name, f"{name}-bg") for name in map(str.lower, VERDICTS) if name in colour]
        pairs += [(ink, ground) for ink in ("ink", "soft", "link") for ground in ("paper", "raised", "sunken")]
        assert len(pairs) > 9
        for ink, ground in pairs:
            assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground, colour[ink])


def test_numbers_that_do_not_hold_are_shown_as_failed(rows, alone):
    row = replace(rows[0], complaints=["computed 3, pinned 16"])
    one = course.build([row], [])
    assert all("computed 3, pinned 16" in one[name] for name in ("index.html", f"document-{row.entry.document}.html"))
    assert "Something failed" in one["index.html"] and "Something failed" not in alone["index.html"]


def test_a_page_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    index = tmp_path / "new" / "index.html"
    page.write(index, "first")

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        page.write(index, "second")
    assert [path.name for path in index.parent.iterdir()] == ["index.html"] and index.read_text() == "first"


# ---------------------------------------------------------------- the command

@pytest.fixture
def one_finding(monkeypatch):
    """All of them run for `built`; here it is only told that they are run."""
    first = questions.shipped()[:1]
    monkeypatch.setattr(questions, "shipped", lambda: first)


def command(*argv):
    parser = argparse.ArgumentParser()
    tour.add_arguments(parser)
    return tour.run(parser.parse_args([*argv, "--quiet"]))


def test_the_tour_writes_the_page_and_tells_of_an_example_that_failed(
        tmp_path, examples, one_finding, monkeypatch, capsys):
    monkeypatch.setattr(ladder, "folder", lambda: examples)
    assert command("--out", str(tmp_path / "tour"), "--json") == 1
    out, err = capsys.readouterr()
    said = json.loads(out.splitlines()[-1])
    assert said["entries"] == len(entries()) == sum(map(sum, (of.values() for of in said["counts"].values())))
    assert said["failed_rungs"] == ["02_bad"] and said["failed_entries"] == []
    assert [*said["rungs"]] == ["01_line", "02_bad"]
    assert "02_bad failed" in err
    written = (tmp_path / "tour" / "1-sampling.html").read_text("utf-8")
    assert "This example failed" in written and "it &lt;broke&gt;" in written and "A first rung" in written
    assert "Something failed" in (tmp_path / "tour" / "index.html").read_text("utf-8")


def test_without_examples_the_tour_is_the_ledger_and_says_where_the_ladder_is(
        tmp_path, one_finding, monkeypatch, capsys):
    monkeypatch.setattr(ladder, "folder", lambda: None)
    assert command("--out", str(tmp_path)) == 0
    written = (tmp_path / "index.html").read_text("utf-8")
    assert ladder.ABSENT in written and (tmp_path / "document-004.html").exists()
    assert "0 examples" in capsys.readouterr().out


def test_long_examples_wait_for_all_and_are_shown_as_recorded(tmp_path, one_finding, monkeypatch, capsys):
    folder = tmp_path / "examples"
    (folder / "expected").mkdir(parents=True)
    (folder / "01_long.py").write_text('"""Long"""\nBUDGET = 300\nprint("ran")\n')
    (folder / "02_short.py").write_text('"""Short"""\nBUDGET = 0.001\nprint("ran, too")\n')
    (folder / "expected" / "01_long.txt").write_text("ran once\n")
    monkeypatch.setattr(ladder, "folder", lambda: folder)

    def shown(*options):
        assert command("--out", str(tmp_path), *options) == 0
        shown = ("1-sampling.html", "index.html", "questions.html")
        return "".join((tmp_path / name).read_text("utf-8") for name in shown)

    written = shown()
    assert ">ran once</pre>" in written and ">ran, too</pre>" in written
    assert written.count("Recorded, not run for this") == 1
    assert "shown as recorded: 01." in written and "tour --only 01</code> runs it" in written
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith(f"1 examples and {len(questions.shipped())} findings in")
    assert re.fullmatch("over budget, in seconds of processor time: 02_short 0\\.. of 0.001", out[-1])
    written = shown("--all")
    assert ">ran</pre>" in written and ">ran, too</pre>" in written and "Recorded" not in written
    written = shown("--only", "1")
    assert written.count("Recorded, not run for this page.") == len(questions.shipped())
    assert ">ran</pre>" in written and ">ran, too</pre>" not in written and "shown as recorded: 02." in written


def test_a_file_where_the_folder_should_be_is_refused_before_anything_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ladder, "run_all", None)
    file = tmp_path / "file"
    file.write_text("mine")
    assert command("--out", str(file)) == 2
    assert "is a file; expected a folder" in capsys.readouterr().err and file.read_text() == "mine"
    assert command("--out", str(file / "tour")) == 1
    assert f"cannot write {file / 'tour' / 'index.html'}" in capsys.readouterr().err and file.read_text() == "mine"
