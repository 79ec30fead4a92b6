"""Rows of labelled data for training, validation and test."""

from __future__ import annotations

Rows = int | tuple[int, int]
"""How many rows, or the first and one past the last."""


def split_rows(count: int, train: Rows | None, val: Rows, test: Rows) -> dict[str, range]:
    """Cut rows 0 … count − 1 into three disjoint parts.

    Args:
        count: number of rows.
        train: how many, or first and one past the last; `None` for all that the counts of the others leave.
        val: the same; counts stand one after the other: train, val, test.
        test: the same.

    Raises:
        ValueError: for parts that overlap or reach beyond the rows, for an empty training part, and for counts mixed
            with ranges.
    """
    asked = {"train": train, "val": val, "test": test}
    ranges = [k for k, v in asked.items() if isinstance(v, tuple | list)]
    if ranges and len(ranges) < 3:
        raise ValueError(f"{', '.join(ranges)}: give train, val and test all as counts, or all as [first, end]")
    if ranges:
        rows = {k: range(*v) for k, v in asked.items() if isinstance(v, tuple | list)}
    else:
        sizes = {k: v for k, v in asked.items() if isinstance(v, int)}
        sizes.setdefault("train", count - sizes["val"] - sizes["test"])
        if sizes["train"] < 0 and train is None:
            raise ValueError(f"val={val} and test={test} are more than the {count} rows there are")
        ends = {"train": sizes["train"], "val": sizes["train"] + sizes["val"], "test": sum(sizes.values())}
        rows = {k: range(end - sizes[k], end) for k, end in ends.items()}
    for name, part in rows.items():
        if part.start < 0 or part.stop < part.start or part.stop > count:
            raise ValueError(
                f"{name}={asked[name]} takes the rows [{part.start}, {part.stop}) of {count} that there are"
            )
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        if max(rows[a].start, rows[b].start) < min(rows[a].stop, rows[b].stop):
            raise ValueError(f"{a}={asked[a]} and {b}={asked[b]} have rows in common")
    if not rows["train"]:
        raise ValueError(f"train={train} leaves nothing to train on ({count} rows, val={val}, test={test})")
    return rows
