from tests.methods.conftest import toys  # noqa: F401
from tests.perception.conftest import clip_file  # noqa: F401
