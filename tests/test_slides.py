"""The chapters' pictures as files: each is there, with its letters, its colours and its arrows."""
import json
import re
from xml.etree import ElementTree

import matplotlib.image
import pytest
from numpy.testing import assert_allclose

from rlscratch.report import figures, widgets
from rlscratch.report.tour import course, page, pictures, slides

pytestmark = pytest.mark.compiled_only("pictures, whichever backend their numbers come from")


@pytest.fixture(scope="module")
def shown():
    """Name, caption and SVG; figures that train a model first stand for themselves with another's picture."""
    with pytest.MonkeyPatch.context() as patch:
        made = widgets.fragment
        patch.setattr(widgets, "fragment", lambda name: made("clip" if name in widgets.TRAINED else name))
        return list(slides.shown())


def test_every_picture_and_every_widget_of_the_chapters_is_there(shown):
    sources = [page.read(f"chapter_{chapter.number}.html") for chapter in course.CHAPTERS]
    wanted = sum(len(re.findall(r'{{ (?:picture|widget)\(', source)) for source in sources) + len(pictures.LOOPS)
    names = [name for name, _, _ in shown]
    assert len(names) == len(set(names)) == wanted >= 18 and "chapter_4_clip_moving" in names
    assert all(caption.strip() and "<" not in caption for _, caption, _ in shown)


def test_each_is_drawn_with_its_letters(shown, tmp_path, monkeypatch):
    monkeypatch.setenv("RLSCRATCH_PNG", "30")
    for name, caption, source in shown:
        path = figures.save(slides.drawn(source), name, caption, tmp_path)
        drawn = path.read_text("utf-8")
        for text in ElementTree.fromstring(source).iter("text"):
            if text.get("display") != "none" and (text.text or "").strip():
                assert f">{text.text}<" in drawn.replace("&gt;", ">").replace("&lt;", "<"), (name, text.text)
        assert json.loads(path.with_suffix(".json").read_text("utf-8"))["caption"] == caption
        height, width, _ = matplotlib.image.imread(path.with_suffix(".png")).shape
        assert width == 30 * slides.INCHES and height > 40


def test_colours_are_those_of_the_light_page_and_a_later_rule_counts_more():
    figure = slides.drawn('<svg viewBox="0 0 90 90"><rect class="way" x="1" y="2" width="30" height="40" rx="4"/>'
                          '<line class="w-curve w-dash" x1="0" y1="0" x2="9" y2="0"/></svg>')
    box, = figure.axes[0].patches
    assert matplotlib.colors.to_hex(box.get_facecolor()) == "#bcd9ee" in page.read("course.css")
    assert matplotlib.colors.to_hex(box.get_edgecolor()) == "#505b64"
    line, = figure.axes[0].lines
    assert matplotlib.colors.to_hex(line.get_color()) == "#0b63a5" and line.get_linestyle() == "--"


def test_an_arrow_ends_where_its_line_does_and_points_along_it():
    figure = slides.drawn(pictures.loop(*pictures.LOOPS[0]))
    heads = [patch.get_xy()[1] for patch in figure.axes[0].patches if isinstance(patch, matplotlib.patches.Polygon)]
    assert_allclose(heads, [(246 - 2.6, 146), (94 + 2.6, 34), (94 + 2.6, 16)])
