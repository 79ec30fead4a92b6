"""The door: `lightning VERB …` (`sat3d` is the same program). It only finds the verb and hands over."""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from itertools import takewhile
from typing import get_type_hints

from sat3d import __version__

# Every verb and its line of help. One that is not a Trainer's is the typed function `main` of `sat3d.commands.<verb>`.
TRAINER_VERBS = {
    "fit": "train a method, or one of the shipped checkpoints, from a config",
    "validate": "score a checkpoint with the labeller (val/*)",
    "test": "score a checkpoint with the judge alone (test/*)",
    "predict": "edit the codes of a prediction set",
}
COMMANDS = {
    "generate": "pictures, a grid and an orbit clip of a generator's seeds",
    "invert": "pictures of your own as codes that edit, and every editor, takes",
    "edit": "change attributes of a seed with an editor, as pictures and a clip",
    "app": "a local web page: sliders, uploads, a camera to drag, channels to find",
    "compare": "methods on the same codes at an equal change of their targets, with a report",
    "transfer": "transfers against copying, chance and the ideal edit, at equal drift",
    "sweep": "the settings of a config searched by a W&B sweep's file, without an account",
    "success": "how often edits of labelled codes succeed, and what else they change",
    "boundaries": "released InterFaceGAN directions (.npy) as an editor, once seen to belong to the generator",
    "inspect": "what a checkpoint file holds; nothing in it is executed",
    "convert": "a released checkpoint as one .safetensors file",
    "fetch": "a released network's file from a URL, to be used by name",
    "doctor": "whether this machine is ready, and what to type where it is not",
}
# Verbs about files take them as bare words too: `sat3d inspect FILE` is `sat3d inspect --file FILE`. `+`: any number.
OPERANDS = {
    "invert": ("pictures+",),
    "inspect": ("file",),
    "convert": ("file", "out"),
    "fetch": ("name", "url"),
    "sweep": ("file",),
}

USAGE = """\
usage: lightning VERB [OPTIONS]        (sat3d is the same program)

Attribute editing in the style space of 2-D and 3-D-aware generators.

A Trainer's verbs, read from configs that stack by repeating --config:
{trainer}

Other verbs:
{commands}

Examples:
  lightning fit --config experiments/toyfaces/sat3d.yaml
  lightning fit --config experiments/toyfaces/sat3d.yaml --config experiments/trainer/gpu.yaml --model.init_args.lr=0.01
  lightning fit --config experiments/toyfaces/sat3d.yaml --print_config
  lightning test --config experiments/toyfaces/sat3d.yaml --ckpt_path last
  lightning generate --generator toyfaces64 --seeds 0-15
  lightning inspect stylegan2-ada-ffhq.pkl

Options: --help (also after a verb), --version. Every run has its own folder: runs/<name>/<number>.
"""

NO_CONFIG = """\
`lightning {verb}` needs to know what to train: give --config FILE, or --model and --data class paths.
  lightning {verb} --config experiments/toyfaces/sat3d.yaml     the method of the README
  lightning {verb} --help                                       all options
Configs that come with the package:
  {known}"""


def usage() -> str:
    """Return the help of the door, made from the verbs it knows."""
    trainer, commands = (
        "\n".join(f"  {verb:<10} {line}" for verb, line in verbs.items()) for verbs in (TRAINER_VERBS, COMMANDS)
    )
    return USAGE.format(trainer=trainer, commands=commands)


def dispatch(args: Sequence[str]) -> None:
    """Find the verb in `args` and run it.

    Raises:
        SystemExit: 0 after a help text, 2 where the command line cannot be understood.
    """
    verb, rest = (args[0], list(args[1:])) if args else ("--help", [])
    if verb in ("-h", "--help"):
        print(usage())
    elif verb == "--version":
        print(f"sat3d {__version__}")
    elif verb in TRAINER_VERBS:
        from sat3d.configs import known_configs, resolve_configs
        from sat3d.modules import look_here

        asked = {argument.split("=")[0].split(".")[0] for argument in rest}
        if not asked & {"-h", "--help", "-c", "--config", "--ckpt_path", "--model", "--print_config"}:
            _refuse(NO_CONFIG.format(verb=verb, known="\n  ".join(known_configs()) or "none"))
        rest = resolve_configs(rest)
        look_here()  # for classes of the user's own that a config names
        from sat3d.commands.trainer import SatCLI

        SatCLI.open([verb, *rest])
    elif verb in COMMANDS:
        from jsonargparse import auto_cli

        command = import_module(f"sat3d.commands.{verb}").main
        # As strings they make jsonargparse import what stands under TYPE_CHECKING: seconds of torch for a help text.
        command.__annotations__ = get_type_hints(command)
        auto_cli(command, args=_named(verb, rest), prog=f"lightning {verb}", as_positional=False)
    else:
        near = get_close_matches(verb, [*TRAINER_VERBS, *COMMANDS], n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"the verbs are {', '.join([*TRAINER_VERBS, *COMMANDS])}."
        _refuse(f"unknown verb `{verb}`: {hint}")


def _named(verb: str, args: list[str]) -> list[str]:
    """Write the bare words at the start as the options that they stand for."""
    operands = OPERANDS.get(verb, ())
    words = list(takewhile(lambda word: not word.startswith("-"), args))
    if any(operand.endswith("+") for operand in operands):
        (operand,) = operands
        options = [f"--{operand[:-1]}={json.dumps(words)}"] if words else []
    else:
        words = words[: len(operands)]
        options = [f"--{operand}={word}" for operand, word in zip(operands, words, strict=False)]
    return options + args[len(words) :]


def main(args: Sequence[str] | None = None) -> None:
    """Run one command line.

    Args:
        args: what follows the program's name. `None` takes the shell's, and then a setting that cannot be used ends
            in one line and exit code 2; to callers in Python it stays the exception it is.
    """
    if args is not None:
        return dispatch(args)
    try:
        dispatch(sys.argv[1:])
    except (ValueError, OSError, ImportError) as error:
        if "SAT3D_TRACEBACK" in os.environ or _while_training(error):
            raise
        _refuse(f"{error}\n(SAT3D_TRACEBACK=1 shows where this comes from)")


def _while_training(error: BaseException) -> bool:
    """Tell whether a Trainer was at work: then the place of the error matters more than a short message."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__", "").startswith("lightning.pytorch.trainer") for frame, _ in frames)


def _refuse(message: str) -> None:
    print(f"lightning: error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
