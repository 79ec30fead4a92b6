"""Weights & Biases: installed, logged in, and what waits to be sent. Nothing is sent or asked over the network."""

from __future__ import annotations

import configparser
import netrc
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sat3d.commands.checks.finding import Finding, counted
from sat3d.commands.checks.requirements import install, typed, version_of

SERVER = "https://api.wandb.ai"  # where keys belong to unless a setting names another server
RUNS = ("wandb", "runs/*/wandb", "runs/*/*/wandb", "runs/*/*/*/wandb")


def check() -> Iterator[Finding]:
    """Tell whether the logger would work, from files and variables alone; the key itself is never told."""
    version = version_of("wandb")
    if version is None:
        yield Finding("wandb", "not installed; metrics.csv is written without it", "note", install(["wandb"]))
    else:
        yield Finding("wandb", version, facts={"version": version})
        yield _login()
    yield from _waiting()


def _login() -> Finding:
    mode = os.environ.get("WANDB_MODE") or _setting("mode") or "online"
    key, server = _key(), urlsplit(_server()).netloc
    facts = {"mode": mode, "server": server, "key": key}
    if key:
        return Finding("login", f"mode {mode}, with a key for {server} from {key}", facts=facts)
    if mode in ("offline", "disabled", "dryrun"):
        return Finding("login", f"mode {mode}, which needs no key", facts=facts)
    told = f"mode {mode}, without a key for {server}: a run with this logger would ask for one, or stop"
    return Finding("login", told, "note", "wandb login    # or: export WANDB_MODE=offline", facts)


def _key() -> str:
    """Return where a key was found, or nothing; the key is looked at and let go."""
    for variable in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        if os.environ.get(variable, "").strip():
            return variable
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    host = urlsplit(_server()).netloc
    try:
        found = netrc.netrc(path).authenticators(host) if path.is_file() else None
    except (OSError, netrc.NetrcParseError):  # whose message may hold a word of the file
        found = None
    if found and found[2]:
        return str(path)
    return "settings" if _setting("api_key") else ""


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL") or _setting("base_url") or SERVER


def _setting(name: str) -> str:
    """Read a setting of wandb's own files: this folder's, else the user's."""
    above = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    for path in (Path(os.environ.get("WANDB_DIR") or ".", "wandb", "settings"), above / "settings"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(path)
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        if value := parser.get("default", name, fallback=""):
            return value
    return ""


def _waiting() -> Iterator[Finding]:
    """Count the runs that were written offline and not sent yet."""
    folders = [Path(os.environ.get("WANDB_DIR") or ".", "wandb"), *(f for glob in RUNS[1:] for f in Path().glob(glob))]
    runs = {run for folder in folders for run in folder.glob("offline-run-*")}
    waiting = sorted(run for run in runs if any(run.glob("*.wandb")) and not any(run.glob("*.wandb.synced")))
    if waiting:
        told = f"{counted(len(waiting), 'offline run')} to be sent, the newest {waiting[-1]}"
        yield Finding("offline runs", told, "note", f"wandb sync {typed(waiting[-1])}", {"waiting": len(waiting)})
