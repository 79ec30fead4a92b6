"""What every frozen network that looks at pictures has in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn


def weights_hash(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
    """Hash named tensors and a configuration (sha256, hexadecimal).

    Taken over the sorted names with dtype, shape and bytes, so that it does not depend on the file they came from.
    """
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


class Observer(nn.Module):
    """A network that judges images and, once frozen, never changes again.

    A frozen observer stays in ``eval()`` even when the module that holds it is put in training mode (its batch
    statistics would drift otherwise), and its weights ask for no gradients; gradients still flow to the images.
    """

    _frozen: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the configuration as plain data; it is part of the hash and of the stored file."""
        return {}

    def freeze(self) -> Self:
        """Stop all training of this module, for good."""
        super().train(False)
        self.requires_grad_(False)
        self._frozen = True
        return self

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; a frozen observer stays in evaluation mode."""
        return super().train(mode and not self._frozen)

    @property
    def hash(self) -> str:
        """Hash of weights and configuration."""
        return weights_hash(self.state_dict(), self.describe())
