"""The chapters: what each has, how long it takes, and how all pages look and work in a browser.

Here the rungs are shown as recorded, with a figure of one that is run.
"""
import html
import json
import re
from importlib.resources import files

import pytest

from rlscratch.documents import entries, ledger
from rlscratch.report import glossary, widgets
from rlscratch.report.tour import course, ladder, outputs, page, pictures, questions
from test_report import GOOD, Tags

pytestmark = pytest.mark.compiled_only("pages, whichever backend their numbers come from")

NAMES = [chapter.file for chapter in course.CHAPTERS]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rungs")
    (folder / "01_line.py").write_text(GOOD, "utf-8")
    shown = ladder.run(ladder.read(folder / "01_line.py"))
    results = [shown, *map(ladder.recorded, ladder.shipped())]
    return course.build(ledger.table(), results, questions=list(map(ladder.recorded, questions.shipped())),
                        moving=dict.fromkeys(widgets.TRAINED, ""))      # test_widgets.py looks at them


@pytest.fixture(scope="module")
def folder(pages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tour")
    course.write(folder, pages)
    return folder


# ---------------------------------------------------------------- what a chapter has

@pytest.mark.parametrize("chapter", course.CHAPTERS, ids=lambda chapter: chapter.name)
def test_a_chapter_has_its_parts_in_order(pages, chapter):
    shown = pages[chapter.file]
    parts = ['<p class="lead">' + chapter.question, '<section id="insight"', '<svg class="picture"',
             '<div class="equation"', '<pre class="code">', '<table class="numbers"', '<section id="try"',
             '<section id="proof"', '<section id="next"']
    places = {part: shown.index(part) for part in parts}
    assert sorted(places.values())[0] == places[parts[0]] and places[parts[1]] < places[parts[2]] < places[parts[6]]
    assert places[parts[6]] < places[parts[7]] < places[parts[8]]
    for code in re.findall(r'<pre class="code"><code>(.*?)</code>', shown, re.S):
        assert len([line for line in code.splitlines() if line.strip()]) <= 11
        assert max(map(len, html.unescape(code).splitlines())) <= 110
    assert shown.count('<section class="module"') >= 1 and "MINUTES" not in shown and "SECTIONS" not in shown


def test_every_widget_stands_in_one_chapter():
    sources = [page.read(f"chapter_{chapter.number}.html") for chapter in course.CHAPTERS]
    placed = [widget for source in sources for widget in re.findall(r'widget\("(\w+)"\)', source)]
    assert sorted(placed) == sorted(widgets.NAMES)


def test_the_minutes_are_those_of_the_words(pages):
    for chapter in course.CHAPTERS:
        shown = pages[chapter.file]
        main = unnested(shown.split('<main id="main">')[1].split("<footer")[0])
        main = re.sub(r"<(svg|math|script).*?</\1>", " ", main, flags=re.S)
        words = len(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())
        said = int(re.search(r"· (\d+) minutes? to read", shown)[1])
        assert abs(said - words / 200) <= 0.8, (chapter.name, words)
        told = pages["index.html"].split(f"<b>{chapter.number} {chapter.name}</b>")[1]
        assert f">{said} min<" in told.split("</li>")[0]
    assert course.reading(pages[NAMES[0]])[1] < 3 > 0                  # the first insight of chapter 1


def unnested(source):
    """Without <details> within <details>, so that a simple pattern finds all that is folded."""
    while (fewer := re.sub(r"<details(?:(?!<details).)*?</details>", " ", source, flags=re.S)) != source:
        source = fewer
    return source


def test_a_snippet_prints_what_it_computes_and_knows_those_before_it():
    names = {}
    assert course.printed("\nx = 2\nprint(x)\n", names) == "2" and course.printed("print(x + 1)", names) == "3"
    with pytest.raises(NameError):
        course.printed("print(x)", {})


def test_the_exercises_are_in_the_chapters_of_the_syllabus():
    syllabus = ladder.ROOT / "docs" / "syllabus.md"
    parts = re.split(r"^## \d\. ", syllabus.read_text("utf-8"), flags=re.M)[1:]
    told = {part.split("\n")[0]: sorted({int(n) for n in re.findall(r"exercises/(\d\d)_", part)}) for part in parts}
    assert {name: sorted(exercises) for name, (_, _, exercises) in course.ABOUT.items() if exercises} == {
        name: numbers for name, numbers in told.items() if numbers}
    assert len(course.exercises(course.CHAPTERS[0])) == len(told["Sampling"])


def test_an_output_s_tables_are_tables_and_the_rest_stays():
    text = "so:\n\nword   p  note\n-----  -  ----\nice    1  a b\ncream  2\n* a star\n\nend"
    before, found, after = outputs.parts(text)
    assert (before, after) == ("so:", "* a star\n\nend")
    assert found.headers == ["word", "p", "note"] and found.rows == [["ice", "1", "a b"], ["cream", "2", ""]]
    assert found.numeric == [False, True, False] and found.slim
    for rung in ladder.shipped():
        kept = "".join(part if isinstance(part, str) else "".join(map("".join, [part.headers, *part.rows]))
                       for part in outputs.parts(rung.expected))
        assert re.sub(r"[\s-]", "", kept) == re.sub(r"[\s-]", "", rung.expected), rung.name


def test_what_the_options_of_libraries_mean_stands_in_chapter_8(pages):
    told = (ladder.ROOT / "docs" / "rosetta.md").read_text("utf-8")
    lines = [line for line in told.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    shown = Tags(pages[NAMES[7]].split('<section id="libraries"')[1].split("</section>")[0])
    names = [tag for tag, _ in shown.tags]
    assert names.count("table") == told.count("\n## ") >= 6
    assert names.count("tr") - names.count("thead") == len(lines) - names.count("table")
    text = re.sub(r"\s+", "", "".join(shown.text))
    for cell in (cell for line in lines[1:] for cell in line.strip("|").split("|")):
        assert re.sub(r"\s+", "", html.unescape(cell)) in text


def test_the_files_are_small(pages):
    sizes = {name: len(source.encode()) for name, source in pages.items()}
    assert max(sizes.values()) < 600_000 and sum(sizes.values()) < 4_000_000
    assert sum(size for name, size in sizes.items() if name.endswith(".js")) < 40_000


def test_the_corners_of_ppo_s_objective_lie_on_its_bounds():
    shown = pictures.clip()
    low, high = re.findall(r"M([\d.]+) 20 V180", shown)
    up, down = (points.split() for points in re.findall(r'points="(.*?)"', shown))
    assert f"{high},40.0" in up and f"{low},140.0" in down      # 100 - 50 * 1.2, 100 + 50 * 0.8


# ---------------------------------------------------------------- in a browser

def unfolded(browser, folder, name, **how):
    browser.open(folder / name, **how)
    browser.run("document.querySelectorAll('details:not(.menu)').forEach((fold) => { fold.open = true; })")


SMALLEST = """return [...document.querySelectorAll(".picture text, .drawing text")]
  .filter((text) => text.getClientRects().length).map((text) => {
    const at = text.getScreenCTM();
    return [parseFloat(getComputedStyle(text).fontSize) * Math.hypot(at.a, at.b), text.textContent];
  }).sort(([a], [b]) => a - b)[0] ?? [99, ""]"""


CUT = """return [...document.querySelectorAll(".picture text")].filter((text) => {
  const whole = text.ownerSVGElement.viewBox.baseVal, box = text.getBBox();
  return box.x < 0 || box.y < 0 || box.x + box.width > whole.width || box.y + box.height > whole.height;
}).map((text) => text.textContent)"""


def test_no_page_overflows_complains_fetches_from_elsewhere_or_has_letters_too_small(browser, folder, pages):
    screens = [(390, "dark"), (1280, "dark"), (768, "light")]
    for name in (name for name in pages if name.endswith(".html")):
        width, scheme = screens[0]
        unfolded(browser, folder, name, width=width, scheme=scheme)
        for width, scheme in screens:
            browser.show(width=width, scheme=scheme)
            assert browser.run("return innerWidth") == width
            assert browser.overflow() == [] and browser.console() == [], (name, width)
            asked = browser.requests()
            assert all(address.startswith(folder.as_uri()) for address in asked)
            assert {address.rsplit("/", 1)[1] for address in asked} <= pages.keys()
            size, text = browser.run(SMALLEST)
            assert size >= 10.99, (name, width, text)
            assert browser.run(CUT) == [], (name, width)
        screens.reverse()                   # the next page begins as this one ended, which is not laid out once more


def test_the_front_page_is_one_screen(browser, folder):
    browser.open(folder / "index.html", width=1280, height=800)
    assert browser.run("return document.querySelector('.map').getBoundingClientRect().bottom") <= 800
    assert browser.run("return document.querySelectorAll('.map a').length") == 8


@pytest.mark.parametrize(("name", "scheme"), [
    ("index.html", "light"), (NAMES[0], "dark"), ("document-001.html", "light")])
def test_axe_finds_nothing(browser, folder, name, scheme):
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    browser.open(folder / name, width=1280, scheme=scheme)
    browser.run((files(axe) / "axe.min.js").read_text("utf-8"))
    found = browser.driver.execute_async_script("axe.run().then((found) => arguments[0](found.violations))")
    assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found] == []


OTHERWISE = {
    "gamma": "discountword", "reward hacking": "over-optimisationword", "LLM": "language modelword",
    "how do I install it": "Install and runsection", "learning rate": "learning rateword", "critic": "criticword",
    "hallucination": "hallucinationword", "RLHF": "6 Preferences and RLHFchapter",
    "tokenizer": "byte-pair encodingword", "overoptimization": "over-optimisationword",
    "policies": "3 Policy gradientschapter"}


def test_the_search_finds_words_examples_formulas_and_documents_and_goes_there(browser, folder):
    browser.open(folder / NAMES[0], width=390)
    box = browser.find("#search")

    def found(words):
        browser.run("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", box, words)
        return browser.run("return [...document.querySelectorAll('#found li')].map((li) => li.textContent)")

    assert found("agent")[0] == "agentword" and found("beam")[0] == "beam searchword"
    assert found('"reward hacking"!') == found("reward hacking") and found("softmax()") == found("softmax") != []
    assert "2 Values and explorationchapter" in found("exploration")
    assert any("Explore" in one and one.endswith("example") for one in found("explor"))
    assert found("grpo")[0] == "4 PPO, GRPO and KLchapter" and any(one.endswith("example") for one in found("grpo"))
    assert found("agents") == found("agent") and found("what is an agent?") == found("agent")
    assert found("clipping") == found("clip") and not any("xploration" in one for one in found("lora"))
    assert found("β") == found("beta") and "kl.adaptive_betaformula" in found("adaptive β")
    assert [any(one.endswith("exercise") for one in found(word)) for word in ("gae", "bpe")] == [True, True]
    for asked, first in OTHERWISE.items():
        assert found(asked)[0] == first, asked
    assert "ppo.ppo_clip_gradformula" in found("ppo_clip") and found("xyzzy") == ["Nothing found"]
    assert "002: Step 5: Compute the New Policydocument" in found("compute policy") and browser.overflow() == []
    box.clear()
    box.send_keys("beam\ue015\ue007")                                   # arrow down, enter
    assert browser.run("return location.href").endswith("words.html#beam-search")


def test_a_letter_tells_what_it_is_when_it_is_pointed_at_or_has_the_focus(browser, folder):
    browser.open(folder / NAMES[3], width=390)
    letters = "[...document.querySelectorAll('.equation [data-tip][tabindex]')]"
    browser.run(f"{letters}[0].focus()")
    said = browser.run("return document.getElementById('tip').textContent")
    assert said in glossary.tips() and said.startswith("ρ: ")
    browser.run(f"{letters}[1].dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))")
    assert browser.run("return document.getElementById('tip').textContent").startswith("π: ")
    assert browser.overflow() == []
    browser.run("document.body.click()")
    assert browser.run("return document.getElementById('tip').hidden")


def test_contents_are_at_hand_on_a_telephone_and_mark_the_place(browser, folder):
    browser.open(folder / NAMES[1], width=390, height=800)
    browser.run("document.getElementById('explore').scrollIntoView()")
    browser.find(".menu > summary").click()
    marked = "[...document.querySelectorAll('.menu [aria-current]')].map((a) => a.textContent)"
    assert browser.run(f"return {marked}") == ["2 Values and exploration", "Exploration"]
    assert browser.overflow() == []
    browser.find(".menu a[href='words.html']").click()
    assert browser.run("return document.title").startswith("Words and letters")


def test_a_link_to_something_folded_unfolds_it_and_a_choice_of_verdicts_is_obeyed(browser, folder):
    browser.open(f"{(folder / NAMES[3]).as_uri()}#f-ppo-ppo_clip_grad")
    assert browser.run("return document.getElementById('f-ppo-ppo_clip_grad').checkVisibility()")
    browser.open(folder / "document-002.html")
    browser.find('#choices [data-counted="differs"]').click()
    left = browser.run("return [...document.querySelectorAll('#documents tr[data-item]:not([hidden])')].length")
    assert left == sum(entry.counted == "differs" and entry.document == "002" for entry in entries()) > 0


def test_on_paper_a_chapter_is_itself_alone(browser, folder):
    browser.open(folder / NAMES[0], medium="print")
    each = "['.bar-top', '.contents', '#insight'].map((name) => document.querySelector(name)"
    seen = browser.run(f"return {each}.checkVisibility())")
    assert seen == [False, False, True]


def test_paper_is_white_whatever_the_screen_is(browser, folder):
    browser.open(folder / NAMES[3], medium="print", scheme="dark")
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    line = "getComputedStyle(document.querySelector('.picture .line0')).stroke"
    assert browser.run(f"return {line}") == "rgb(0, 114, 178)"


def test_tables_stay_tables_on_paper_though_it_is_narrow(browser, folder):
    shown = "return getComputedStyle(document.querySelector('.numbers td')).display"
    for medium, display in (("", "grid"), ("print", "table-cell")):
        browser.open(folder / NAMES[0], width=718, medium=medium)      # A4 without its margins
        assert browser.run(shown) == display and browser.overflow() == []


def test_the_formulas_stand_in_the_order_of_the_chapters(pages):
    shown = pages["formulas.html"]
    heads = re.findall(r'<h2 id="chapter-\d-title">(.*?)</h2>', shown)
    assert heads == [f"{chapter.number} {chapter.name}" for chapter in course.CHAPTERS]
    assert shown.count("<h3") == sum(page.count('<section class="module"') for page in pages.values())


def test_a_module_of_one_function_has_one(pages):
    told = re.findall(r"<summary>(\d+) (functions?,? \w+)", "".join(pages[name] for name in NAMES))
    assert ("1", "function with") in told
    assert all((n == "1") == (said == "function with") and (n == "1" or said == "functions, each") for n, said in told)


def test_the_index_is_data_that_ends_no_script(pages):
    index = re.search(r'id="index">(.*?)</script>', pages[NAMES[0]])[1]
    kinds = {course.KINDS[kind] for _, items in json.loads(index) for kind, *_ in items}
    assert kinds == set(course.KINDS) and page.slug("A b_c") == "a-b-c"
    assert len({pages[name][pages[name].index('id="index">'):][:len(index)] for name in NAMES}) == 1
    assert Tags(pages["index.html"]).attributes("id").count("index") == 1
