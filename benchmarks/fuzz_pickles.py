"""Read thousands of mutated checkpoint files: each must load with what it declares, or end in a CheckpointError.

    python benchmarks/fuzz_pickles.py [--count 10000] [--seed 0]

A file loads if every tensor has the shape and type that the file declares and the generator's weights are those of
its configuration. No other exception may come out, an audit hook watches for execution, sockets and writing, and the
address space is limited to 2 GiB more than at the start. File i of a seed is always the same.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from sat3d.generators import CheckpointError, Generator, from_official, save_generator
from sat3d.generators.pickles import TensorRecord
from sat3d.generators.released import read_checkpoint, read_released
from sat3d.generators.zoo import read_generator
from tests.generators.released_format import dump, network, random_tensors, torch_file

MEMORY = 2 * 2**30
FORBIDDEN = ("exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess", "socket", "ctypes",
             "code.__new__", "function.__new__", "pickle", "marshal", "import")  # fmt: skip
SNIPPETS = [
    b"cos\nsystem\nX\x04\0\0\0true\x85R", b"cbuiltins\neval\nX\x01\0\0\x001\x85R", b"cbuiltins\ngetattr\n",
    b"(cos\nsystem\no", b"ctorch.hub\nload\n)R", b"ctorch.storage\n_load_from_bytes\nC\x02N.\x85R",
    b"ccollections\nOrderedDict\n)R", b"ctorch._utils\n_rebuild_tensor_v2\n", b"cnumpy\ndtype\nX\x02\0\0\0O8\x85R",
    b"cnumpy.core.multiarray\n_reconstruct\n)R", b"\x95\xff\xff\xff\xff\xff\xff\xff\xff", b"X\xff\xff\xff\xff",
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", b"r\xff\xff\xff\xff",
    b"(", b"0", b"1", b"2", b"R", b"b", b"\x81", b"\x92", b"\x93", b"u", b"s", b"e", b"\x90", b"\x91", b"N", b"}", b"]",
    b")", b"\x8f", b"h\x00", b"Q", b".", b"I1\n", b"F1e999\n", b"G\x7f\xf8\0\0\0\0\0\0",
]  # fmt: skip


def seeds() -> list[tuple[str, bytes]]:
    """Return small files and their suffixes: old and new protocols, both formats of torch.save, and ours."""
    kwargs = {
        "z_dim": 4, "c_dim": 0, "w_dim": 4, "img_resolution": 4, "img_channels": 3, "mapping_kwargs": {"num_layers": 1},
        "synthesis_kwargs": {"channel_base": 16, "channel_max": 4},
    }  # fmt: skip
    conv = {"weight": (4, 4, 3, 3), "bias": (4,), "affine.weight": (4, 4), "affine.bias": (4,)}
    noise = {"noise_strength": (), "noise_const": (4, 4), "resample_filter": (4, 4)}
    rgb = {"weight": (3, 4, 1, 1), "bias": (3,), "affine.weight": (4, 4), "affine.bias": (4,)}
    shapes = {
        "mapping.fc0.weight": (4, 4), "mapping.fc0.bias": (4,), "mapping.w_avg": (4,), "synthesis.b4.const": (4, 4, 4),
        "synthesis.b4.resample_filter": (4, 4),
        **{f"synthesis.b4.conv1.{name}": shape for name, shape in {**conv, **noise}.items()},
        **{f"synthesis.b4.torgb.{name}": shape for name, shape in rgb.items()},
    }  # fmt: skip
    part = network("Generator", kwargs, random_tensors(shapes))
    theirs = {
        "style.1.weight": (4, 4), "style.1.bias": (4,), "input.input": (1, 4, 4, 4),
        "conv1.conv.weight": (1, 4, 4, 3, 3),
        "conv1.conv.modulation.weight": (4, 4), "conv1.conv.modulation.bias": (4,), "conv1.noise.weight": (1,),
        "conv1.activate.bias": (4,), "noises.noise_0": (1, 1, 4, 4), "to_rgb1.conv.weight": (1, 3, 4, 1, 1),
        "to_rgb1.conv.modulation.weight": (4, 4), "to_rgb1.conv.modulation.bias": (4,), "to_rgb1.bias": (1, 3, 1, 1),
    }  # fmt: skip
    state = {"g_ema": random_tensors(theirs), "latent_avg": torch.zeros(4)}
    small = network("Generator", kwargs, random_tensors({"a.weight": (2, 2), "a.w_avg": (3,)}))
    return [
        *((".pkl", dump({"G_ema": part, "D": None}, protocol)) for protocol in (2, 3, 4)),
        *((".pkl", dump({"G_ema": small, "training_set_kwargs": {"n": 1.5}}, protocol)) for protocol in (0, 4)),
        (".pt", torch_file(state)),
        (".pt", torch_file(state, zipped=False)),
        (
            ".safetensors",
            ours(from_official({"class_name": "Generator", "init_kwargs": kwargs}, random_tensors(shapes))),
        ),
    ]


def ours(generator: Generator) -> bytes:
    """Return the file that `save_generator` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.safetensors"
        save_generator(generator, path)
        return path.read_bytes()


def mutate(data: bytes, draw: random.Random, others: list[bytes]) -> bytes:
    """Return a file with a few changes."""
    out = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 3, 8])):
        at, length = draw.randrange(len(out) + 1), draw.choice([1, 2, 4, 16, 100])
        kind = draw.choice(["bit", "bit", "byte", "cut", "drop", "insert", "splice", "number", "repeat", "replace"])
        if not out or kind == "insert":
            out[at:at] = draw.choice(SNIPPETS)
        elif kind == "bit":
            out[min(at, len(out) - 1)] ^= 1 << draw.randrange(8)
        elif kind == "byte":
            out[min(at, len(out) - 1)] = draw.randrange(256)
        elif kind == "cut":
            del out[at:]
        elif kind == "drop":
            del out[at : at + length]
        elif kind == "splice":
            other = draw.choice(others)
            start = draw.randrange(len(other))
            out[at : at + draw.choice([0, length])] = other[start : start + length]
        elif kind == "number":
            out[at : at + 4] = draw.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"])
        elif kind == "repeat":
            out[at:at] = out[at : at + length] * draw.choice([1, 2, 50])
        else:
            snippet = draw.choice(SNIPPETS)
            out[at : at + len(snippet)] = snippet
    return bytes(out)


def outcome(path: Path) -> str:
    """Read a file; say `loaded`, `described` (tensors, but no generator) or `refused`.

    Raises:
        AssertionError: what was loaded is not what is declared.
    """
    if path.suffix == ".safetensors":
        try:
            generator = read_generator(path)
        except CheckpointError:
            return "refused"
        assert all(tensor.dtype is torch.float32 and not tensor.is_meta for tensor in generator.state_dict().values())
        return "loaded"
    try:
        checkpoint = read_checkpoint(path)
        for found in checkpoint.networks.values():
            tensors = found.state_dict()
            assert tensors.keys() == found.tensors.keys()
            for name, record in found.tensors.items():
                assert tensors[name].shape == record.shape and tensors[name].dtype == record.dtype, name
                if isinstance(record, TensorRecord):
                    assert record.numel * record.dtype.itemsize <= path.stat().st_size, name
    except CheckpointError:
        return "refused"
    try:
        generator = read_released(path)
    except CheckpointError:
        return "described"
    declared = checkpoint.networks[checkpoint.chosen].tensors
    for name, tensor in generator.state_dict().items():
        assert tensor.dtype is torch.float32 and not tensor.is_meta, name
        assert name not in declared or tensor.shape == declared[name].shape, name
    return "loaded"


def watch(report: Callable[[str], None]) -> Callable[[], None]:
    """Report execution, imports, sockets and writing from now on; the result starts and stops it."""
    active = False

    def hook(event: str, args: tuple[object, ...]) -> None:
        if not active:
            return
        wrote = event == "open" and (str(args[1] or "r").strip("rb") or int(args[2] or 0) & 3)  # type: ignore[call-overload]
        if wrote or event.startswith(FORBIDDEN):
            report(f"{event} {str(args)[:200]}")

    def switch() -> None:
        nonlocal active
        active = not active

    sys.addaudithook(hook)
    return switch


def fuzz(count: int, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Read `count` mutated files; return how they ended, and what went wrong."""
    files, wrong, ended = seeds(), [], Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for suffix, data in files:
            path = Path(folder) / f"file{suffix}"
            path.write_bytes(data)
            ended["unchanged files that load"] += outcome(path) != "refused"
        switch = watch(wrong.append)
        for i in range(count):
            draw = random.Random(f"{seed}/{i}")
            suffix, data = draw.choice(files)
            path = Path(folder) / f"file{suffix}"
            path.write_bytes(mutate(data, draw, [other for _, other in files]))
            switch()
            try:
                ended[outcome(path)] += 1
            except Exception as error:
                switch()
                wrong.append(f"file {i}:\n" + "".join(traceback.format_exception(error)))
            else:
                switch()
    return ended, wrong


def main() -> None:
    """Print how the files ended; exit with 1 if any did not load or was not refused."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    start = time.perf_counter()
    ended, wrong = fuzz(options.count, options.seed)
    print(f"{options.count} mutated files of seed {options.seed} in {time.perf_counter() - start:.0f} s: {dict(ended)}")
    for text in wrong[:10]:
        print(text)
    print(f"other exceptions and forbidden events: {len(wrong)}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
