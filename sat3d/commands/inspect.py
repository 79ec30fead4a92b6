"""`inspect`: what a checkpoint file holds, read as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sat3d.generators import CameraDistribution, Generator
    from sat3d.generators.catalogue import Entry

LICENCES = {
    "sat3d": "not in the file; weights that sat3d made are Apache-2.0, converted ones keep their origin's licence",
    "released": "not in the file; what NVIDIA publishes in this format is for non-commercial use (NVIDIA Source Code "
    "License), other trainings are their makers'",
    "rosinality": "not in the file; conversions of NVIDIA's weights keep their non-commercial licence",
    "genforce": "not in the file; conversions of NVIDIA's weights keep their non-commercial licence",
}


def main(file: str, layers: bool = True) -> None:
    """Tell what a checkpoint file holds: network, style space, cameras, hash and licence. Nothing in it is executed.

    Of a released network's name it tells what is known of that network, also where its file is not there.

    Args:
        file: A released .pkl, a .pt or .pth of torch.save, a .safetensors of ours, or a name in the zoo.
        layers: Print the table of the style space's layers.
    """
    from sat3d.generators.catalogue import entries, record_use
    from sat3d.generators.released import declare_released, read_checkpoint
    from sat3d.generators.zoo import read_generator, resolve
    from sat3d.shipped import sha256_of

    entry = entries().get(file)
    if entry is not None and not entry.path.is_file():
        _print([("file", entry.missing), *_known(entry), *_origin(entry)])
        return
    path = resolve(file, option="file")
    if path.suffix == ".safetensors":
        generator, layout, held = read_generator(path), "sat3d", []
    else:
        checkpoint = read_checkpoint(path)
        generator, layout = declare_released(checkpoint), checkpoint.layout
        held = [f"{name} ({network.class_name})" for name, network in checkpoint.networks.items()]
        held[list(checkpoint.networks).index(checkpoint.chosen)] += ", which is described here"
    if entry is not None:
        entry.check(generator)
        record_use(path)
        generator.cameras = entry.cameras
    _print(
        [
            ("file", str(path)),
            ("sha256", sha256_of(path)),
            ("bytes", f"{path.stat().st_size:,}"),
            ("layout", layout + (f": {'; '.join(held)}" if held else "")),
            *_described(generator),
            *([("licence", LICENCES[layout])] if entry is None else _origin(entry)),
        ]
    )
    if layers:
        print("\n" + "\n".join(_table(generator)))


def _print(rows: Sequence[tuple[str, str]]) -> None:
    print("\n".join(f"{name:<14}{text}" for name, text in rows))


def _known(entry: Entry) -> Iterator[tuple[str, str]]:
    """Tell what is known of a network whose file is not there."""
    yield "architecture", entry.architecture
    yield "resolution", f"{entry.resolution} px"
    if entry.samples:
        yield "rays", f"{entry.neural_resolution} px, {entry.samples[0]} + {entry.samples[1]} samples"
        yield "planes", f"{entry.planes} convention"
    if entry.cameras:
        yield from _cameras(entry.cameras)


def _origin(entry: Entry) -> Iterator[tuple[str, str]]:
    """Tell what the file does not say."""
    if entry.architecture == "EG3D":
        yield "poses", f"{entry.poses}"
        yield "conditioning", f"{entry.conditioning}"
        yield "background", f"{entry.background}"
    else:
        yield "classes", "not known" if entry.classes is None else f"{entry.classes or 'none'}"
    yield "source", entry.source
    yield "licence", entry.licence


def _described(generator: Generator) -> Iterator[tuple[str, str]]:
    from sat3d.generators.eg3d import EG3D

    space = generator.style_space
    weights = sum(p.numel() for p in generator.parameters())
    yield "architecture", f"{type(generator).__name__}, {weights:,} weights"
    yield "resolution", f"{generator.resolution} px"
    yield "codes", f"z {generator.z_dim}, c {generator.c_dim}, w {generator.num_ws} x {generator.w_dim}"
    convolutions = int(space.mask(("conv",), ("backbone", "superresolution")).sum())
    yield "styles", f"{space.size} channels in {len(space.layers)} layers; {convolutions} of them in convolutions"
    if isinstance(generator, EG3D):
        o, r = generator.options, generator.options.rendering
        yield "rays", f"{o.neural_resolution} px, {r.depth_resolution} + {r.depth_resolution_importance} samples"
        yield "planes", "released convention" if o.plane_axes is None else f"axes {o.plane_axes}"
    if generator.cameras is not None:
        yield from _cameras(generator.cameras)


def _cameras(c: CameraDistribution) -> Iterator[tuple[str, str]]:
    yield "cameras", f"radius {c.radius}, pivot {c.pivot}, field of view {c.fov} degrees"
    yield "", f"yaw {c.yaw[0]} to {c.yaw[1]}, pitch {c.pitch[0]} to {c.pitch[1]} radians"


def _table(generator: Generator) -> Iterator[str]:
    yield f"{'style layer':<40}{'kind':<7}{'part':<17}{'px':>5}{'w':>4}{'first':>7}{'size':>6}"
    for y in generator.style_space.layers:
        yield f"{y.name:<40}{y.kind:<7}{y.part:<17}{y.resolution:>5}{y.ws_index:>4}{y.start:>7}{y.size:>6}"
