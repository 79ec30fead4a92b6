import pytest
import torch

from sat3d.world import WORLDS, load_world


@pytest.fixture(scope="session", params=WORLDS)
def world(request):
    return load_world(request.param)


def dressed(world, **classes):
    """One individual with middling measures, the first class of every kind, and the classes asked for."""
    u = torch.full((1, len(world.attributes)), 0.5, dtype=torch.float64)
    for i, a in enumerate(world.attributes):
        if a.kind == "categorical":
            c = a.class_index(classes.get(a.name, 0))
            u[0, i] = (a.edges[c] + a.edges[c + 1]) / 2
        elif a.name in classes:
            u[0, i] = classes[a.name]
    return u


def pictured(world, yaw=0.0, pitch=0.0, resolution=64, **classes):
    camera = world.domain.cameras.at(yaw, pitch)
    return world.render(dressed(world, **classes), camera, resolution, supersampling=1)


def shares(world, yaw=0.0, pitch=0.0, **classes):
    """Pixels of each part."""
    counts = torch.bincount(pictured(world, yaw, pitch, **classes).segmentation.flatten(), minlength=len(world.parts))
    return dict(zip(world.parts, counts.tolist(), strict=True))


def places(world, yaws, pitch=0.0, **classes):
    """Points in space of each part that is seen from some sides, found by depth and the cameras' own rays."""
    cameras = world.domain.cameras.at(torch.tensor(yaws), pitch)
    picture = world.render(dressed(world, **classes), cameras, resolution=128, supersampling=1)
    origins, directions = cameras.rays(128)
    depth, parts = picture.depth.flatten(1), picture.segmentation.flatten(1)
    points = origins + depth[..., None] * directions
    return {name: points[parts == k] for k, name in enumerate(world.parts) if k and (parts == k).any()}
