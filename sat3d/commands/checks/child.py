"""The child process of `running.apart`: runs checks, and says what it finds as lines of JSON."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import warnings
from dataclasses import asdict

from sat3d.commands.checks.running import guarded


def main() -> None:
    """Run the units that the first argument lists; what libraries print does not mix with what is found."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    faulthandler.enable()
    warnings.simplefilter("ignore")

    def say(**message: object) -> None:
        print(json.dumps(message), file=answers, flush=True)

    for check, part in json.loads(sys.argv[1]):
        say(begin=[check, part])
        for finding in guarded(check, part):
            say(**asdict(finding))
        say(end=[check, part])
