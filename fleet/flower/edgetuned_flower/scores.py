"""Which head is taken, from the numbers of all nodes."""

from dataclasses import dataclass

# The daemon gives the log-loss at nine factors of the head's temperature; here is that of 1, the head as it is.
AS_IT_IS = 3
FACTORS = 9
# A daemon counts no image's log-loss as more.
LOSS_MAX = 13.83


@dataclass(frozen=True)
class Score:
    """What a head is worth on one node, or on all."""

    n: int
    right: int
    log_loss: float

    @staticmethod
    def read(numbers: dict) -> "Score | None":
        """A node's numbers; None where no daemon could have measured them."""
        try:
            n, right, losses = numbers["n"], numbers["right"], numbers["log_loss"]
            sound = 0 <= right <= n and len(losses) == FACTORS and all(0 <= loss <= LOSS_MAX * n for loss in losses)
            return Score(n, right, losses[AS_IT_IS]) if sound else None
        except (KeyError, TypeError):
            return None


def total(scores: list[Score]) -> Score:
    """The sums over nodes."""
    return Score(sum(s.n for s in scores), sum(s.right for s in scores), sum(s.log_loss for s in scores))


def choose(totals: dict[str, Score]) -> str | None:
    """The kind with the smallest log-loss, among equals the first; None where no image was measured."""
    measured = {kind: score for kind, score in totals.items() if score.n > 0}
    return min(measured, key=lambda kind: measured[kind].log_loss, default=None)
