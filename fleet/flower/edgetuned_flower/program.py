"""The program `edgetuned`, which does the sums."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

# What heads can be made of sums, the simplest first; as 'edgetuned fleet merge --head' calls them.
KINDS = ("lda", "ridge", "softmax")
# A merge of a thousand devices takes a fraction of this.
PATIENCE_S = 3600


class Failed(Exception):
    """Why the program made no head, in its own words."""


class Program:
    """The program by its path, or by its name on the PATH."""

    def __init__(self, path: str) -> None:
        self._path = path

    def merge(self, files: Iterable[Path], head: Path, kind: str) -> dict:
        """Makes a head of this kind of statistics files, and gives the program's report of it."""
        command = [self._path, "--json", "fleet", "merge", "--head", kind, "--out", str(head), "--", *map(str, files)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        except FileNotFoundError as error:
            raise Failed(f"there is no program {self._path}; give its path in the run config 'edgetuned'") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{self._path} could not be run: {error}") from error
        if ended.returncode != 0:
            raise Failed(ended.stderr.strip() or f"{self._path} ended with {ended.returncode} and said nothing")
        try:
            return json.loads(ended.stdout)
        except ValueError as error:
            raise Failed(f"{self._path} printed no report; is it edgetuned?") from error
