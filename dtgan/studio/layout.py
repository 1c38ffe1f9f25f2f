"""What is on the page and where: Gradio components for the controls that a method has."""

from types import SimpleNamespace

import gradio as gr

from dtgan.studio.markup import line, text

LOUDER = 4  # times the difference, which is faint
_BRUSH = ("#ff6b00", 0.5)
_PIXELS = {"format": "png", "elem_classes": ["pixels", "view"]}
_SHELF = {
    "format": "png",
    "elem_classes": ["pixels", "shelf"],
    "columns": 6,
    "fit_columns": False,
    "height": 150,
    "allow_preview": False,
    "show_label": False,
    "object_fit": "contain",
    "buttons": [],
}


def title(studio):
    """Say which model draws, where pictures are kept, and what the model cannot be told: HTML."""
    renderer, missing = studio.renderer, studio.stock.missing
    config, res = renderer.config, renderer.config.data.res
    facts = (
        f"method={config.method}, step {renderer.sampler.step}, {res} x {res} pixels",
        f"what is kept lies in: {studio.kept.named}",
    )
    spans = "".join(f"<span>{text(fact)}</span>" for fact in facts)
    lacking = renderer.controls.lacking(config.method)
    lines = (line(missing, "bad") if missing else "") + (line(lacking) if lacking else "")
    return f'<div class="title"><b>dtgan studio</b>{spans}</div>{lines}'


def choosing(flags, classes):
    """Make the column of what is chosen: surface, class, defect."""
    w = SimpleNamespace()
    with gr.Column(visible=flags.surface):
        _heading("1  Surface")
        w.surfaces = gr.Gallery(elem_id="surfaces", **_SHELF)
        with gr.Row():
            w.more_surfaces = gr.Button("Show others", size="sm")
            w.upload_surface = gr.UploadButton("Upload", size="sm", elem_id="upload_surface")
    with gr.Column():
        _heading("2  Defect" if flags.surface else "1  Defect")
        w.label = gr.Dropdown(list(classes), value=classes[0], label="Class", elem_id="class")
        with gr.Column(visible=flags.defect):
            w.defects = gr.Gallery(elem_id="defects", **_SHELF)
            with gr.Row():
                w.more_defects = gr.Button("Show others", size="sm")
                w.upload_defect = gr.UploadButton(
                    "Upload, with NAME_mask.png" if flags.mask else "Upload",
                    size="sm",
                    file_count="multiple" if flags.mask else "single",
                    elem_id="upload_defect",
                )
    return w


def asking(flags):
    """Make the column of how it is drawn: the painted limit, place, size, turn, strength."""
    w = SimpleNamespace()
    with gr.Column(visible=flags.surface):
        _heading("3  Paint where the defect may be" if flags.limit else "The chosen surface")
        if flags.limit:
            w.surface = gr.ImageEditor(
                format="png",
                elem_classes="pixels",
                interactive=True,
                sources=(),
                transforms=(),
                layers=False,
                buttons=[],
                show_label=False,
                height=400,
                brush=gr.Brush(40, [_BRUSH], _BRUSH, "fixed"),
                eraser=gr.Eraser(40),
                elem_id="surface",
            )
        else:
            w.surface = _view("surface", "", show_label=False)
    with gr.Group():
        with gr.Row(visible=flags.defect):
            w.down = gr.Slider(-100, 100, 0, step=1, label="Down, %")
            w.right = gr.Slider(-100, 100, 0, step=1, label="Right, %")
        with gr.Row(visible=flags.defect):
            w.scale = gr.Slider(0.25, 4.0, 1.0, step=0.05, label="Size")
            w.turn = gr.Slider(-180, 180, 0, step=1, label="Turn, °")
        with gr.Row(visible=flags.strength or flags.truncation):
            w.strength = gr.Slider(
                0.0, 4.0, 1.0, step=0.05, label="Strength", visible=flags.strength
            )
            w.truncation = gr.Slider(
                0.0, 1.0, 1.0, step=0.05, label="Variety", visible=flags.truncation
            )
        with gr.Row(visible=flags.defect):
            w.upside = gr.Checkbox(label="Mirror upside down")
            w.sideways = gr.Checkbox(label="Mirror left to right")
        with gr.Row(visible=flags.number):
            w.number = _number("Number of the picture", flags.number)
            w.object_seed = _number("Number of the surface", flags.object_seed)
            w.defect_seed = _number("Number of the defect", flags.defect_seed)
    with gr.Row():
        w.draw = gr.Button("Draw", variant="primary", elem_id="draw")
        w.another = gr.Button("Draw another", visible=flags.number)
        w.reset = gr.Button("Reset", visible=flags.defect, min_width=80)
    return w


def seeing(gives):
    """Make the column of what was drawn; gives: of the `Method`."""
    w, masked, twin = SimpleNamespace(), "mask" in gives, "clean" in gives
    with gr.Row():
        w.hybrid = _view("hybrid", "Hybrid")
        w.twin = _view("twin", "Twin: without the defect", twin)
    with gr.Row():
        w.mask = _view("mask", "Mask", masked)
        w.change = _view("change", f"Difference, {LOUDER} times", twin)
    w.notes = gr.HTML(elem_id="notes")
    with gr.Row():
        w.keep = gr.Button("Keep", variant="primary", elem_id="keep")
        w.undo = gr.Button("Undo", elem_id="undo", min_width=80)
    return w


def keeping(tab):
    """Make what is in the gr.Tab of what is kept."""
    w = SimpleNamespace(tab=tab)
    w.count = gr.HTML(elem_id="count")
    shelf = _SHELF | {"columns": 8, "height": 520, "elem_classes": ["pixels", "wide", "shelf"]}
    w.gallery = gr.Gallery(elem_id="kept", **shelf)
    w.files = gr.State([])  # of the gallery, in its order
    w.chosen = gr.State("")
    with gr.Row():
        w.remove = gr.Button("Remove the chosen picture", variant="stop", elem_id="remove")
        w.undo = gr.Button("Undo", elem_id="undo_there")
    return w


def _heading(words):
    gr.HTML(f'<div class="step">{text(words)}</div>')


def _view(name, label, visible=True, **more):
    """Make a picture that fills its place, its pixels as they are."""
    return gr.Image(
        **_PIXELS,
        label=label,
        visible=visible,
        interactive=False,
        height=300,
        min_width=180,
        buttons=["download", "fullscreen"],
        elem_id=name,
        **more,
    )


def _number(label, visible):
    return gr.Number(0, label=label, precision=0, minimum=0, visible=visible)
