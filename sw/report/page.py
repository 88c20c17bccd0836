"""Facts of a run to one HTML file that holds all it needs."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from . import (
    accuracy,
    cosim,
    hardware,
    network,
    quantisation,
    samples,
    summary,
    training,
    weights,
)
from .facts import RunFacts
from .format import formatted

SECTIONS = (
    summary.section,
    network.section,
    samples.section,
    training.section,
    accuracy.section,
    weights.section,
    quantisation.section,
    cosim.section,
    hardware.section,
)
"""In the order in which the page shows them."""


def page(facts: RunFacts) -> str:
    """The page of one run."""
    sections = [section(facts) for section in SECTIONS]
    template = environment().get_template("page.html")
    return template.render(facts=facts, sections=sections)


@cache
def environment() -> Environment:
    """The templates; what they show is escaped, and a name that is missing is an error."""
    found = Environment(
        loader=PackageLoader(__package__ or "", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["figure"] = figure
    found.filters["as"] = formatted
    found.filters["script"] = script
    return found


def figure(facts: RunFacts, key: str, form: str) -> Markup:
    """A number of ``report.json`` by its path, as text that says where it is from."""
    value = facts.figure(key)
    attributes = Markup('class="figure" data-key="{}" data-form="{}" data-value="{}"').format(
        key, form, json.dumps(value)
    )
    return Markup("<span {}>{}</span>").format(attributes, formatted(value, form))


def script(value: Any) -> Markup:
    """``value`` as JSON within a script element, which no text in it can end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
