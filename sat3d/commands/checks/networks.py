"""The released networks that the user has fetched: whether each is still the file of its first use."""

from __future__ import annotations

from collections.abc import Iterator

from sat3d.commands.checks.finding import Finding, size
from sat3d.commands.checks.requirements import typed

NEEDS = ("torch",)


def check() -> Iterator[Finding]:
    """Compare each file with the sha256 that was recorded beside it."""
    from sat3d.folders import zoo_folder
    from sat3d.generators.catalogue import compare_with_record, entries
    from sat3d.generators.pickles import CheckpointError
    from sat3d.shipped import sha256_of

    found = [entry for entry in entries().values() if entry.path.is_file()]
    if not found:
        told = f"none of {len(entries())} known ones in {zoo_folder()}; sat3d inspect NAME tells where one is published"
        yield Finding("released", told, "note", f"sat3d fetch {next(iter(entries()))} URL", {"known": list(entries())})
    for entry in found:
        path = entry.path
        facts = {"file": entry.file, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
        told = f"{path}, {size(path.stat().st_size)}, sha256 {sha256_of(path)[:16]}..."
        try:
            compare_with_record(path)
        except CheckpointError:
            told += ": not the file of its first use, and refused"
            yield Finding(entry.name, told, "problem", f"rm {typed(path)} && sat3d fetch {entry.name} URL", facts)
        else:
            yield Finding(entry.name, told + " as at its first use", facts=facts)
