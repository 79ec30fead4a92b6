"""`convert`: a checkpoint of another layout as one safetensors file of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def main(
    file: str, out: str, dtype: Literal["float32", "float16", "bfloat16"] = "float32", overwrite: bool = False
) -> None:
    """Write a generator as one .safetensors file: weights and configuration, nothing that could be executed.

    Args:
        file: A released .pkl, a .pt or .pth of torch.save, a .safetensors of ours, or a name in the zoo.
        out: The .safetensors file to write. It appears when it is complete.
        dtype: Of the stored weights; float32 keeps the generator's hash.
        overwrite: Replace a file that is there.
    """
    target = Path(out).expanduser()
    if target.suffix != ".safetensors":
        raise ValueError(f"out={out!r}: the name must end in .safetensors")
    if target.exists() and not overwrite:
        raise FileExistsError(f"out={out!r} is there already; --overwrite true replaces it")

    import torch

    from sat3d.generators import load_generator, save_generator
    from sat3d.generators.zoo import resolve

    path = resolve(file, option="file")
    generator = load_generator(file)
    try:
        save_generator(generator, target, dtype=getattr(torch, dtype))
    except OSError as error:
        raise OSError(f"out={out!r}: cannot write there ({error.strerror}); name another file") from error
    print(f"{target}: {type(generator).__name__}, {target.stat().st_size:,} bytes, from {path.name}")
    print(f"generator hash {generator.hash}" if dtype == "float32" else f"weights rounded to {dtype}")
