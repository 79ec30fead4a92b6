from tests.methods.conftest import toys  # noqa: F401
