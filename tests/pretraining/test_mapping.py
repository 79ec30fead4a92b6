"""A mapping network of parts: stages that are learned, classes that are written down."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sat3d.generators.layers import FullyConnected, MappingNetwork
from sat3d.pretraining import mapping as parts
from sat3d.world import World, load_world

WORLDS = ["heads", "animals", "cars"]


def _from_attributes(world: World) -> nn.Sequential:
    torch.manual_seed(0)
    return parts.attribute_network(world, 16)


def _mapping(world: World, depth: int = 6, width: int = 128) -> MappingNetwork:
    torch.manual_seed(1)
    return MappingNetwork(world.z_dim, 0, 16, 1, depth, layer_features=width, lr_multiplier=0.5, normalize_z=False)


def _codes(world: World, count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, world.z_dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", WORLDS)
def test_late_layers_give_the_attributes_w_away_from_the_steps(name: str) -> None:
    world = load_world(name)
    known = _from_attributes(world)
    late = parts.late_layers(world, known)
    z = _codes(world, 2000, 2)
    scores = world.stages(z)[-1]
    with torch.no_grad():
        wanted, given = known(world.features(world.coordinates(z))), late(scores)
    near = torch.zeros(len(z), dtype=torch.bool)
    for i, attribute in enumerate(world.attributes):
        if attribute.kind == "categorical":
            edges = torch.special.ndtri(torch.from_numpy(attribute.edges[1:-1])).float()
            # half a ramp's width, and a hair for float32
            near |= ((scores[:, i : i + 1] - edges).abs() < 0.501 / parts.STEEPNESS).any(dim=1)
    assert 0.1 < near.float().mean() < 0.5
    assert (wanted - given)[~near].abs().max() < 1e-3
    assert (wanted - given)[near].abs().max() > 0.05


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("depth", [5, 6, 8])
def test_joined_layers_are_the_parts_one_after_the_other(name: str, depth: int) -> None:
    world = load_world(name)
    network = _mapping(world, depth)
    networks = parts.stage_networks(network, world, 7)
    assert sum(len(n) - 1 for n in networks) == depth - parts.LATE and len(networks) == len(
        world.stages(_codes(world, 1, 0))
    )
    late = parts.late_layers(world, _from_attributes(world))
    parts.join(network, [*networks, late], 3)
    x = z = _codes(world, 200, 4)
    with torch.no_grad():
        for part in [*networks, late]:
            x = part(x)
        torch.testing.assert_close(network(z, None)[:, 0], x, rtol=1e-3, atol=1e-3)


def test_spare_units_are_read_once_gradients_come() -> None:
    world = load_world("cars")
    network = _mapping(world, width=200)
    late = parts.late_layers(world, _from_attributes(world))
    parts.join(network, [*parts.stage_networks(network, world, 7), late], 3)
    assert not network.get_submodule("fc5").weight[:, parts.HIDDEN :].any()
    network(_codes(world, 64, 4), None).square().mean().backward()
    last = network.get_submodule("fc5").weight.grad
    assert last is not None and (last.abs().sum(dim=0) > 0).all()


def test_a_stage_is_learned(capfd: pytest.CaptureFixture[str]) -> None:
    world = load_world("cars")
    z = _codes(world, 256, 5)
    stages = [z, *world.stages(z)]
    for i, network in enumerate(parts.stage_networks(_mapping(world, 8), world, 7)):

        def missed(step: int, i: int = i, network: nn.Sequential = network) -> torch.Tensor:
            return (network(stages[i]) - stages[i + 1]).square().mean()

        before = float(missed(0).detach())
        parts.fit(network, 0.03, 60, missed, f"stage {i}", quiet=bool(i))
        assert float(missed(0).detach()) < 0.2 * before
        assert ("stage 0: 100%" in capfd.readouterr().err) is (i == 0)


def test_a_network_without_room_names_the_option() -> None:
    world = load_world("cars")
    with pytest.raises(ValueError, match="mapping_layers=4: this world takes 5 or more"):
        parts.stage_networks(_mapping(world, 4), world, 0)
    with pytest.raises(ValueError, match="mapping_width=100: this world takes 128 or more"):
        parts.stage_networks(_mapping(world, width=100), world, 0)
    late = parts.late_layers(world, _from_attributes(world))
    with pytest.raises(ValueError, match=r"do not go into a mapping network of \[128, 128, 128, 128, 128, 16\]"):
        parts.join(_mapping(world), [late], 0)


def test_an_old_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(RuntimeError, match=r"torch>=2\.9"):
        parts.fit(nn.Sequential(FullyConnected(4, 4)), 0.01, 1, lambda step: torch.zeros(()), "", quiet=True)
