"""Templates to text; whatever comes from a record is escaped, in HTML and in Markdown."""

from __future__ import annotations

import re
from typing import Any

from edgekd import lazy
from edgekd.drawing import inline

_MARKDOWN = re.compile(r"([\\`*_\[\]|~])")


def render(template: str, **values: Any) -> str:
    """The text of `templates/<template>` filled with `values`; names that are not given are errors.

    Templates called `*.md.j2` escape for Markdown (which may hold HTML), all others for HTML.
    """
    jinja2 = lazy.jinja2()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgekd", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **({"finalize": _markdown} if template.endswith(".md.j2") else {}),
    )
    environment.globals["inline"] = lambda figure: _safe(inline(figure.name, figure.svg, figure.alternative))
    return str(environment.get_template(template).render(**values))


def _safe(text: str) -> Any:
    markup = lazy.optional("markupsafe", package="jinja2", extra="report")
    return markup.Markup(text)


def _markdown(value: Any) -> Any:
    """`value` as Markdown text on one line: neither markup, nor HTML, nor a table cell's end in it."""
    if hasattr(value, "__html__"):
        return value
    text = re.sub(r"[ \t\r\n\f\v]+", " ", str(value))
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    return _safe(_MARKDOWN.sub(r"\\\1", text))
