"""`fetch`: a released network's file from a URL, to where its name finds it."""

from __future__ import annotations


def main(name: str, url: str) -> None:
    """Download a released network's file into the folder that SAT3D_ZOO names, else ~/.cache/sat3d, and check it.

    Its sha256 is recorded beside it, and compared at every use.

    Args:
        name: Name of the network; `sat3d inspect NAME` says where its file is published.
        url: Where the file is: https://… or file:///….
    """
    from sat3d.generators.fetching import fetch
    from sat3d.shipped import sha256_of

    path = fetch(name, url)
    print(f"{path}: {path.stat().st_size:,} bytes, sha256 {sha256_of(path)}")
