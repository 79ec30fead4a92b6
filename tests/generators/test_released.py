"""Released checkpoints: the generator that comes out draws what the one that went in draws, and nothing is executed."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sat3d.generators import CheckpointError, Generator, from_official, load_generator, save_generator, tiny_generator
from sat3d.generators.eg3d import EG3D
from sat3d.generators.released import plain, read_checkpoint
from tests.generators.released_format import dump, example, network, released_file, torch_file


def picture(generator: Generator) -> torch.Tensor:
    z = torch.linspace(-2, 2, 2 * generator.z_dim).sin().reshape(2, -1)
    styles = generator.styles(generator.map(z, truncation=0.8))
    with torch.no_grad():
        return generator.synthesize(styles, generator.cameras.frontal() if isinstance(generator, EG3D) else None).image


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("kind", ["stylegan2", "eg3d"])
def test_a_released_file_draws_the_same_pictures(kind, protocol, tmp_path):
    expected = from_official(*example(kind))
    loaded = load_generator(written(tmp_path / "network.pkl", released_file(kind, protocol)))
    assert loaded.hash == expected.hash and loaded.cameras == expected.cameras and loaded.name == "network"
    assert torch.equal(picture(loaded), picture(expected))
    assert not any(p.requires_grad or p.is_meta for p in loaded.parameters())
    assert not any(b.is_meta for b in loaded.buffers())


def test_what_belongs_to_the_network_is_read_with_it(tmp_path):
    checkpoint = read_checkpoint(written(tmp_path / "n.pkl", released_file("eg3d")))
    assert (checkpoint.layout, checkpoint.chosen) == ("released", "G_ema")
    assert list(checkpoint.networks) == ["G", "D", "G_ema"]
    found = checkpoint.networks["G_ema"]
    assert found.attributes == {"neural_rendering_resolution": 8, "plane_axes": torch.eye(3).repeat(3, 1, 1).tolist()}
    assert found.init_kwargs["rendering_kwargs"]["depth_resolution_importance"] == 4
    generator = load_generator(tmp_path / "n.pkl")
    assert isinstance(generator, EG3D) and generator.options.neural_resolution == 8
    assert torch.equal(generator.renderer.axes, torch.eye(3).repeat(3, 1, 1))


def test_flat_arguments_of_the_synthesis_network_are_nested_ones():
    config, tensors = example("stylegan2")
    nested = {**config["init_kwargs"], "synthesis_kwargs": {"channel_base": 64, "channel_max": 8, "conv_clamp": 2}}
    flat = {**nested, **nested["synthesis_kwargs"], "fused_modconv_default": "inference_only"}
    del flat["synthesis_kwargs"]
    first, second = (from_official({**config, "init_kwargs": kwargs}, tensors) for kwargs in (nested, flat))
    assert second.hash == first.hash and second.config["synthesis"]["conv_clamp"] == 2


def test_half_precision_is_widened(tmp_path):
    generator = load_generator(written(tmp_path / "n.pkl", released_file("stylegan2", dtype=torch.float16)))
    assert {p.dtype for p in generator.parameters()} == {torch.float32}
    _, tensors = example("stylegan2")
    assert torch.equal(generator.synthesis.b4.const, tensors["synthesis.b4.const"].half().float())


def test_trainable_copies_share_nothing(tmp_path):
    config, tensors = example("stylegan2")
    shared = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    tensors["mapping.fc0.weight"] = tensors["mapping.fc1.weight"] = shared
    part = network(config["class_name"], config["init_kwargs"], tensors)
    path = written(tmp_path / "n.pkl", dump({"G_ema": part}))
    private = load_generator(path, trainable=True)
    private.mapping.fc0.weight.data += 1
    assert torch.equal(private.mapping.fc1.weight, shared)
    assert torch.equal(load_generator(path).mapping.fc0.weight, shared)


def rosinality(state: dict, mean: bool = True) -> dict:
    """Write a state dict as rosinality's stylegan2-pytorch names it."""
    out = {"input.input": state["synthesis.b4.const"][None]}
    for i in range(2):
        for part in ("weight", "bias"):
            out[f"style.{i + 1}.{part}"] = state[f"mapping.fc{i}.{part}"]
    blocks = sorted({int(n.split(".")[1][1:]) for n in state if n.startswith("synthesis.b")})
    convolutions = [f"synthesis.b{b}.{c}" for b in blocks for c in ("conv0", "conv1") if (b, c) != (4, "conv0")]
    for i, ours in enumerate(convolutions):
        theirs = f"convs.{i - 1}" if i else "conv1"
        out |= {
            f"{theirs}.conv.weight": state[f"{ours}.weight"][None],
            f"{theirs}.conv.modulation.weight": state[f"{ours}.affine.weight"],
            f"{theirs}.conv.modulation.bias": state[f"{ours}.affine.bias"],
            f"{theirs}.noise.weight": state[f"{ours}.noise_strength"][None],
            f"{theirs}.activate.bias": state[f"{ours}.bias"],
            f"noises.noise_{i}": state[f"{ours}.noise_const"][None, None],
        }
        if ours.endswith("conv0"):
            out[f"{theirs}.conv.blur.kernel"] = state[f"{ours}.resample_filter"] * 4
    for j, b in enumerate(blocks):
        ours, theirs = f"synthesis.b{b}.torgb", f"to_rgbs.{j - 1}" if j else "to_rgb1"
        out |= {
            f"{theirs}.conv.weight": state[f"{ours}.weight"][None],
            f"{theirs}.conv.modulation.weight": state[f"{ours}.affine.weight"],
            f"{theirs}.conv.modulation.bias": state[f"{ours}.affine.bias"],
            f"{theirs}.bias": state[f"{ours}.bias"].reshape(1, 3, 1, 1),
        }
    return {"g_ema": out, "d": {}, "args": None} | ({"latent_avg": state["mapping.w_avg"]} if mean else {})


def genforce(state: dict) -> dict:
    """Write a state dict as genforce names it: TensorFlow's kernels of upsampling layers, styles without their 1."""
    out = {"synthesis.early_layer.const": state["synthesis.b4.const"][None], "truncation.w_avg": state["mapping.w_avg"]}
    for i in range(2):
        for part in ("weight", "bias"):
            out[f"mapping.dense{i}.{part}"] = state[f"mapping.fc{i}.{part}"]
    for name, tensor in state.items():
        match name.split("."):
            case ["synthesis", block, layer, *rest] if layer in ("conv0", "conv1", "torgb"):
                j = int(block[1:]).bit_length() - 3
                number = {"conv0": 2 * j - 1, "conv1": 2 * j, "torgb": j}[layer]
                theirs = f"synthesis.{'output' if layer == 'torgb' else 'layer'}{number}"
                match rest:
                    case ["weight"]:
                        out[f"{theirs}.weight"] = tensor.flip((2, 3)) if layer == "conv0" else tensor
                    case ["affine", part]:
                        out[f"{theirs}.style.{part}"] = tensor - 1 if part == "bias" else tensor
                    case ["noise_const"]:
                        out[f"{theirs}.noise"] = tensor[None, None]
                    case ["resample_filter"] if layer == "conv0":
                        out[f"{theirs}.filter.kernel"] = tensor[None, None] * 4
                    case ["bias"] | ["noise_strength"]:
                        out[f"{theirs}.{rest[0]}"] = tensor
    return {"models": {"generator_smooth": out, "generator": {k: v + 1 for k, v in out.items()}}, "epoch": 3}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("layout", [rosinality, genforce])
def test_other_layouts_draw_the_same_pictures(layout, zipped, tmp_path):
    original = tiny_generator(5, "stylegan2")
    with torch.no_grad():
        for name, tensor in original.state_dict().items():
            if not name.endswith("resample_filter"):
                tensor += 0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(len(name)))
    path = written(tmp_path / "g.pt", torch_file(layout(original.state_dict()), zipped))
    loaded = load_generator(path)
    torch.testing.assert_close(picture(loaded), picture(original), rtol=1e-4, atol=1e-5)
    assert read_checkpoint(path).layout == layout.__name__


def test_a_mean_that_is_not_in_the_file_is_estimated(tmp_path):
    original = tiny_generator(5, "stylegan2")
    data = torch_file(rosinality(original.state_dict(), mean=False))
    loaded = load_generator(written(tmp_path / "g.pt", data))
    ws = original.map(torch.randn(20_000, 16, generator=torch.Generator().manual_seed(1)))[:, 0]
    assert (loaded.mapping.w_avg - ws.mean(0)).abs().max() < 4 * float(ws.std()) / 4096**0.5
    assert torch.equal(loaded.mapping.w_avg, load_generator(tmp_path / "g.pt", trainable=True).mapping.w_avg)


def test_our_files_and_their_conversions_have_one_hash(tmp_path):
    released = load_generator(written(tmp_path / "n.pkl", released_file("eg3d")))
    save_generator(released, tmp_path / "n.safetensors")
    ours = load_generator(tmp_path / "n.safetensors")
    assert ours.hash == released.hash and ours.cameras == released.cameras
    assert torch.equal(picture(ours), picture(released))


def refusal(tmp_path: Path, data: bytes) -> str:
    """Return why a file is refused."""
    with pytest.raises(CheckpointError) as refused:
        load_generator(written(tmp_path / "n.pkl", data))
    return str(refused.value)


def test_what_is_no_generator_is_explained(tmp_path):
    config, tensors = example("stylegan2")
    kwargs = config["init_kwargs"]

    def file(class_name: str = "Generator", arguments: dict = kwargs, parameters: dict = tensors) -> bytes:
        return dump({"G_ema": network(class_name, arguments, parameters)})

    assert re.search("no generator in it.*it holds: 'state'", refusal(tmp_path, dump({"state": {}})))
    assert re.search("no generator in it.*it holds: list", refusal(tmp_path, dump([1, 2])))
    assert "no generator in it" in refusal(tmp_path, torch_file({"synthesis.b4.const": torch.ones(1)}))
    assert "class_name is 'Discriminator'; known are" in refusal(tmp_path, file("Discriminator"))
    lacking = {name: tensor for name, tensor in tensors.items() if "fc1" not in name}
    assert "missing: mapping.fc1.bias" in refusal(tmp_path, file(parameters=lacking))
    assert "not of this network: extra" in refusal(tmp_path, file(parameters={**tensors, "extra": torch.ones(1)}))
    without = {k: v for k, v in kwargs.items() if k != "z_dim"}
    assert "argument 'z_dim' is missing" in refusal(tmp_path, file(arguments=without))
    for change, reason in [
        ({"w_dim": 2**30}, "of another shape"),
        ({"img_resolution": 2**62}, "describe no network"),
        ({"mapping_kwargs": {"num_layers": 10**12}}, "num_layers"),
        ({"synthesis_kwargs": {"architecture": "spiral"}}, "architecture is 'spiral'"),
        ({"synthesis_kwargs": {"activation": "relu"}}, "activation is 'relu'"),
        ({"synthesis_kwargs": {"resample_filter": [1] * 50}}, "taps"),
    ]:
        assert reason in refusal(tmp_path, file(arguments={**kwargs, **change}))
    for wrong in (None, "many", [4], {"a": 1}, 1.5, -3, True):
        assert "n.pkl: G_ema" in refusal(tmp_path, file(arguments={**kwargs, "z_dim": wrong}))


def test_a_layout_with_parts_that_we_do_not_have_is_refused(tmp_path):
    state = rosinality(tiny_generator(5, "stylegan2").state_dict())
    for change, reason in [
        ({"extra": torch.ones(1)}, "parts that StyleGAN2 does not have: extra"),
        ({"convs.0.conv.blur.kernel": torch.ones(4, 4)}, "filter other than"),
        ({"noises.noise_1": torch.ones(3)}, "other shapes"),
    ]:
        assert reason in refusal(tmp_path, torch_file({**state, "g_ema": {**state["g_ema"], **change}}))
    empty = {name: tensor for name, tensor in state["g_ema"].items() if not name.startswith("to_rgb")}
    assert "other shapes" in refusal(tmp_path, torch_file({**state, "g_ema": empty}))
    del state["g_ema"]["convs.1.activate.bias"]
    assert "lacks convs.1.activate.bias" in refusal(tmp_path, torch_file(state))


def test_settings_become_plain_data():
    loop: list = []
    loop.append(loop)
    assert plain({"a": (1, [2.5, None]), 3: {True}}) == {"a": [1, [2.5, None]], "<int>": [True]}
    with pytest.raises(CheckpointError, match="nested deeper"):
        plain(loop)
    wide: list = [0]
    for _ in range(25):
        wide = [wide, wide]
    with pytest.raises(CheckpointError, match="more of them"):
        plain(wide)


def test_a_network_of_parts_that_repeat_without_end_is_refused(tmp_path):
    part = network("Part", {}, {"a.weight": torch.ones(1)})
    for _ in range(20):
        outer = network("Part", {}, {})
        outer.state["_modules"].update(left=part, right=part)
        part = outer
    assert "more instructions" in refusal(tmp_path, dump({"G_ema": part}))
    loop = network("Part", {}, {})
    loop.state["_modules"]["again"] = loop
    assert "no part of a network" in refusal(tmp_path, dump({"G_ema": loop}))


GOOD = [("A", "A_sanitised_era"), ("A", "A_sanitised_modern"), ("C", "C_sanitised_era")]


@pytest.mark.parametrize(("name", "file"), GOOD, ids=[file for _, file in GOOD])
def test_released_files_hold_what_is_known_of_them(name, file, fixtures_dir):
    folder = fixtures_dir / "pickles"
    expected = json.loads((folder / f"{name}_expected.json").read_text())
    networks = read_checkpoint(folder / f"{file}.pkl").networks
    assert {key: found.class_name for key, found in networks.items()} == expected["class_name"]
    assert {key: found.init_kwargs for key, found in networks.items()} == expected["init_kwargs"]
    for key, found in networks.items():
        hashes = {n: hashlib.sha256(t.numpy().tobytes()).hexdigest()[:16] for n, t in found.state_dict().items()}
        assert hashes == expected["sha256_16"][key]
        assert found.attributes.items() >= expected.get("attributes", {}).get(key, {}).items()
    recording = (fixtures_dir / expected["G_ema_equals"]).parent
    config = json.loads((recording / "config.json").read_text())
    same = from_official(config, load_file(recording / "weights.safetensors"))
    loaded = load_generator(folder / f"{file}.pkl")
    assert (loaded.hash, loaded.config) == (same.hash, same.config)
    assert torch.equal(picture(loaded)[:1], picture(same)[:1])


REFUSED = {
    "malicious_os_system": "posix.system",
    "malicious_eval": "builtins.eval",
    "malicious_getattr_chain": "builtins.getattr",
    "malicious_nested_storage": "posix.system",
    "malicious_module_src": "module_src is not run",
}
WATCHED = """
import sys
from pathlib import Path
from sat3d.generators import CheckpointError, load_generator
from sat3d.generators.released import read_checkpoint

seen = []
FORBIDDEN = ("exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "subprocess", "socket",
             "ctypes", "pty", "code.__new__", "function.__new__", "pickle", "marshal", "shutil", "os.remove")
def watch(event, args):
    wrote = event == "open" and (str(args[1] or "r").strip("rb") or (args[2] or 0) & 3)
    if event.startswith(FORBIDDEN) or event == "import" or wrote:
        seen.append((event, str(args[:2])[:200]))
sys.addaudithook(watch)
for path in sys.argv[1:]:
    for read in (read_checkpoint, load_generator):
        try:
            read(path)
            print(Path(path).stem, "read")
        except CheckpointError as error:
            print(Path(path).stem, "refused:", error)
print("seen", seen)
"""


def watched(paths: list[Path], folder: Path) -> str:
    """Read files in a process of their own under an audit hook; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, paths)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.glob("*executed*")) == list(folder.glob("*pwned*")) == []
    return done.stdout


def test_nothing_in_a_file_is_executed(tmp_path):
    hostile = {"os": "posix\nsystem", "eval": "builtins\neval", "third": "torch.hub\nload"}
    good = released_file("stylegan2", 3)
    call = {
        name: f"c{dotted}\nX\x10\x00\x00\x00touch executed  ".encode() + b"\x85R" for name, dotted in hostile.items()
    }
    assert good.endswith(b"Nu.")  # augment_pipe, None
    paths = [written(tmp_path / "good.pkl", good)]
    for name, code in call.items():
        paths.append(written(tmp_path / f"{name}.pkl", good[:-3] + code + b"u."))
    out = watched(paths, tmp_path)
    assert out.count("good read") == 2
    for name, dotted in hostile.items():
        assert out.count(f"{name} refused:") == 2 and dotted.replace("\n", ".") in out
    assert out.endswith("seen []\n")


def test_malicious_files_are_refused_by_name_and_nothing_is_executed(fixtures_dir, tmp_path):
    folder = fixtures_dir / "pickles"
    paths = sorted(folder.glob("malicious_*.pkl"))
    assert {path.stem for path in paths} >= REFUSED.keys()
    out = watched(paths, tmp_path)
    for path in paths:
        assert any(f"{path.stem} refused:" in line and REFUSED.get(path.stem, "") in line for line in out.splitlines())
    assert out.endswith("seen []\n")
