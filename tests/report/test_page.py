import base64
import io
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
import torch
from PIL import Image

from fl_crafter.evaluation import WORST_CASE
from fl_crafter.picture import data_uri
from fl_crafter.report import render_report, words, write_report


class Text(HTMLParser):
    """The words of a page, its references, and its tags in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.references: list[str] = []
        self.identifiers: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [v for k, v in attrs if k in ("src", "href", "action", "srcset") and v]
        self.identifiers += [v for k, v in attrs if k == "id" and v]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_every_figure_of_the_summary_is_on_the_page(make_summary, pictures):
    summary = make_summary()
    text = Text(render_report(summary, pictures)).text
    wanted = ["ORL", "2.13.0", "cpu", "5 min 1 s", "3 min 12 s", "fl-crafter demo --out out/demo"]
    wanted += ["1500", "0.002", "AT&T Laboratories Cambridge", "The moon was full.", "98.7%"]
    for own in summary.defences.values():
        wanted += [words.figure(own.utility_auc), words.figure_interval(own.utility_interval)]
        for attack in (*summary.attacks, WORST_CASE):
            found = own.identification[attack]
            wanted += [words.percent(found.top1), words.percent(found.top5)]
            wanted += [words.percent_interval(found.interval)]
            wanted += [words.percent_interval(found.interval_top5)]
            wanted += [f"chance {words.percent(found.chance.top1)}"]
            wanted += [f"chance {words.percent(found.chance.top5)}"]
        wanted += [words.figure(value) for value in own.feature_similarity.values()]
        wanted += [words.figure(value) for value in own.feature_similarity_floor.values()]
        wanted += [words.figure(value) for value in own.ssim.values()]
    wanted += ["0.076", "−0.043"]
    assert [figure for figure in wanted if figure not in text] == []


def test_the_page_asks_for_nothing_outside_itself(make_summary, pictures):
    page = render_report(make_summary(), pictures)
    found = Text(page)
    assert all(r.startswith(("data:", "#")) for r in found.references)
    assert found.references.count("data:,") == 1  # not even the icon
    page = re.sub(r'"data:image/png;base64,[^"]+"', "", page)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<iframe|<object", page)
    assert "default-src 'none'" in page


def test_links_within_the_page_lead_somewhere(make_summary, pictures):
    found = Text(render_report(make_summary(), pictures))
    inside = {r[1:] for r in found.references if r.startswith("#")}
    assert inside and inside <= set(found.identifiers)
    assert len(found.identifiers) == len(set(found.identifiers))
    assert found.open == []


def test_pictures_live_in_the_page_with_words_beside_them(make_summary, pictures):
    page = render_report(make_summary(), pictures)
    images = re.findall(r'<img src="(data:image/png;base64,[^"]+)" alt="([^"]+)"', page)
    assert len(images) == 2 * (1 + 4)
    assert images[0] == (data_uri(pictures.raw[0]), "Raw face of person 1")
    assert images[1][1] == "Person 1, White box, latent, No defence"
    decoded = Image.open(io.BytesIO(base64.b64decode(images[0][0].partition(",")[2])))
    pixels = torch.tensor(list(decoded.tobytes()), dtype=torch.uint8).view(16, 16, 3)
    assert torch.equal(pixels.permute(2, 0, 1), pictures.raw[0])
    captions = re.findall(r"<figcaption[^>]*>((?:not )?named)</figcaption>", page)
    assert captions.count("named") == 2
    assert captions.count("not named") == 6


def test_a_page_without_pictures_promises_none(make_summary):
    page = render_report(make_summary(), None)
    assert "<img" not in page
    assert "private faces" not in Text(page).text


@pytest.mark.parametrize(
    "field", ["dataset", "device", "command", "credit", "evaluator", "unreliable", "versions"]
)
def test_what_comes_from_outside_is_escaped(make_summary, field):
    bad = '<script>alert("x")</script>'
    value = {"unreliable": (bad,), "versions": {bad: bad}}.get(field, bad)
    page = render_report(make_summary(**{field: value}), None)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_names_of_defences_and_attacks_are_escaped(make_summary):
    base = make_summary()
    odd = '"><b onclick="x">'
    crafted = base.defences["crafter"]
    attacks = {odd: crafted.identification["white_box_latent"], WORST_CASE: crafted.worst_case}
    record = crafted.model_copy(
        update={
            "identification": attacks,
            "feature_similarity": {odd: 0.1},
            "feature_similarity_floor": {},
            "ssim": {odd: 0.2},
            "unreliable": (odd,),
            "attribute_auc": {odd: 0.5},
        }
    )
    page = render_report(make_summary({odd: record, "none": record}, attacks=(odd,)), None)
    assert "<b " not in page


def test_the_page_says_what_is_not_promised(make_summary, pictures):
    text = Text(render_report(make_summary(), pictures)).text
    for promise in (
        "Crafter is not differential privacy",
        "these attacks with these budgets only",
        "Appearance is not linkability",
        "labels alone link people",
        "averaging over many",
        "Keep it on your own machine",
    ):
        assert promise in text


def test_scrolling_parts_are_reached_by_the_keyboard(make_summary, pictures):
    page = render_report(make_summary(), pictures)
    regions = re.findall(r'<div class="scroll[^>]*>', page)
    assert len(regions) == 4
    assert all('tabindex="0"' in r and "aria-label=" in r and 'role="region"' in r for r in regions)
    assert "prefers-color-scheme: dark" in page


def test_the_page_is_written_whole_or_not_at_all(make_summary, pictures, tmp_path, monkeypatch):
    path = tmp_path / "new" / "report.html"
    write_report(make_summary(), pictures, path)
    first = path.read_text(encoding="utf-8")
    assert first.rstrip().endswith("</html>")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]

    def broken(summary):
        raise ArithmeticError

    monkeypatch.setattr("fl_crafter.report.page.trade_off", broken)
    with pytest.raises(ArithmeticError):
        write_report(make_summary(), pictures, path)
    assert path.read_text(encoding="utf-8") == first


def test_the_template_is_package_data():
    folder = files("fl_crafter.report") / "templates"
    assert {"report.html.j2", "macros.html.j2", "style.css"} <= {p.name for p in folder.iterdir()}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (61, "1 min 1 s"),
        (119.7, "2 min 0 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, said):
    assert words.duration(seconds) == said
