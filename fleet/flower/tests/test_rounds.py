"""Both rounds: the real apps against played daemons and a played program, without Flower's processes between them."""

import stat
import sys

import pytest
from edgetuned_flower import client, server
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

# Writes the kind as the head, and refuses files that say so.
PROGRAM = """#!{python}
import json, pathlib, sys
kind, out, files = sys.argv[5], sys.argv[7], sys.argv[9:]
fixed = [*sys.argv[1:5], sys.argv[6], sys.argv[8]]
assert fixed == ["--json", "fleet", "merge", "--head", "--out", "--"], sys.argv
bad = [file for file in files if pathlib.Path(file).read_bytes() == b"bad"]
if bad:
    sys.exit(f"{{bad[0]}} is no statistics file")
with open(pathlib.Path(__file__).with_name("merges"), "a") as log:
    print(kind, pathlib.Path(out).name, *sorted(pathlib.Path(file).stem for file in files), file=log)
pathlib.Path(out).write_text(kind)
devices = [{{"device": pathlib.Path(file).stem, "images": {{"nut": 3}}}} for file in files]
print(json.dumps({{"devices": devices, "disagreements": []}}))
"""


def score(loss, n=10):
    return {"n": n, "right": 8, "unknown": 1, "log_loss": [9.0, 8.0, 7.0, loss, 7.0, 8.0, 9.0, 9.0, 9.0]}


class PlayedGrid:
    """Nodes that answer by the real ClientApp; one without a config is silent, one that is an Error fails."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.messages = []

    def get_node_ids(self):
        return list(self.nodes)

    def send_and_receive(self, messages, *, timeout=None):
        for message in messages:
            self.messages.append(message)
            config = self.nodes[node := message.metadata.dst_node_id]
            if config is None:
                continue
            if isinstance(config, Error):
                reply = Message(config, reply_to=message)
            else:
                reply = client.app(message, Context(1, node, config, RecordDict(), {}))
            yield reply


@pytest.fixture
def bench(tmp_path, play, capsys, monkeypatch):
    # Which Flower sets in the process of a ServerApp; messages are made with it.
    for name in ("_run_id", "_task_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    program = tmp_path / "edgetuned"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    class Bench:
        out = tmp_path / "head.safetensors"
        config = {
            "out": str(out), "edgetuned": str(program), "task": "", "values": 0,
            "min-nodes": 1, "patience": 0, "leave-out": "", "head": "",
        }  # fmt: skip

        def nodes(self, count):
            """Daemons that answer best with ridge, each known by its name."""
            self.played = {f"line-{n}": play(f"line-{n}") for n in range(count)}
            for played in self.played.values():
                played.scores = {"lda": score(5.0), "ridge": score(3.0), "softmax": score(4.0)}
            return {n: {"socket": played.path, "name": name} for n, (name, played) in enumerate(self.played.items(), 1)}

        def run(self, nodes, **changes):
            self.grid = PlayedGrid(nodes)
            config = self.config | {key.replace("_", "-"): value for key, value in changes.items()}
            server.app(self.grid, Context(1, 0, {}, RecordDict(), config))

        @property
        def said(self):
            return capsys.readouterr().out

        @property
        def merges(self):
            return (tmp_path / "merges").read_text().splitlines()

    return Bench()


def test_kind_with_the_smallest_summed_log_loss_is_taken(bench):
    nodes = bench.nodes(2)
    bench.played["line-0"].scores["softmax"] = score(2.0)
    bench.played["line-1"].scores["softmax"] = score(3.5)
    bench.run(nodes)
    assert bench.out.read_text() == "softmax"
    said = bench.said
    assert "ridge: 16 of 20 images right, log-loss 6.000" in said
    assert "softmax: 16 of 20 images right, log-loss 5.500" in said


def test_node_measures_heads_made_without_its_own_statistics(bench):
    bench.run(bench.nodes(2))
    assert bench.merges == [
        *[f"{kind} head.{kind} line-0 line-1" for kind in ("lda", "ridge", "softmax")],
        *[f"{kind} without.{kind} line-1" for kind in ("lda", "ridge", "softmax")],
        *[f"{kind} without.{kind} line-0" for kind in ("lda", "ridge", "softmax")],
    ]


def test_large_fleet_takes_no_more_merges_than_a_small_one(bench):
    bench.run(bench.nodes(12))
    assert len(bench.merges) == 3 + 3 * server.GROUPS
    assert all(sum(name == "score" for name, _ in played.asked) == 3 for played in bench.played.values())


def test_only_numbers_come_back_in_the_second_round(bench):
    bench.run(bench.nodes(2))
    message = bench.grid.messages[-1]
    reply = client.app(message, Context(1, 2, bench.grid.nodes[2], RecordDict(), {}))
    assert sorted(reply.content) == ["lda", "node", "ridge", "softmax"]
    assert reply.content["node"] == ConfigRecord({"name": "line-1"})


def test_node_that_refuses_fails_or_is_silent_is_listed_and_left_out(bench):
    nodes = bench.nodes(3)
    bench.played["line-2"].refuses = "fleet.share is false"
    bench.run(nodes | {7: None, 8: Error(0, "out of memory"), 9: {}})
    said = bench.said
    assert "left out: line-2: fleet.share is false" in said
    assert "left out: node-7: it did not answer" in said
    assert "left out: node-8: its app failed: out of memory" in said
    assert "left out: node-9: the node has no socket" in said
    assert bench.merges[0] == "lda head.lda line-0 line-1"
    assert bench.out.read_text() == "ridge"


def test_numbers_that_no_daemon_measures_count_for_nothing(bench):
    nodes = bench.nodes(3)
    losses = {"lda": 0.0, "ridge": 1e6, "softmax": 0.0}
    bench.played["line-2"].scores = {kind: score(loss, n=8) for kind, loss in losses.items()}
    bench.run(nodes)
    assert "not counted: line-2: its numbers" in bench.said
    assert bench.out.read_text() == "ridge"


def test_node_that_only_gives_statistics_is_in_the_head_and_not_counted(bench):
    nodes = bench.nodes(3)
    bench.played["line-2"].scores = {"lda": score(0.0)}
    bench.run(nodes)
    said = bench.said
    assert "left out" not in said
    assert "not counted: line-2: cannot read head ridge" in said
    assert bench.merges[0] == "lda head.lda line-0 line-1 line-2"


def test_words_of_a_node_stay_on_their_line(bench):
    nodes = bench.nodes(3)
    bench.played["line-2"].refuses = "no\n\x1b[2Jedgetuned: took lda"
    bench.run(nodes)
    assert "left out: line-2: no  [2Jedgetuned: took lda\n" in bench.said


def test_names_that_are_no_names_or_taken_are_not_used(bench):
    nodes = bench.nodes(3)
    nodes[2] |= {"name": "../line"}
    nodes[3] |= {"name": "line-0"}
    bench.run(nodes)
    assert bench.merges[0] == "lda head.lda line-0 node-2 node-3"


def test_node_can_be_named_to_be_left_out(bench):
    nodes = bench.nodes(3)
    bench.played["line-1"].file = b"bad"
    with pytest.raises(server.Stopped, match="is no statistics file.*'leave-out'"):
        bench.run(nodes)
    assert not bench.out.exists()
    bench.run(nodes, leave_out="line-1")
    assert bench.merges[0] == "lda head.lda line-0 line-2"


def test_one_kind_is_made_unmeasured(bench):
    bench.run(bench.nodes(1), head="lda")
    assert bench.out.read_text() == "lda"
    assert [name for name, _ in bench.played["line-0"].asked] == ["statistics"] * 3


def test_nothing_measured_leaves_no_head(bench):
    with pytest.raises(server.Stopped, match="on two nodes at least"):
        bench.run(bench.nodes(1))
    assert "there are no others" in bench.said
    assert not bench.out.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"out": "head.safetensors"}, "absolute path"),
        ({"out": "/nowhere/head.safetensors"}, "no folder /nowhere"),
        ({"head": "forest"}, "one of lda, ridge, softmax"),
        ({"values": "many"}, "'values' is 'many', expected a number"),
        ({"min_nodes": 3}, "2 nodes are there after 0 s, expected 3"),
        ({"edgetuned": "/nowhere/edgetuned"}, "no program /nowhere/edgetuned"),
    ],
)
def test_what_is_wrong_is_said_with_the_next_act(bench, changes, words):
    with pytest.raises(server.Stopped, match=words):
        bench.run(bench.nodes(2), **changes)
    assert "edgetuned: no head: " in bench.said
