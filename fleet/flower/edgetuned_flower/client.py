"""What a node answers: it asks the daemon at the socket that its node config names.

Whatever a daemon refuses is an answer, too, with its reason.
"""

from collections.abc import Callable

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .daemon import Daemon, Refused

app = ClientApp()


@app.query("statistics")
def statistics(message: Message, context: Context) -> Message:
    """The statistics file of the device."""

    def ask(daemon: Daemon) -> RecordDict:
        return RecordDict({"statistics": ConfigRecord({"file": daemon.statistics(message.content["ask"]["values"])})})

    return _answer(message, context, ask)


@app.query("score")
def score(message: Message, context: Context) -> Message:
    """What each head is worth on the device, as numbers."""

    def ask(daemon: Daemon) -> RecordDict:
        heads = message.content["heads"]
        return RecordDict({kind: MetricRecord(daemon.score(head)) for kind, head in heads.items()})

    return _answer(message, context, ask)


def _answer(message: Message, context: Context, ask: Callable[[Daemon], RecordDict]) -> Message:
    said = {"name": str(context.node_config.get("name", ""))}
    answer = RecordDict()
    try:
        path = context.node_config.get("socket")
        if not path:
            raise Refused("the node has no socket; start it with --node-config 'socket=\"PATH\"'")
        answer = ask(Daemon(str(path), message.content["ask"]["task"]))
    except Refused as refused:
        said["refused"] = str(refused)
    answer["node"] = ConfigRecord(said)
    return Message(answer, reply_to=message)
