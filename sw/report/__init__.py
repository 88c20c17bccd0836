"""The page that shows a person what a run did, and runs side by side: one HTML file, no network.

:func:`~reslif.sw.report.page.page` makes it of :class:`~reslif.sw.report.facts.RunFacts`, which
:mod:`reslif.sw.flow.report` gathers from a run folder. A section is a module with a function from
facts to what its template shows; ``docs/report.md`` describes the page.
"""

from __future__ import annotations

from .facts import RunFacts
from .read import ReportError

__all__ = ["ReportError", "RunFacts"]
