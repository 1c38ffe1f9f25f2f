"""Words on the page: what comes from files and folders is text, never markup."""

import html


def text(value):
    """Escape a value for HTML, and for the templates that Gradio fills HTML into."""
    escaped = html.escape(str(value))
    return escaped.replace("{", "&#123;").replace("$", "&#36;").replace("`", "&#96;")


def line(value, kind=""):
    """Make a line of text; kind: "good", "bad" or neither."""
    return f'<div class="say {kind}">{text(value)}</div>'


CSS = """
.gradio-container {width: 100% !important; max-width: 1720px !important; padding: 8px 16px;
  margin: 0 auto !important}
.title {display: flex; gap: 1.2em; align-items: baseline; flex-wrap: wrap}
.title b {font-size: 1.3em} .title span {color: var(--body-text-color-subdued)}
#say {position: sticky; top: 0; z-index: 20; background: var(--body-background-fill)}
.step {font-weight: 600}
.say {padding: 5px 10px; border-left: 4px solid var(--border-color-primary); margin: 2px 0;
  background: var(--background-fill-secondary); overflow-wrap: anywhere}
.say.good {border-color: #2f9e44} .say.bad {border-color: #e03131; font-weight: 500}
.pixels img {image-rendering: pixelated}
.shelf .grid-container {grid-template-columns: repeat(6, minmax(0, 1fr)) !important;
  grid-auto-rows: min-content; align-content: start}
.shelf .thumbnail-item {aspect-ratio: 1; height: auto !important}
.wide .grid-container {grid-template-columns: repeat(10, minmax(0, 1fr)) !important}
.view img {width: 100% !important; height: 100% !important; object-fit: contain;
  padding-top: 32px; box-sizing: border-box}
table.counts td, table.counts th, table.findings td, table.findings th {
  padding: 4px 12px; text-align: left; vertical-align: middle; overflow-wrap: break-word;
  border-bottom: 1px solid var(--border-color-primary)}
table.findings img {max-width: 120px; max-height: 120px; image-rendering: pixelated}
tr.error td:nth-child(2) {color: #e03131; font-weight: 600}
.none {color: var(--body-text-color-subdued)}
iframe.report {width: 100%; height: 80vh; border: 1px solid var(--border-color-primary)}
"""
