"""The page: its tabs, from the components of `layout` and the handlers of `events`."""

import shlex
from types import SimpleNamespace

import gradio as gr

from dtgan.studio import findings, layout
from dtgan.studio.events import Events
from dtgan.studio.markup import line


def build(studio, workdir, report):
    """Make the gr.Blocks for a session.Studio; each tab of a browser has its own Session.

    workdir: of the run, to be named; report: the file that the tab "Report" shows once it is there.
    """
    flags, gives = studio.renderer.controls, studio.renderer.method.gives
    w = SimpleNamespace()
    # Files that the browser was sent are forgotten after an hour.
    with gr.Blocks(title="dtgan studio", fill_width=True, delete_cache=(600, 3600)) as blocks:
        session = gr.State(None)
        gr.HTML(layout.title(studio))
        say = gr.HTML(elem_id="say")
        with gr.Tabs():
            with gr.Tab("Draw"):
                with gr.Row():
                    with gr.Column(scale=4, min_width=320):
                        w.choosing = layout.choosing(flags, studio.renderer.classes[1:])
                    with gr.Column(scale=5, min_width=380):
                        w.asking = layout.asking(flags)
                    with gr.Column(scale=6, min_width=420):
                        w.seeing = layout.seeing(gives)
            with gr.Tab("Kept") as tab:
                w.keeping = layout.keeping(tab)
            with gr.Tab("Data"):
                _data(studio)
            with gr.Tab("Report") as tab:
                shown = gr.HTML(elem_id="report")
                tab.select(lambda: _report(workdir, report), None, shown, api_visibility="private")
        Events(studio).connect(blocks, session, say, w)
    return blocks


def _data(studio):
    """Make the tab of the data audit."""
    button = gr.Button("Check the pictures that the run learnt of", elem_id="audit")
    shown = gr.HTML(elem_id="findings")

    def audit():
        return findings.page(studio.renderer.config, studio.stock.trained)

    button.click(audit, None, shown, api_visibility="private")


def _report(workdir, report):
    """Show the run's report, or say how it is made: HTML."""
    if report.is_file():
        return (
            '<iframe class="report" title="report" src="/report" sandbox="allow-scripts"></iframe>'
        )
    run, out = (shlex.quote(str(path)) for path in (workdir, report))
    return line(f"There is no report yet: python -m dtgan.report --workdir={run} --out={out}")
