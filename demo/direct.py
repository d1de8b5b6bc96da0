"""Importing what opens a network client as it is imported, whatever the environment says about the network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ABOUT_NETWORK = ("_proxy", "ssl_cert_file", "ssl_cert_dir")


@contextmanager
def without_proxies() -> Iterator[None]:
    """The block runs without the environment's proxies and certificates, which come back after it.

    Gradio opens a client that it does not use here; a SOCKS proxy or a lost file of certificates would stop the app.
    """
    kept = {name: value for name, value in os.environ.items() if name.lower().endswith(_ABOUT_NETWORK)}
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)
