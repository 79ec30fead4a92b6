"""`app`: the web page, for people who would rather move a slider than type."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from contextlib import ExitStack

from sat3d.commands.seeds import writable
from sat3d.commands.sources import made_for
from sat3d.modules import import_modules


def main(
    generator: str | None = None,
    editors: list[str] | None = None,
    port: int | None = None,
    host: str = "127.0.0.1",
    out: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    open_browser: bool = False,
    modules: list[str] = [],  # noqa: B006 - never changed
) -> None:
    """Serve a web page over a generator and any number of editors, until it is stopped with Ctrl-C.

    Source and reference are seeds or uploaded pictures. The page has sliders for every attribute of every editor, a
    camera to drag, the channels that move a place one clicks on, and picture, clip, code and command to take away.

    Args:
        generator: Name or file of the generator; the one that the first editor was made for, if not given.
        editors: Folders that runs exported (runs/NAME/NUMBER/editor), or checkpoints (.ckpt), side by side on the page.
        port: To listen on; the first free one from 7860 on, if not given.
        host: Address to listen on. 127.0.0.1 is this machine alone; with any other one everybody who can reach it can
            use the page, which asks for no password.
        out: Folder for what is downloaded, which stays; a temporary one that is removed at the end, if not given.
        device: Where to compute, such as cpu or cuda.
        threads: Of the processor; as many as it has cores, if not given.
        open_browser: Show the page at once.
        modules: Modules of yours to import first, where editors are of classes of your own; looked for here, too.
    """
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"port={port}: give a number from 1 to 65535")
    if threads is not None and threads < 1:
        raise ValueError(f"threads={threads}: give 1 or more")
    import_modules(modules)

    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="sat3d-app-"))
        os.environ.setdefault("MPLCONFIGDIR", f"{scratch}/matplotlib")  # which would else write into the home folder
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that folders are removed then too

        import torch

        from sat3d.app.methods import load_methods
        from sat3d.app.server import is_loopback, serve
        from sat3d.app.session import Session
        from sat3d.commands.seeds import device_of
        from sat3d.generators import load_generator

        if threads is not None:
            torch.set_num_threads(threads)
        given = generator or (made_for(editors[0]) if editors else "toyfaces64")
        net = load_generator(given, device=device_of(device))
        session = Session(net, load_methods(editors or [], net), given)
        for name, method in session.methods.items():
            if method.trouble:
                print(f"{name} ({method.given}) cannot edit on the page: {method.trouble}")
        folder = writable(out or scratch).resolve()
        served = serve(session, folder, host=host, port=port, open_browser=open_browser)
        stack.callback(served.close)
        if not is_loopback(host):
            print(f"host={host}: everybody who can reach this address can use the page; it asks for no password")
        print(f"{served.url} shows {given}; Ctrl-C ends it", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("ended")
