"""Reports as HTML and Markdown: whole, harmless whatever ids say, and free of outside help."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from analytics.reporting.charts import draw
from analytics.reporting.html import as_html
from analytics.reporting.markdown import as_markdown, escaped
from analytics.reporting.view import Chart, Series
from recorder.events import NewEvent
from tests.analytics.reporting.conftest import Composed
from tests.builders import completion, error, history, opened, output, submit

VOID = {"meta", "rect", "line", "path", "circle"}
HOSTILE = [
    "<script>alert(1)</script>",
    "</title></style><img src=x onerror=alert(1)>",
    "| `tick` | [click](javascript:alert(1)) *bold* _it_ ![i](//x)",
    "\u202eright to left\u202c עברית",
    "👨‍👩‍👧 emoji",
    "x" * 10_240,
    "\x1b[2J\x00\r\n# heading",
    "'\" onmouseover='alert(1)",
]


def hostile_run(text: str) -> list[NewEvent]:
    frames = [
        *(submit(text, app_id=text), completion(text, app_id=text)),
        *(submit(f"{text}2", app_id=text), error(f"{text}2", message=text), output()),
    ]
    document = opened(text, workflow=f"workflows/{text}")
    return history(text, *frames, document=document)


def link(request_id: str) -> str:
    return f"https://recorder/{quote(request_id, safe='')}"


class Page(HTMLParser):
    """A parsed page; every element has to be closed where it was opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.shown: list[str] = []
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_an_id_says_html_shows_it_and_does_nothing(composed: Composed, text: str) -> None:
    document = as_html(composed(hostile_run(text)), link)
    page = Page(document)
    assert not {"script", "img", "iframe", "object", "link"} & set(page.tags)
    assert not {name for name in page.attributes if name.startswith("on")}
    assert all(link.startswith("https://recorder/") for link in page.links)
    assert max(len(piece) for piece in page.shown if "{" not in piece) < 600
    assert not {"\x00", "\x1b", "\u202e"} & set(document)


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_an_id_says_markdown_keeps_its_tables(composed: Composed, text: str) -> None:
    document = as_markdown(composed(hostile_run(text)), link)
    columns = 0
    for line in document.splitlines():
        if line.startswith("|"):
            columns = columns or len(re.findall(r"(?<!\\)\|", line))
            assert len(re.findall(r"(?<!\\)\|", line)) == columns, line
        else:
            columns = 0
    titles = [line for line in document.splitlines() if line.startswith("#")]
    assert [title for title in titles if title.startswith("# ")] == titles[:1]
    assert not re.search(r"(?<!\\)(`|<(?!https)|\]\((?!<https))", document)


def test_markdown_escapes_what_it_would_understand() -> None:
    assert escaped("a|b `c` <d> [e](f) *g* _h_ \\") == (r"a\|b \`c\` \<d\> \[e\](f) \*g\* \_h\_ \\")


def test_html_asks_nobody_for_anything_and_says_what_it_shows(composed: Composed) -> None:
    run = history("run", submit("a"), completion("a", inference_s=0.05), output())
    document = as_html(composed(run, workflow="workflows/fal-ai/sdxl-sticker"), str)
    page = Page(document)
    assert "default-src 'none'" in document
    assert not re.search(r"url\(|@import|https?://", document)
    charts = page.tags.count("figure")
    assert (charts, page.tags.count("figcaption"), page.tags.count("desc")) == (3, 3, 3)
    assert page.tags.count("caption") == page.tags.count("table") > 4
    in_print = document.partition("@media print")[2].partition("</style>")[0]
    # No chart and no row is cut by a page's end, heads of tables repeat, and nothing is announced on the page before.
    assert "figure, tr, thead { break-inside: avoid; }" in in_print
    assert "thead { display: table-header-group; }" in in_print
    assert "h2, h2 + p, caption, thead { break-after: avoid; }" in in_print
    assert "prefers-color-scheme: dark" in document
    words = " ".join(" ".join(page.shown).split())
    for heading in ("Throughput", "Percentiles", "Errors", "Where the time goes", "Slowest runs"):
        assert heading in words
    assert "workflow workflows/fal-ai/sdxl-sticker" in words


def test_a_report_of_nothing_is_a_document_too(composed: Composed) -> None:
    report = composed()
    page = Page(as_html(report, str))
    assert "No run was recorded so far." in page.shown
    assert as_markdown(report, str).splitlines()[:5] == [
        "# Workflow report: runs so far",
        "",
        "No run was recorded so far.",
        "",
        "## Throughput",
    ]


def test_a_chart_of_one_value_and_of_none_is_drawn() -> None:
    chart = Chart("t", "lines", ["1", "2", "3"], [Series("s", [None, 5.0, None])], in_us=True)
    (line,) = draw(chart).lines
    assert (line.path, line.dots) == ("M515.0 42.7", [(515.0, 42.7)])
    empty = draw(Chart("t", "stack", ["1"], [Series("s", [0])], in_us=False))
    assert (empty.boxes, [label.text for label in empty.labels]) == (
        [],
        ["0", "1", "2", "3", "4", "1"],
    )
