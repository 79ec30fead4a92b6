"""Released networks by name: found in the user's folder, told apart from other files, and held to what they were."""

import http.client
import http.server
import threading
import urllib.request
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from sat3d.cli import main
from sat3d.generators import CheckpointError, load_generator, save_generator
from sat3d.generators.catalogue import entries
from sat3d.generators.fetching import fetch
from sat3d.generators.official import declare_official
from tests.generators.released_format import EG3D_KWARGS, STYLEGAN2_KWARGS, dump, network, random_tensors
from tests.generators.test_released import picture

CARS, CIFAR = "eg3d-shapenetcars128-64", "stylegan2-ada-cifar10"


def small(class_name: str, kwargs: dict, seed: int = 0) -> bytes:
    """Write a network of these arguments with random weights, as a released training does."""
    config = {"class_name": class_name, "init_kwargs": kwargs}
    tensors = random_tensors({k: tuple(v.shape) for k, v in declare_official(config).state_dict().items()}, seed)
    return dump({"G_ema": network(class_name, kwargs, tensors)})


CARS_FILE = small("TriPlaneGenerator", EG3D_KWARGS)
CIFAR_FILE = small("Generator", {**STYLEGAN2_KWARGS, "img_resolution": 32, "c_dim": 10})


@pytest.fixture
def zoo(tmp_path, monkeypatch) -> Path:
    """An empty folder of released files."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setenv("SAT3D_ZOO", str(folder))
    return folder


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "elsewhere.bin"
    path.write_bytes(CARS_FILE)
    return path


def test_a_name_gives_the_file_with_the_cameras_that_are_known(zoo):
    (zoo / "shapenetcars128-64.pkl").write_bytes(CARS_FILE)
    by_path = load_generator(zoo / "shapenetcars128-64.pkl")
    by_name = load_generator(CARS)
    assert by_name is load_generator(CARS) and by_name.name == CARS
    assert by_name.hash == by_path.hash
    assert (by_path.cameras.fov, by_path.cameras.pivot) == (18.837, (0.0, 0.0, 0.2))  # what the file says, and EG3D's
    assert (by_name.cameras.fov, by_name.cameras.radius, by_name.cameras.pivot) == (45.0, 1.7, (0.0, 0.0, 0.0))
    assert not torch.equal(picture(by_name), picture(by_path))
    save_generator(by_name, zoo / "converted.safetensors")
    assert load_generator(zoo / "converted.safetensors").cameras == by_name.cameras
    assert load_generator(CARS, trainable=True).cameras == by_name.cameras


def test_a_changed_file_is_noticed_and_a_bad_one_leaves_no_record(zoo):
    file, record = zoo / "cifar10.pkl", zoo / "cifar10.pkl.sha256"
    file.write_bytes(CIFAR_FILE[:-100])
    with pytest.raises(CheckpointError, match=r"cifar10\.pkl"):
        load_generator(CIFAR)
    assert not record.exists()
    file.write_bytes(CIFAR_FILE)
    assert load_generator(CIFAR).c_dim == 10
    assert record.read_text().split()[1] == "cifar10.pkl"
    file.write_bytes(small("Generator", {**STYLEGAN2_KWARGS, "img_resolution": 32, "c_dim": 10}, seed=1))
    for use in (load_generator, lambda name: main(["inspect", name])):
        with pytest.raises(CheckpointError, match=r"not the file that was used first.*remove the record"):
            use(CIFAR)
    record.unlink()
    assert load_generator(CIFAR).c_dim == 10


def test_another_network_under_the_file_name_is_refused(zoo):
    (zoo / "cifar10.pkl").write_bytes(small("Generator", STYLEGAN2_KWARGS))
    with pytest.raises(CheckpointError, match="resolution 16 where 32 is known, classes 0 where 10 is known"):
        load_generator(CIFAR)
    (zoo / "ffhq512-64.pkl").write_bytes(CARS_FILE)
    with pytest.raises(CheckpointError, match="resolution 128 where 512 is known"):
        load_generator("eg3d-ffhq512-64")
    assert not list(zoo.glob("*.sha256"))


def test_a_folder_that_cannot_be_written_is_told_and_used(zoo, monkeypatch):
    (zoo / "cifar10.pkl").write_bytes(CIFAR_FILE)

    def readonly(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("sat3d.generators.catalogue.replacing", readonly)
    with pytest.warns(UserWarning, match=r"cifar10\.pkl\.sha256: cannot be written \(Read-only"):
        assert load_generator(CIFAR).c_dim == 10


def test_a_missing_file_says_where_it_belongs_and_where_it_comes_from(zoo):
    for name, place in ((CARS, "NGC catalogue, the EG3D models"), (CIFAR, "NVlabs/stylegan2-ada-pytorch")):
        with pytest.raises(FileNotFoundError) as error:
            load_generator(name)
        for part in (
            f"generator={name!r}",
            f"put it into {zoo} (SAT3D_ZOO",
            f"sat3d fetch {name} URL",
            place,
            "licence",
        ):
            assert part in str(error.value)


def test_an_unknown_name_lists_the_known_ones(zoo):
    with pytest.raises(FileNotFoundError, match=r"did you mean eg3d-ffhq512-128\?") as error:
        load_generator("eg3d-ffhq512-12")
    assert all(name in str(error.value) for name in entries())


def test_what_is_known_is_shown_without_a_file(zoo, capsys):
    for name in entries():
        main(["inspect", name])
        told = capsys.readouterr().out
        assert entries()[name].file in told and "licence" in told
    main(["inspect", "eg3d-ffhq512-128"])
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["cameras"] == "radius 2.7, pivot (0.0, 0.0, 0.2), field of view 18.837 degrees"
    assert (rows["planes"], rows["rays"]) == ("released convention", "128 px, 48 + 48 samples")
    assert "no commercial use" in rows["licence"] and rows["conditioning"] == "frontal"


def test_what_is_known_is_shown_with_the_file(zoo, capsys):
    (zoo / "shapenetcars128-64.pkl").write_bytes(CARS_FILE)
    main(["inspect", CARS])
    told = capsys.readouterr().out
    assert "radius 1.7, pivot (0.0, 0.0, 0.0), field of view 45.0 degrees" in told and "4 + 4 samples" in told
    assert "conditioning  none" in told and "for EG3D" in told
    assert (zoo / "shapenetcars128-64.pkl.sha256").exists()


def test_files_of_the_table_are_told_apart():
    table = entries()
    assert len({entry.file for entry in table.values()}) == len(table) > 30
    for entry in table.values():
        assert (entry.cameras is not None) == (entry.architecture == "EG3D") == (entry.planes == "released")


def test_a_file_is_fetched_whole_and_recorded(zoo, source, capsys):
    main(["fetch", CARS, source.as_uri()])
    path = zoo / "shapenetcars128-64.pkl"
    assert path.read_bytes() == CARS_FILE
    sha256, name = (zoo / "shapenetcars128-64.pkl.sha256").read_text().split()
    assert name == path.name and sha256 in capsys.readouterr().out
    assert {p.name for p in zoo.iterdir()} == {path.name, f"{path.name}.sha256"}
    assert load_generator(CARS).resolution == 128
    with pytest.raises(FileExistsError, match="remove it to fetch it again"):
        fetch(CARS, source.as_uri())


def test_what_cannot_be_fetched_leaves_nothing(zoo, source, monkeypatch):
    for name, url, error, reason in [
        ("eg3d", source.as_uri(), ValueError, r"name='eg3d' is no released network; known are eg3d-ffhq512-64"),
        (CARS, "http://localhost/x.pkl", ValueError, r"give an https: or file: URL"),
        (CARS, str(source), ValueError, r"give an https: or file: URL"),
        (CARS, (source.parent / "none").as_uri(), OSError, r"url='file:.*none': .*No such file"),
        (
            CIFAR,
            source.as_uri(),
            CheckpointError,
            r"what came is not cifar10\.pkl: .*architecture EG3D where StyleGAN2",
        ),
    ]:
        with pytest.raises(error, match=reason):
            fetch(name, url)
    source.write_text("<html>log in first</html>")
    with pytest.raises(CheckpointError, match=r"what came is not shapenetcars128-64\.pkl"):
        fetch(CARS, source.as_uri())
    (zoo / "shapenetcars128-64.pkl.sha256").write_text(f"{'0' * 64}  shapenetcars128-64.pkl\n")
    source.write_bytes(CARS_FILE)
    with pytest.raises(CheckpointError, match="not the file that was used first"):
        fetch(CARS, source.as_uri())
    assert [path.name for path in zoo.iterdir()] == ["shapenetcars128-64.pkl.sha256"]
    (source.parent / "file").touch()
    monkeypatch.setenv("SAT3D_ZOO", str(source.parent / "file"))
    with pytest.raises(OSError, match=r"cannot write to .*file \(.*\); SAT3D_ZOO names another folder"):
        fetch(CARS, source.as_uri())


class Server(http.server.BaseHTTPRequestHandler):
    """Answer with a network, half of it, an error, or a redirection."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        Server.asked.append(self.path)
        port = self.server.server_address[1]
        to = {"/moved": f"https://127.0.0.1:{port}/whole", "/downgraded": f"http://127.0.0.1:{port}/whole"}
        self.send_response(302 if self.path in to else 404 if self.path == "/gone" else 200)
        if self.path in to:
            self.send_header("Location", to[self.path])
        self.send_header("Content-Length", "0" if self.path in to else str(len(CARS_FILE)))
        self.end_headers()
        if self.path not in to:
            self.wfile.write(CARS_FILE[: len(CARS_FILE) // (2 if self.path == "/half" else 1)])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch) -> str:
    """A server on the loopback that https: reaches without its encryption."""
    monkeypatch.setattr(
        urllib.request.HTTPSHandler,
        "https_open",
        lambda self, request: self.do_open(http.client.HTTPConnection, request),
    )
    monkeypatch.setenv("no_proxy", "*")
    Server.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_https_is_followed_to_https_only(zoo, address):
    with pytest.raises(OSError, match="unknown url type: http"):
        fetch(CARS, f"{address}/downgraded")
    with pytest.raises(OSError, match="404"):
        fetch(CARS, f"{address}/gone")
    with pytest.raises(OSError, match=f"bytes came of {len(CARS_FILE):,}"):
        fetch(CARS, f"{address}/half")
    assert list(zoo.iterdir()) == [] and Server.asked == ["/downgraded", "/gone", "/half"]
    assert fetch(CARS, f"{address}/moved").read_bytes() == CARS_FILE
