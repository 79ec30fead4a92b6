import sys

import pytest


@pytest.fixture(autouse=True)
def activated(monkeypatch):
    """Let this Python's environment be the activated one, so that commands are short."""
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
