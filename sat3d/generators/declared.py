"""Networks whose weights are declared and not there, until those of a file take their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils._device  # entering a device context would import it while a file is read
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DIVISIONS = (Tensor.__truediv__, Tensor.div)


class _NothingDrawn(TorchFunctionMode):
    """Skip what initial weights are made with: on `meta` it costs seconds of imports and changes no shape."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.randn:
            return torch.empty(*args, device="meta")
        if func in _DIVISIONS and isinstance(args[0], Tensor) and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def declared() -> Iterator[None]:
    """Build networks on `meta`: names and shapes, no memory, however large a file says they are."""
    with torch.device("meta"), _NothingDrawn():
        yield
