"""Run command lines of the door one after the other, in one process or in each of several: `run_all.py LINES.json`."""

import json
import sys
from pathlib import Path

import torch

from sat3d.cli import main

if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in json.loads(Path(sys.argv[1]).read_text()):
        main(line)
