"""A report as one HTML file that needs nothing else: no script, no request, readable in print."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from analytics.reporting.charts import draw
from analytics.reporting.composing import Report
from analytics.reporting.sections import sections
from analytics.reporting.summary import summary, window
from analytics.reporting.view import Link
from recorder.words import plain


def as_html(report: Report, link: Link) -> str:
    """The whole document; everything from outside is escaped by the template."""
    return _template().render(
        window=window(report),
        narrowed=narrowed(report),
        sentences=summary(report),
        sections=sections(report, link),
        as_of_position=f"{report.as_of_position:,}",
    )


def narrowed(report: Report) -> list[tuple[str, str]]:
    """What the report is narrowed to, beside its window."""
    given = ((name, getattr(report.window, name)) for name in ("workflow", "node", "app", "status"))
    return [(name, plain(value, 120)) for name, value in given if value is not None]


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("analytics.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["draw"] = draw
    return environment.get_template("report.html.j2")
