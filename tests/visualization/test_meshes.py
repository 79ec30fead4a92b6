import sys

import numpy as np
import pytest
import torch

from sat3d.commands.seeds import ws_of
from sat3d.generators import load_generator, tiny_generator
from sat3d.visualization import DensityField, cast, density_field, extract_mesh, need_mesh, surface_level, write_mesh
from sat3d.visualization.meshes import clean, colour, colours_of, is_closed, isosurface

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("skimage")

CENTRE, RADIUS = torch.tensor([0.1, -0.05, 0.15]), 0.25


def ball(points, centre=CENTRE, radius=RADIUS):
    """Fall linearly from 10 at the surface, as a density does."""
    return 10 + 100 * (radius - (points - centre).norm(dim=-1))


def field(density=ball, side=1.0):
    return DensityField(lambda p: (density(p), p / side + 0.5), side)


def marched(density=ball, side=1.0, resolution=48, close=True):
    f = field(density, side)
    return isosurface(f.grid(resolution), f, 10.0, close=close)


def test_a_ball_is_found_where_it_is_with_normals_to_the_outside():
    mesh = marched()
    offset = np.asarray(mesh.vertices) - CENTRE.numpy()
    assert np.abs(np.linalg.norm(offset, axis=1) - RADIUS).max() < 5e-4
    assert np.abs(mesh.bounds - [CENTRE.numpy() - RADIUS, CENTRE.numpy() + RADIUS]).max() < 5e-4
    outward = (mesh.face_normals * (mesh.triangles_center - CENTRE.numpy())).sum(1)
    assert (outward > 0).all()
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.01)
    assert is_closed(mesh)


def test_a_larger_cube_gives_the_same_in_its_own_units():
    mesh = marched(lambda p: ball(p, 2 * CENTRE, 2 * RADIUS), side=2.0)
    assert np.abs(np.linalg.norm(mesh.vertices - 2 * CENTRE.numpy(), axis=1) - 2 * RADIUS).max() < 1e-3


def test_colours_are_those_of_the_places(tmp_path):
    mesh, f = marched(), field()
    colour(mesh, f, 48)
    assert np.abs(colours_of(mesh) - (np.asarray(mesh.vertices) + 0.5) * 255).max() < 0.51


def test_matter_that_reaches_the_sides_is_cut_there():
    def column(points):
        return 10 + 100 * (0.2 - points[:, [0, 2]].norm(dim=-1))

    closed, bare = marched(column), marched(column, close=False)
    assert is_closed(closed) and not is_closed(bare)
    assert np.allclose(closed.bounds[:, 1], [-0.5, 0.5], atol=1e-6)
    assert closed.volume == pytest.approx(np.pi * 0.2**2, rel=0.01)
    caps = closed.face_normals[np.abs(np.abs(closed.triangles_center[:, 1]) - 0.5) < 1e-6]
    assert len(caps) > 100 and np.allclose(np.abs(caps[:, 1]), 1)


def bodies(points):
    """Return a ball with a hollow, a smaller ball, and a speck."""
    whole = torch.minimum(ball(points, torch.zeros(3), 0.2), 20 - ball(points, torch.zeros(3), 0.1))
    others = [ball(points, torch.tensor([0.35, 0.0, 0.0]), 0.08), ball(points, torch.tensor([0.0, 0.4, 0.0]), 0.03)]
    return torch.stack([whole, *others]).amax(0)


def test_specks_and_hollows_are_dropped_and_counted():
    mesh = marched(bodies, resolution=64)
    areas = {}
    for share in (0.0, 0.05, 1.0):
        cleaned, counts = clean(mesh, share)
        assert is_closed(cleaned)
        areas[share] = counts, cleaned.area / np.pi
    assert areas[0.0][0] == (3, 0, 1) and areas[0.0][1] == pytest.approx(4 * (0.2**2 + 0.08**2 + 0.03**2), rel=0.02)
    assert areas[0.05][0] == (2, 1, 1) and areas[0.05][1] == pytest.approx(4 * (0.2**2 + 0.08**2), rel=0.02)
    assert areas[1.0][0] == (1, 2, 1) and areas[1.0][1] == pytest.approx(4 * 0.2**2, rel=0.02)
    with pytest.raises(ValueError, match=r"min_share=1\.5: give a share between 0 and 1"):
        clean(mesh, 1.5)


def test_faces_without_area_are_dropped_and_an_open_mesh_is_told():
    box = trimesh.creation.box()
    flat = trimesh.Trimesh([*box.vertices, [0.5, 0.5, 0.5]], [*box.faces, [7, 8, 6]], process=False)
    assert not is_closed(flat)
    cleaned, counts = clean(flat, 0.0)
    assert is_closed(cleaned) and len(cleaned.faces) == 12 and counts == (1, 0, 0)
    holed = trimesh.Trimesh(box.vertices, box.faces[1:], process=False)
    assert not is_closed(clean(holed)[0])


@pytest.mark.parametrize("suffix", ["ply", "obj"])
def test_files_hold_geometry_and_colours(tmp_path, suffix):
    mesh = marched(resolution=24)
    colour(mesh, field(), 24)
    read = trimesh.load(write_mesh(tmp_path / f"ball.{suffix}", mesh), process=False)
    assert [path.name for path in tmp_path.iterdir()] == [f"ball.{suffix}"]
    assert np.allclose(read.vertices, mesh.vertices, atol=1e-6) and np.array_equal(read.faces, mesh.faces)
    assert np.array_equal(colours_of(read), colours_of(mesh))
    assert is_closed(trimesh.load(tmp_path / f"ball.{suffix}"))


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    mesh = marched(resolution=8)
    with pytest.raises(ValueError, match=r"a mesh is \.ply or \.obj, not 'ball\.stl'"):
        write_mesh(tmp_path / "ball.stl", mesh)

    def full(self, path, **_):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trimesh.Trimesh, "export", full)
    with pytest.raises(OSError, match="No space"):
        write_mesh(tmp_path / "ball.ply", mesh)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def toyface():
    net = load_generator("toyfaces64")
    return net, net.styles(ws_of(net, [2], 1.0))


def test_a_head_agrees_with_its_rendered_depth_and_raw_picture(toyface):
    net, s = toyface
    mesh, report = extract_mesh(net, s, resolution=96)
    assert (
        report.watertight
        and is_closed(mesh)
        and (report.vertices, report.faces)
        == (
            len(mesh.vertices),
            len(mesh.faces),
        )
    )
    vertices, faces = torch.tensor(np.asarray(mesh.vertices)), torch.tensor(np.asarray(mesh.faces))
    planes, camera = net.planes(s), net.cameras.at(0.4, 0.1)
    seen = net.render(planes, s, camera, neural_resolution=48)
    hits = cast(vertices, faces, camera, 48)
    both = (seen.opacity[0, 0] > 0.9) & hits.depth.isfinite()
    assert both.sum() > 0.93 * (seen.opacity > 0.9).sum() and not (hits.depth.isfinite() & (seen.opacity < 0.1)).any()
    off = (hits.depth - seen.depth[0, 0])[both]
    assert off.abs().median() < 0.01 and off.abs().quantile(0.95) < 0.03
    density = net.density(planes, vertices[None].float())[0][0]
    assert (density - report.level).abs().quantile(0.95) < 0.1 * report.level
    colours = hits.interpolate(faces, torch.from_numpy(colours_of(mesh)).double() / 255) * 2 - 1
    assert (colours.movedim(-1, 0) - seen.raw[0])[:, both].abs().mean() < 0.1
    # The level that is usual for other networks would lie too near.
    usual = extract_mesh(net, s, resolution=96, level=10.0)[0]
    hits = cast(torch.tensor(np.asarray(usual.vertices)), torch.tensor(np.asarray(usual.faces)), camera, 48)
    assert (hits.depth - seen.depth[0, 0])[both].median() < -0.02


def test_the_density_of_a_grid_is_the_networks_whatever_the_chunks(toyface, monkeypatch):
    net, s = toyface
    planes = net.planes(s)
    monkeypatch.setattr("sat3d.visualization.volumes.CHUNK", 100)
    grid = density_field(net, planes).grid(8)
    places = [((i + 0.5) / 8 - 0.5) for i in range(8)]
    points = torch.tensor([[places[7], places[2], places[4]], [places[0], places[5], places[3]]])
    expected = net.density(planes, points[None])[0][0]
    assert torch.allclose(torch.stack([grid[7, 2, 4], grid[0, 5, 3]]), expected, atol=1e-4)


def test_random_noise_is_drawn_once(toyface):
    net, s = toyface
    meshes = [extract_mesh(net, s, resolution=32, noise=torch.Generator().manual_seed(4)) for _ in range(2)]
    assert np.array_equal(meshes[0][0].vertices, meshes[1][0].vertices)
    planes = net.planes(s, torch.Generator().manual_seed(4))
    assert meshes[0][1].level == surface_level(net, planes)


def test_what_has_no_mesh_is_told(toyface):
    flat = tiny_generator(0, "stylegan2")
    with pytest.raises(ValueError, match=r"mesh: .* is a 2-D generator and has no density"):
        extract_mesh(flat, torch.zeros(1, flat.style_space.size))
    with pytest.raises(ValueError, match=r"level=1e\+06: the densities of toyfaces64 lie between -\d"):
        extract_mesh(*toyface, resolution=8, level=1e6)
    with pytest.raises(ValueError, match="mesh_resolution=1: a mesh takes at least 2"):
        extract_mesh(*toyface, resolution=1)
    empty = tiny_generator(0)
    torch.nn.init.constant_(empty.decoder.net[2].bias, -1000.0)
    s = empty.styles(empty.map(torch.zeros(1, empty.z_dim)))
    with pytest.raises(ValueError, match="no ray of this code becomes opaque"):
        extract_mesh(empty, s)


@pytest.mark.parametrize("library", ["skimage", "trimesh"])
def test_without_a_library_the_extra_is_named(library, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r"pip install 'sat3d\[mesh\]'"):
        need_mesh()
