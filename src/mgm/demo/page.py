"""The page: a column with the photograph, and three tabs. Imported once gradio is known to be there."""

from __future__ import annotations

import gradio as gr

from mgm.demo.markup import headline
from mgm.demo.page_compare import TITLE as COMPARE
from mgm.demo.page_compare import compare_tab
from mgm.demo.page_generate import generate_tab
from mgm.demo.page_photograph import photograph_tab, source_column
from mgm.demo.runs import Served
from mgm.demo.uploads import Uploads

PREDICT, GENERATE = "Predict", "Generate"
AT_ONCE = 2
"""Requests that are computed at the same time; the others wait in line."""
IN_LINE = 64
"""Requests that may wait; further visitors are told that the page is busy."""


def make_page(served: Served, uploads: Uploads) -> gr.Blocks:
    """Everything on the page, ready to be launched.

    Args:
        served: What the page shows.
        uploads: Where the files of visitors lie.
    """
    title = f"mgm · {served.first.title}"
    with gr.Blocks(title=title, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(headline([(run.title, run.summary) for run in served.runs.values()]))
        open_tab = gr.State(PREDICT)
        with gr.Row():
            with gr.Column(scale=1, min_width=280, elem_id="mgm-source"):
                source = source_column(served)
            with gr.Column(scale=4, min_width=320), gr.Tabs() as tabs:
                with gr.Tab(PREDICT):
                    photographs = photograph_tab(page, served, source, uploads)
                with gr.Tab(GENERATE):
                    generate_tab(served)
                with gr.Tab(COMPARE):
                    compare_tab(served, source, tabs, open_tab, photographs)
    return page.queue(max_size=IN_LINE, default_concurrency_limit=AT_ONCE)
