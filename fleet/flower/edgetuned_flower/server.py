"""Two rounds: the program makes heads of the statistics of nodes; nodes measure heads, and one kind is taken.

Statistics lie in a folder that only this user can read, and are deleted at the end.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp

from .program import KINDS, Failed, Program
from .scores import Score, choose, total

# As names of devices are.
NAME = re.compile(r"[a-z0-9_-]{1,64}")
# Between two looks at which nodes are there.
LOOK_S = 0.5
# Groups of nodes that measure one head each of a kind.
GROUPS = 5

app = ServerApp()


class Stopped(Exception):
    """Why no head came out, in words for people."""


@dataclass(frozen=True)
class Plan:
    """The run config."""

    out: Path
    program: Program
    task: str
    values: int
    min_nodes: int
    patience_s: float
    leave_out: frozenset[str]
    # One is not measured.
    kinds: tuple[str, ...]

    @staticmethod
    def read(config: dict) -> "Plan":
        out = Path(str(config["out"]))
        if not out.is_absolute():
            raise Stopped(f"the run config 'out' is '{config['out']}', expected an absolute path for the head")
        if not out.parent.is_dir():
            raise Stopped(f"there is no folder {out.parent} for the head; make it, or give another path in 'out'")
        for name in ("values", "min-nodes", "patience"):
            if isinstance(config[name], bool) or not isinstance(config[name], int | float) or config[name] < 0:
                raise Stopped(f"the run config '{name}' is {config[name]!r}, expected a number from 0 on")
        kind = str(config["head"])
        if kind and kind not in KINDS:
            raise Stopped(
                f"the run config 'head' is '{kind}', expected one of {', '.join(KINDS)}, or nothing to measure all"
            )
        return Plan(
            out,
            Program(str(config["edgetuned"])),
            str(config["task"]),
            int(config["values"]),
            int(config["min-nodes"]),
            float(config["patience"]),
            frozenset(str(config["leave-out"]).split()),
            (kind,) if kind else KINDS,
        )


@app.main()
def main(grid: Grid, context: Context) -> None:
    """The ServerApp."""
    try:
        plan = Plan.read(context.run_config)
        with tempfile.TemporaryDirectory(prefix="edgetuned-flower-") as folder:
            run(grid, plan, Path(folder))
    except Stopped as stopped:
        say(f"no head: {stopped}")
        raise


def run(grid: Grid, plan: Plan, folder: Path) -> None:
    """Leaves the chosen head at `plan.out`, or nothing."""
    nodes = Nodes(grid, plan)
    files = gather(nodes, folder)
    heads = make(plan.program, files.values(), plan.kinds, folder)
    if len(plan.kinds) > 1:
        kind = measure(nodes, plan, files, list(heads), folder)
    else:
        kind = plan.kinds[0]
    put(heads[kind], plan.out)
    say(f"took {kind}: {plan.out}; sign it with 'edgetuned update sign'")


def gather(nodes: "Nodes", folder: Path) -> dict[str, Path]:
    """The first round: a statistics file of each node, by its name."""
    files = {}
    for name, answer in nodes.ask("statistics", lambda _: {}).items():
        file = answer.config_records.get("statistics", {}).get("file")
        if not isinstance(file, bytes):
            nodes.leave(name, STRANGER)
            continue
        path = folder / f"{name}.safetensors"
        path.write_bytes(file)
        files[name] = path
        say(f"{name}: {len(file)} bytes of statistics")
    if not files:
        raise Stopped("no node gave statistics; see what they said")
    return files


def make(program: Program, files: Iterable[Path], kinds: Iterable[str], folder: Path) -> dict[str, Path]:
    """A head of each kind that the program can make of the files."""
    heads, report, reason = {}, {}, ""
    for kind in kinds:
        # No node's name has a dot.
        head = folder / f"head.{kind}"
        try:
            report = program.merge(files, head, kind)
            heads[kind] = head
        except Failed as failed:
            reason = str(failed)
            say(f"no head of kind {kind}: {reason}")
    if not heads:
        raise Stopped(f"the program made no head: {reason}; a node can be named in the run config 'leave-out'")
    tell(report)
    return heads


def tell(report: dict) -> None:
    """What the program says of the devices."""
    for device in report.get("devices", []):
        images = ", ".join(f"{label} {count}" for label, count in device["images"].items())
        say(f"{device['device']}: {images or 'no images'}")
    for one in report.get("disagreements", []):
        nearest = one["nearest"]
        what = f"is nearest to what others call {nearest}" if nearest else "is far from what others call so"
        say(f"{one['device']}: {one['class']} {what}; look at its labels, or name it in 'leave-out'")


def measure(nodes: "Nodes", plan: Plan, files: dict[str, Path], kinds: list[str], folder: Path) -> str:
    """The second round: the kind that nodes answer best with, each by a head made without its own statistics."""
    heads = without(plan.program, files, kinds, folder)
    records = {name: {"heads": ConfigRecord(made)} for name, made in heads.items()}
    answers = nodes.ask("score", records.get)
    scores: dict[str, list[Score]] = {kind: [] for kind in kinds}
    for name, answer in answers.items():
        read = {kind: Score.read(answer.metric_records.get(kind, {})) for kind in kinds}
        if None in read.values():
            nodes.leave(name, "its numbers are none that a daemon measures")
            continue
        for kind, score in read.items():
            scores[kind].append(score)
    totals = {kind: total(of) for kind, of in scores.items()}
    kind = choose(totals)
    if kind is None:
        raise Stopped(
            "no node measured a head: each class has to be on two nodes at least; or name a kind in the run config "
            "'head'"
        )
    for made, score in totals.items():
        say(f"{made}: {score.right} of {score.n} images right, log-loss {score.log_loss:.3f}")
    return kind


def without(
    program: Program, files: dict[str, Path], kinds: list[str], folder: Path
) -> dict[str, dict[str, bytes]]:
    """By node: heads made without its statistics, so that all its images are held out.

    Nodes share heads that were made without all of them, so that a large fleet takes as many merges as a small one.
    """
    names = sorted(files)
    groups = [names[first::GROUPS] for first in range(min(GROUPS, len(names)))]
    heads = {}
    for group in groups:
        rest = [file for name, file in files.items() if name not in group]
        made = {}
        try:
            for kind in kinds:
                if not rest:
                    raise Failed("there are no others")
                program.merge(rest, head := folder / f"without.{kind}", kind)
                made[kind] = head.read_bytes()
        except Failed as failed:
            say(f"{', '.join(group)}: nothing to measure, since the others' statistics make no head: {failed}")
            continue
        heads |= dict.fromkeys(group, made)
    return heads


# What it means when a node does not answer to a query.
WITHOUT = {"statistics": "left out", "score": "not counted"}
STRANGER = "the answer is none of this app's; bring node and server to one version"


class Nodes:
    """The nodes that take part; one that cannot is listed, and not asked again."""

    def __init__(self, grid: Grid, plan: Plan) -> None:
        self._grid = grid
        self._plan = plan
        # By id.
        self._names = {node: f"node-{node}" for node in self._wait()}

    def _wait(self) -> list[int]:
        """The nodes that are there, once there are enough."""
        end = time.monotonic() + self._plan.patience_s
        while True:
            found = sorted(self._grid.get_node_ids())
            if len(found) >= max(self._plan.min_nodes, 1):
                return found
            if time.monotonic() > end:
                raise Stopped(
                    f"{len(found)} nodes are there after {self._plan.patience_s:g} s, expected {self._plan.min_nodes}; "
                    "start more, or lower the run config 'min-nodes'"
                )
            time.sleep(LOOK_S)

    def ask(self, action: str, content: Callable[[str], dict | None]) -> dict[str, RecordDict]:
        """The answers to a query with the `content` for each node, by names; where that is None a node is not asked."""
        self._without = WITHOUT[action]
        messages = []
        for node, name in self._names.items():
            if (records := content(name)) is not None:
                ask = ConfigRecord({"task": self._plan.task, "values": self._plan.values})
                message = RecordDict({"ask": ask} | records)
                messages.append(Message(message, dst_node_id=node, message_type=f"{MessageType.QUERY}.{action}"))
        replies = {}
        for reply in self._grid.send_and_receive(messages, timeout=self._plan.patience_s):
            replies[reply.metadata.src_node_id] = reply
        answers = {}
        for node in [message.metadata.dst_node_id for message in messages]:
            reason = self._problem(node, replies.get(node))
            name = self._names[node]
            if reason is None:
                answers[name] = replies[node].content
            else:
                self.leave(name, reason)
        return answers

    def leave(self, name: str, reason: str) -> None:
        """Asks a node nothing from now on."""
        say(f"{self._without}: {name}: {reason}")
        self._names = {node: other for node, other in self._names.items() if other != name}

    def _problem(self, node: int, reply: Message | None) -> str | None:
        """Why a reply is no answer; takes over the name that the node has."""
        if reply is None:
            return f"it did not answer within {self._plan.patience_s:g} s"
        if reply.has_error():
            return f"its app failed: {reply.error.reason}"
        said = reply.content.config_records.get("node")
        if said is None:
            return STRANGER
        name = said.get("name")
        if isinstance(name, str) and NAME.fullmatch(name) and name not in self._names.values():
            self._names[node] = name
        if self._names[node] in self._plan.leave_out:
            return "the run config says so"
        return str(said["refused"]) if "refused" in said else None


def put(head: Path, out: Path) -> None:
    """Puts a head at `out`, whole or not at all."""
    unfinished = out.with_name(f".{out.name}.new")
    try:
        shutil.copyfile(head, unfinished)
        os.replace(unfinished, out)
    except OSError as error:
        raise Stopped(f"cannot write {out}: {error}; check the folder and the free space") from error


def say(line: str) -> None:
    """A line of the run's log, whatever a node wrote into it."""
    shown = "".join(c if c.isprintable() else " " for c in line)
    print(f"edgetuned: {shown}", flush=True)
