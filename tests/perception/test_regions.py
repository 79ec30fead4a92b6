from collections import namedtuple

import pytest
import torch
from jsonargparse import ArgumentParser
from safetensors.torch import save_file
from torch import nn

from sat3d.generators import tiny_generator
from sat3d.perception import (
    ClusterRegions,
    NetworkRegions,
    ParserConfig,
    ParserRegions,
    ParsingNetwork,
    PartParser,
    RegionSource,
    load_observer,
    save_observer,
)

CLASSES = ("dark", "red", "green", "blue")
COLOURS = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
Outputs = namedtuple("Outputs", ["maps", "extra"])


class ByColour(nn.Module):
    """Tell four colours apart: the logits are the channels of pictures in [0, 1], and 0.5 for dark."""

    def __init__(self, returns: str = "tensor", classes: int = 4) -> None:
        super().__init__()
        self.returns = returns
        self.mix = nn.Conv2d(3, classes, 1)
        if classes == 4:
            with torch.no_grad():
                self.mix.weight.copy_(COLOURS[:, :, None, None])
                self.mix.bias.copy_(torch.tensor([0.5, 0.0, 0.0, 0.0]))
        self.norm = nn.BatchNorm2d(classes, affine=False)  # in training mode it would use the pictures' statistics

    def forward(self, x):
        y = self.norm(self.mix(x))
        made = {"tensor": y, "tuple": (y, -y), "named": Outputs(y, -y), "dict": {"out": y, "aux": -y}, "text": "none"}
        return made[self.returns]


class Scripted(nn.Module):
    """The same without a choice of outputs, as TorchScript wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = ByColour().mix

    def forward(self, x):
        return self.mix(x), x


def build_by_colour(**options):
    return ByColour(**options)


def colour_pictures(seed=0, side=16):
    """Return pictures in [-1, 1] of random colours, and which colour each pixel has."""
    labels = torch.randint(4, (2, side, side), generator=torch.Generator().manual_seed(seed))
    return COLOURS[labels].movedim(-1, 1) * 2 - 1, labels


def by_colour(returns="tensor", **options):
    options = {"size": 16, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), **options}
    return ParsingNetwork(CLASSES, f"{__name__}.ByColour", {"returns": returns}, **options)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Let the dotted path find this file, however pytest imported it."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[ByColour.__module__])


# Networks


@pytest.mark.parametrize(
    ("returns", "output"),
    [("tensor", None), ("tuple", None), ("named", None), ("named", 0), ("dict", None), ("dict", "out")],
)
def test_a_network_that_knows_colours_labels_them(returns, output):
    images, labels = colour_pictures()
    regions = NetworkRegions(by_colour(returns, output=output))
    regions.train()  # as a module that trains would do
    assert regions.names == CLASSES and regions.features == () and regions.is_fitted
    assert torch.equal(regions.segment(images), labels)
    assert regions.segment(images).dtype == torch.int64


def test_the_second_output_can_be_asked_for():
    images, labels = colour_pictures()
    for returns, output in (("tuple", 1), ("dict", "aux")):
        found = NetworkRegions(by_colour(returns, output=output)).segment(images)
        assert not (found == labels).any()  # the logits with the other sign


def test_merged_classes():
    images, labels = colour_pictures()
    regions = NetworkRegions(by_colour(), {"warm": ["red"], "cold": ["blue", "green"]})
    expected = torch.tensor([-1, 0, 1, 1])[labels]  # dark is in no group
    assert regions.names == ("warm", "cold")
    assert torch.equal(regions.segment(images), expected)


def test_pictures_are_resized_and_normalised():
    images, labels = colour_pictures(side=4)
    large = images.repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert torch.equal(NetworkRegions(by_colour(size=4)).segment(large), labels)
    # (x − 0.25)/0.25 ≥ 0.5 wants x ≥ 0.375: half bright colours are dark without it
    half = (images + 1) / 2 - 1
    assert (NetworkRegions(by_colour(size=4)).segment(half) == 0).all()
    options = {"mean": (0.25, 0.25, 0.25), "std": (0.25, 0.25, 0.25)}
    assert torch.equal(NetworkRegions(by_colour(size=4, **options)).segment(half), labels)


def test_weights_from_files(tmp_path):
    images, labels = colour_pictures()
    turned = ByColour()
    turned.mix.weight.data = turned.mix.weight.data[[0, 2, 3, 1]]
    save_file(turned.state_dict(), tmp_path / "net.safetensors")
    torch.save(turned.state_dict(), tmp_path / "net.pth")
    for name in ("net.safetensors", "net.pth"):
        regions = NetworkRegions(by_colour(weights=str(tmp_path / name)))
        assert torch.equal(regions.segment(images), torch.tensor([0, 3, 1, 2])[labels])
    torch.save({"net": turned}, tmp_path / "whole.pth")
    with pytest.raises(ValueError, match=r"whole\.pth.* holds more than tensors"):
        NetworkRegions(by_colour(weights=str(tmp_path / "whole.pth")))
    (tmp_path / "torn.safetensors").write_bytes((tmp_path / "net.safetensors").read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"torn\.safetensors.* is damaged"):
        NetworkRegions(by_colour(weights=str(tmp_path / "torn.safetensors")))
    save_file({"mix.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors.* does not fit .*ByColour"):
        NetworkRegions(by_colour(weights=str(tmp_path / "other.safetensors")))
    with pytest.raises(FileNotFoundError, match=r"absent\.pth' does not exist"):
        NetworkRegions(by_colour(weights="absent.pth"))


@pytest.mark.filterwarnings("ignore:.*torch.jit.(script|freeze|save)")
def test_torchscript(tmp_path, recwarn):
    images, labels = colour_pictures()
    path = str(tmp_path / "net.pt")
    scripted = torch.jit.script(Scripted().eval())
    plain = {"size": 16, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    for stored in (scripted, torch.jit.freeze(scripted)):
        stored.save(path)
        recwarn.clear()
        regions = NetworkRegions(ParsingNetwork(CLASSES, torchscript=path, **plain))
        assert not recwarn.list
        regions.train()
        assert torch.equal(regions.segment(images), labels)
    torch.save({}, path)
    with pytest.raises(ValueError, match="is no TorchScript network"):
        NetworkRegions(ParsingNetwork(CLASSES, torchscript=path))


def test_torchvisions_networks_fit(images):
    options = {"weights_backbone": None, "num_classes": 4}
    builder = "torchvision.models.segmentation.lraspp_mobilenet_v3_large"
    state = torch.get_rng_state()
    regions = NetworkRegions(ParsingNetwork(CLASSES, builder, options, size=64))
    assert torch.equal(torch.get_rng_state(), state)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    logits = regions.net((images * 0.5 + 0.5 - mean[:, None, None]) / std[:, None, None])["out"]
    found = regions.segment(images)
    top = logits.topk(2, dim=1).values
    clear = top[:, 0] - top[:, 1] > 1e-4  # rounding may turn the rest
    assert clear.float().mean() > 0.5 and torch.equal(found[clear], logits.argmax(1)[clear])


def test_networks_that_do_not_fit_say_so():
    images, _ = colour_pictures()
    with pytest.raises(ValueError, match=r"gives \(2, 5, 16, 16\), not 2 × 4 maps of classes"):
        NetworkRegions(ParsingNetwork(CLASSES, f"{__name__}.build_by_colour", {"classes": 5}, size=16)).segment(images)
    with pytest.raises(ValueError, match=r"output='outs' is no tensor .* gives \['out', 'aux'\]"):
        NetworkRegions(by_colour("dict", output="outs")).segment(images)
    with pytest.raises(ValueError, match=r"output=2 .* gives \[0, 1\]"):
        NetworkRegions(by_colour("tuple", output=2)).segment(images)
    with pytest.raises(ValueError, match="output=None is no tensor"):
        NetworkRegions(by_colour("text")).segment(images)
    for builder in ("no_such_module.Net", "torch.nn.NoSuchNet", "Net"):
        with pytest.raises(ValueError, match=f"builder='{builder}' cannot be imported"):
            NetworkRegions(ParsingNetwork(CLASSES, builder))
    with pytest.raises(ValueError, match="give `builder`, a dotted path, or `torchscript`, a file, and not both"):
        ParsingNetwork(CLASSES)
    with pytest.raises(ValueError, match="`args` and `weights` belong to `builder`"):
        ParsingNetwork(CLASSES, torchscript="net.pt", args={"a": 1})
    with pytest.raises(ValueError, match="name every output map, none twice"):
        ParsingNetwork(("a", "a"), "torch.nn.Identity")


# Part parsers


@pytest.fixture(scope="module")
def parser(tmp_path_factory):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        parser = PartParser(ParserConfig(("background", "skin", "nose", "hair"), (4, 8), 64)).freeze()
        parser.head.bias -= parser(torch.rand(4, 3, 64, 64) * 2 - 1).mean((0, 2, 3))  # so that each part is somewhere
    return str(save_observer(parser, tmp_path_factory.mktemp("parser") / "parser.safetensors"))


def test_parts_are_regions(parser, images):
    parts = load_observer(parser)(images).argmax(1)
    assert torch.equal(ParserRegions(parser).segment(images), parts)
    merged = ParserRegions(parser, {"hair": ["hair"], "face": ["nose", "skin"]})
    assert merged.names == ("hair", "face") and merged.is_fitted and merged.features == ()
    assert parts.unique().tolist() == [0, 1, 2, 3]
    for part, region in ((0, -1), (1, 1), (2, 1), (3, 0)):
        assert (merged.segment(images)[parts == part] == region).all()
    assert merged.hash != ParserRegions(parser).hash


def test_groups_that_do_not_fit_say_so(parser):
    with pytest.raises(ValueError, match=r"face has unknown classes \['lip'\]; there are background, skin, nose, hair"):
        ParserRegions(parser, {"face": ["skin", "lip"]})
    with pytest.raises(ValueError, match="skin is in more than one group"):
        ParserRegions(parser, {"face": ["skin"], "head": ["hair", "skin"]})
    with pytest.raises(ValueError, match="face is empty"):
        ParserRegions(parser, {"face": []})
    with pytest.raises(ValueError, match="'toyfaces-judge' is no part parser"):
        ParserRegions("toyfaces-judge")


# Clusters


def planted_activations(seed, n=3, side=12):
    """Return activations of three directions of any length, and which direction each pixel has: 0 most, 2 least."""
    rng = torch.Generator().manual_seed(seed)
    u = torch.rand(n, side, side, generator=rng)
    labels = (u > 0.6).long() + (u > 0.9).long()
    directions = torch.eye(5)[[3, 0, 4]]
    pixels = directions[labels] + 0.05 * torch.randn(n, side, side, 5, generator=rng)
    return (pixels * torch.rand(n, side, side, 1, generator=rng).mul(3).exp()).movedim(-1, 1), labels


@pytest.fixture
def clusters():
    regions = ClusterRegions(3, "layer")
    regions.fit({"layer": planted_activations(0)[0]})
    return regions


def test_planted_activations_are_found_again(clusters, images):
    activations, labels = planted_activations(1)
    assert clusters.names == ("cluster0", "cluster1", "cluster2") and clusters.features == ("layer",)
    assert torch.equal(clusters.segment(images[:3], {"layer": activations}), labels)  # cluster0 is the largest
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(clusters.segment(images[:3], {"layer": activations}), labels)
    merged = ClusterRegions(3, "layer", {"odd": ["cluster1"], "even": ["cluster2"]})
    merged.load_state_dict(clusters.state_dict())
    found = merged.segment(images[:3], {"layer": activations})
    assert torch.equal(found, torch.tensor([-1, 0, 1])[labels])


def test_the_seed_is_all_that_varies():
    activations = {"layer": torch.randn(4, 6, 9, 9, generator=torch.Generator().manual_seed(0))}
    centres = []
    for seed in (0, 0, 1):
        regions = ClusterRegions(7, "layer")
        with torch.autocast("cpu", torch.bfloat16, enabled=not centres):
            regions.fit(activations, seed)
        centres.append(regions.centres)
    assert torch.equal(centres[0], centres[1])
    assert not torch.equal(centres[0], centres[2])


def test_centres_come_back_from_a_checkpoint(clusters, images, tmp_path):
    holder = nn.ModuleDict({"regions": clusters})
    torch.save(holder.state_dict(), tmp_path / "checkpoint.pt")
    fresh = nn.ModuleDict({"regions": ClusterRegions(3, "layer")})
    assert not fresh["regions"].is_fitted
    fresh.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    assert fresh["regions"].is_fitted
    activations, labels = planted_activations(1)
    assert torch.equal(fresh["regions"].segment(images[:3], {"layer": activations}), labels)
    assert fresh["regions"].hash == clusters.hash
    with pytest.raises(RuntimeError, match="size mismatch for centres"):
        ClusterRegions(4, "layer").load_state_dict(clusters.state_dict())


def test_clusters_need_fitting_and_their_layer(clusters, images):
    with pytest.raises(RuntimeError, match="'layer' are not found yet: call fit first"):
        ClusterRegions(3, "layer").segment(images, {"layer": torch.zeros(4, 5, 2, 2)})
    for call in (lambda: clusters.segment(images, {"other": images}), lambda: clusters.fit({"other": images})):
        with pytest.raises(ValueError, match="need the activations of 'layer', not other: synthesize"):
            call()


@pytest.mark.parametrize(
    ("kind", "layer", "side"), [("eg3d", "renderer", 16), ("stylegan2", "synthesis.b16.conv1", 16)]
)
def test_generators_give_the_activations(kind, layer, side):
    generator = tiny_generator(0, kind)
    camera = generator.cameras.frontal() if generator.is_3d else None
    s = generator.styles(generator.map(torch.randn(4, generator.z_dim, generator=torch.Generator().manual_seed(0))))
    regions = RegionSource(clusters=3, layer=layer).build()
    out = generator.synthesize(s, camera, features=regions.features)
    regions.fit(out.features)
    labels = regions.segment(out.image, out.features)
    assert labels.shape == (4, side, side)
    sizes = labels.flatten().bincount(minlength=3)
    assert sizes.min() > 0 and sizes.argmax() == 0


# The choice of a source


def from_yaml(text):
    parser = ArgumentParser()
    parser.add_argument("--regions", type=RegionSource)
    return parser.instantiate_classes(parser.parse_string(text)).regions


def test_sources_are_written_as_yaml(parser, images):
    named = from_yaml(f"regions: {{parser: {parser}, groups: {{face: [skin, nose]}}}}").build()
    assert isinstance(named, ParserRegions) and named.names == ("face",)
    source = from_yaml("regions: {clusters: 8, layer: renderer, codes: 32}")
    assert source == RegionSource(clusters=8, layer="renderer", codes=32)
    found = source.build()
    assert isinstance(found, ClusterRegions) and found.features == ("renderer",) and len(found.names) == 8
    assert not found.is_fitted
    network = from_yaml(f"""
regions:
  network:
    builder: {__name__}.ByColour
    args: {{returns: tuple}}
    classes: [dark, red, green, blue]
    size: 16
    mean: [0, 0, 0]
    std: [1, 1, 1]
  groups: {{warm: [red], cold: [green, blue]}}
""").build()
    pictures, labels = colour_pictures()
    assert isinstance(network, NetworkRegions)
    assert torch.equal(network.segment(pictures), torch.tensor([-1, 0, 1, 1])[labels])


def test_sources_exclude_each_other():
    with pytest.raises(ValueError, match=r"exactly one of parser .*, network .* and clusters .*, not none"):
        RegionSource()
    with pytest.raises(ValueError, match="not parser and clusters"):
        RegionSource(parser="toyfaces-parser", clusters=3, layer="renderer")
    with pytest.raises(ValueError, match=r"clusters needs regions\.layer"):
        RegionSource(clusters=3)
    with pytest.raises(ValueError, match="layer='renderer' is for clusters; parser needs none"):
        RegionSource(parser="toyfaces-parser", layer="renderer")
    for other in ({"parser": "toyfaces-parser"}, {"network": ParsingNetwork(("a",), "torch.nn.Identity")}):
        with pytest.raises(ValueError, match=r"regions\.codes=64 is for clusters; (parser|network) needs none"):
            RegionSource(**other, codes=64)
    assert RegionSource(clusters=3, layer="renderer").codes == 64
    with pytest.raises(ValueError, match="clusters=0 and codes=64 must be positive"):
        RegionSource(clusters=0, layer="renderer")
