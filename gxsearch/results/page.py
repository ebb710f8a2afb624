"""Page: how templates are filled and text is made harmless; names in data are written by strangers."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from gxsearch.config import Config
from gxsearch.errors import visible

_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def template(name: str) -> Template:
    """Return a template of ours; HTML is escaped by itself, other text by the filters it names."""
    world = Environment(
        loader=PackageLoader("gxsearch.results"),
        autoescape=lambda file: bool(file) and file.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    world.filters |= {"number": number, "span": span, "quoted": quoted, "block": block, "seconds": seconds}
    world.filters |= {"md": md, "md_table": md_table, "md_code": md_code}
    return world.get_template(name)


def page(name: str, *, static: bool, made_by: str, **values: Any) -> str:
    """Return a page that extends base.html: with its look, its policy and, unless it is `static`, its two scripts.

    Args:
        made_by: the version of gxsearch that made what is told.
        values: what the template wants to know.
    """
    frame = {"css": style("report.css"), "scripts": None if static else scripts(), "made_by": made_by}
    return template(name).render(**frame, **values)


def script_data(text: str) -> Markup:
    """Return JSON text for the inside of a script element: it can neither end the element nor begin another."""
    return Markup("".join(_SCRIPT.get(letter, letter) for letter in text))  # noqa: S704 - just made harmless


def script_hash(text: str) -> str:
    """Return what a content security policy calls a script that may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def scripts() -> dict[str, Markup | str]:
    """Return plotly.js, the driver that draws the figures, and the policy that lets these two run and nothing else."""
    from plotly.offline import get_plotlyjs

    library, driver = get_plotlyjs(), resource("report.js")
    assert "</script" not in library + driver
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src {script_hash(library)}"
    policy += f" {script_hash(driver)}"
    return {"library": Markup(library), "driver": Markup(driver), "policy": policy}  # noqa: S704 - neither has data


def style(name: str) -> Markup:
    """Return a style sheet of ours for the inside of a style element."""
    return Markup(resource(name))  # noqa: S704 - it has no data


def resource(name: str) -> str:
    """Return the text of a file beside the templates."""
    return files("gxsearch.results").joinpath("templates", name).read_text()


def plain(text: Any) -> str:
    """Return text as plotly shows it as it is: plotly reads a little HTML in labels."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clipped(text: Any, most: int = 18) -> str:
    """Return a name that fits beside a row: what is longer ends in an ellipsis."""
    text = str(text)
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def number(value: Any, digits: int = 4) -> str:
    """Return a number as a person would write it, to so many significant digits; other values as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        return value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.{digits - 2}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.{max(digits - 1 - math.floor(math.log10(abs(value))), 0) if value else 0}f}"


def short(value: Any) -> str:
    """Return a number to three significant digits, without the zeros that say nothing: a setting, a tick."""
    if not isinstance(value, float) or not 1e-3 <= abs(value) < 1e5:
        return number(value, 3)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def seconds(value: float) -> str:
    """Return a length of time in its two largest units."""
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    whole = round(value)
    for unit, name, below, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            return f"{whole // unit} {name} {whole % unit // below} {part}"
    raise AssertionError(value)


def span(text: Any) -> str:
    """Return text as code within a line of Markdown."""
    flat = " ".join(str(text).replace("`", "'").split())
    return f"`{flat}`" if flat else ""


def md(text: Any) -> str:
    """Return text as Markdown shows it as it is, on one line: no element, link, emphasis or end of a table's cell."""
    flat = " ".join(visible(str(text).replace("\n", " ")).split())
    flat = re.sub(r"([\\`*_\[\]|~#!$@{}^])", r"\\\1", flat)
    flat = re.sub(r"(?i)\b(https?|ftp|mailto|xmpp)(:)", r"\1\\\2", flat)
    flat = re.sub(r"(?i)\b(www)(\.)", r"\1\\\2", flat)
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"\\{flat}" if flat[:1] in ("-", "+", "=") else flat


def md_table(rows: Iterable[Iterable[Any]], columns: Iterable[Any]) -> str:
    """Return rows as a table of Markdown; cells are made harmless, numbers short."""
    head = [md(name) or " " for name in columns]
    lines = [head, ["---"] * len(head), *([md(number(value)) or " " for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def md_code(text: Any) -> str:
    """Return text on one line as a block of code; as text, where it holds what a careless reader takes for markup."""
    flat = " ".join(visible(str(text).replace("\n", " ")).split())
    return md(flat) if set(flat) & set("<>&`") else f"    {flat}"


def block(value: Any) -> str:
    """Return a value as JSON for a fenced block of Markdown, which it cannot close."""
    return json.dumps(value, indent=1, ensure_ascii=False).replace("```", "'''")


def quoted(text: Any) -> str:
    """Return text as a YAML string, which JSON is."""
    return json.dumps(str(text))


def documented(config: type[Config], name: str) -> str:
    """Return the sentence that a setting was declared with."""
    field = config.model_fields.get(name)
    return field.description or "" if field else ""
