"""Third tab: two runs on the same photograph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.events import Dependency

from mgm.demo.markup import sentence
from mgm.demo.page_photograph import NOTHING_YET, Source
from mgm.demo.panels import comparison
from mgm.demo.runs import Served
from mgm.demo.views import Seen
from mgm.demo.wiring import spoken

TITLE = "Compare"
ONE_RUN = "There is one run only, and nothing to compare it with. Name two: mgm serve RUN RUN2"


def compare_tab(
    served: Served, source: Source, tabs: gr.Tabs, open_tab: gr.State, photographs: Sequence[Dependency]
) -> None:
    """Fill the tab.

    Args:
        served: The runs.
        source: The shared column.
        tabs: Where the tab is one of.
        open_tab: Title of the tab that the visitor looks at; the two predictions are made for this one alone.
        photographs: Events after which another photograph is shown.
    """
    titles = list(served.runs)
    if len(titles) < 2:
        gr.HTML(sentence(ONE_RUN))
        return
    with gr.Row():
        first = gr.Dropdown(titles, value=titles[0], label="One run", filterable=False)
        second = gr.Dropdown(titles, value=titles[1], label="Another run", filterable=False)
    sheet = gr.HTML(sentence(NOTHING_YET), elem_id="mgm-comparison")

    @spoken
    def compare(seen: Seen | None, one: str, other: str, tab: str) -> Any:
        if tab != TITLE:
            return gr.skip()
        if seen is None:
            return sentence(NOTHING_YET)
        return comparison(served, seen.photograph, one, other)

    wanted = [source.seen, first, second, open_tab]
    tabs.select(_title_of_tab, None, open_tab, api_visibility="private").then(
        compare, wanted, sheet, api_visibility="private"
    )
    for dependency in photographs:
        dependency.then(compare, wanted, sheet, api_visibility="private")
    for choice in (first, second):
        choice.input(compare, wanted, sheet, api_visibility="private")


def _title_of_tab(event: gr.SelectData) -> str:
    return event.value
