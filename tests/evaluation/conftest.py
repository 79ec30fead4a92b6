"""What the tests of comparisons share: tiny networks, and pages in a browser."""

import pytest

from tests.methods.conftest import toys  # noqa: F401


@pytest.fixture
def opened(browser):
    """Open pages that may ask for nothing but themselves, and say nothing on the console."""
    wrong, contexts = [], []

    def open_page(path, width=1280, scheme="light", fragment="", script=True):
        view = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
        context = browser.new_context(**view, java_script_enabled=script)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda r: (
                None if r.url.split("#")[0] in (path.as_uri(),) or r.url.startswith("data:") else wrong.append(r.url)
            ),
        )
        page.goto(path.as_uri() + fragment)
        if script:
            page.wait_for_selector("[id$=made]:visible")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
