"""Serves the page to this machine alone, without a network: nothing leaves the browser either."""

import errno
import os
import socket

from dtgan.config import ConfigError

HOST = "127.0.0.1"
# The browser refuses whatever would go elsewhere, whoever asks for it.
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; frame-src 'self'"
)
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data: blob:; font-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


def listen(port):
    """Open the port of 127.0.0.1, 0 for any free one: a socket.

    Raises ConfigError where it is taken, or may not be opened.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"--port={port} is not within 0..65535; 7860 is usual, 0 any free one")
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()
    except OSError as error:
        found.close()
        taken = error.errno == errno.EADDRINUSE
        reason = "is in use, maybe by another studio" if taken else f"fails ({error.strerror})"
        raise ConfigError(
            f"--port={port} of {HOST} {reason}; use --port={port % 60000 + 1} or --port=0, any "
            "free one"
        ) from error
    return found


def quiet(cache):
    """Prepare the environment for importing Gradio: nothing sent, nothing written but in `cache`.

    Raises ConfigError where Gradio is not installed.
    """
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(cache),
        "GRADIO_RUN_HISTORY": "False",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"the studio needs {error.name}, which is not installed; install the extra studio "
            "(DTGAN_EXTRAS=studio of launch/run.sh, or pip install '.[studio]')"
        ) from None


def application(blocks, report, max_megabytes):
    """Make the ASGI application of gr.Blocks and of the file `report` at /report."""
    import fastapi
    import gradio as gr
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from dtgan.studio.markup import CSS

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/report")
    def _report():
        headers = {"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-store"}
        if not report.is_file():
            return fastapi.responses.PlainTextResponse("There is no report.", 404)
        return fastapi.responses.FileResponse(report, media_type="text/html", headers=headers)

    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    gr.mount_gradio_app(
        app,
        blocks.queue(default_concurrency_limit=1),
        "/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=f"{max_megabytes}mb",
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Default(primary_hue="orange", **fonts),
        css=CSS,
    )
    app.add_middleware(_Policy)
    # A page of another site cannot reach the studio under a name of its own.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    return app


class _Policy:
    """Adds PAGE_POLICY to every answer that has no policy of its own."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        async def with_policy(message):
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                if b"content-security-policy" not in names:
                    policy = (b"content-security-policy", PAGE_POLICY.encode())
                    message["headers"] = [*message["headers"], policy]
            await send(message)

        await self._app(scope, receive, with_policy)


def serve(app, opened):
    """Answer on a socket until interrupted."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[opened])
