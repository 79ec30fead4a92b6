"""Going on with a run that was stopped within an epoch."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any


def reopen_epoch(checkpoint: MutableMapping[str, Any]) -> None:
    """Count an epoch that was cut short, by `max_steps` for instance, as one that still goes on.

    Lightning saves it as a finished one: the resumed run would be told the next epoch's number for the rest of it,
    and stop as many batches early.

    Args:
        checkpoint: a Lightning checkpoint, changed in place; one without loops stays as it is.
    """
    loop = checkpoint.get("loops", {}).get("fit_loop")
    if loop is None:
        return
    batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    cut = batches["current"]["completed"] and not batches["is_last_batch"]
    if cut and epochs["current"]["processed"] == epochs["current"]["started"]:
        for count in (epochs["current"], epochs["total"]):
            count["processed"] = count["completed"] = count["started"] - 1
