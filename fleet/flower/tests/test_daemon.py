import pytest
from edgetuned_flower.daemon import Daemon, Refused

SCORE = {"n": 40, "right": 36, "log_loss": [21.5, 16.0, 13.25, 12.5, 13.0, 15.25, 19.5, 26.0, 42.0], "unknown": 2}


def test_parts_put_together_are_the_file(play):
    played = play("line-1")
    assert Daemon(played.path).statistics() == played.file
    assert [ask.get("offset", 0) for _, ask in played.asked] == [0, 4_000, 8_000]
    assert "task" not in played.asked[0][1] and "values" not in played.asked[0][1]


def test_task_is_in_every_request_and_values_in_the_first(play):
    played = play("line-1")
    Daemon(played.path, "lamp").statistics(64)
    assert {ask["task"] for _, ask in played.asked} == {"lamp"}
    assert [ask.get("values") for _, ask in played.asked] == [64, None, None]


def test_file_that_is_replaced_meanwhile_is_begun_again(play):
    played = play("line-1")
    answer = played.answer

    def restarts_once(name, ask):
        if len(played.asked) == 1:
            played.file = b"another" * 1_000
        return answer(name, ask)

    played.answer = restarts_once
    assert Daemon(played.path).statistics() == b"another" * 1_000


def test_file_that_is_always_replaced_is_given_up(play):
    played = play("line-1")
    answer = played.answer

    def never_rests(name, ask):
        if "sha256" in ask:
            played.file += b"."
        return answer(name, ask)

    played.answer = never_rests
    with pytest.raises(Refused, match="replaced 4 times"):
        Daemon(played.path).statistics()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offset": 7}, "another part"),
        ({"data": ""}, "another part"),
        ({"data": "%"}, "none of an edgetuned daemon's"),
        ({"bytes": 1 << 40}, "ask for fewer values"),
        ({"bytes": 3}, "another part"),
        ({"bytes": 4_000}, "damaged"),
        ({"sha256": None}, "none of an edgetuned daemon's"),
    ],
)
def test_part_that_was_not_asked_for_is_refused(play, change, words):
    played = play("line-1")
    answer = played.answer

    def lies(name, ask):
        status, said = answer(name, ask)
        return status, {"status": "ok", "data": said["data"] | change}

    played.answer = lies
    with pytest.raises(Refused, match=words):
        Daemon(played.path).statistics()


def test_refusal_is_in_the_daemons_words(play):
    played = play("line-1")
    played.refuses = "fleet.share is false"
    with pytest.raises(Refused, match="^fleet.share is false$"):
        Daemon(played.path).statistics()


def test_answer_without_an_envelope_is_told_with_its_status(play):
    played = play("line-1")
    played.answer = lambda *_: (413, b"too long")
    with pytest.raises(Refused, match="413: too long"):
        Daemon(played.path).score(b"head")


def test_nobody_at_the_socket_is_told_with_the_next_act(tmp_path):
    with pytest.raises(Refused, match="check that it runs"):
        Daemon(str(tmp_path / "nobody.sock")).statistics()


def test_score_is_numbers_only(play):
    played = play("line-1")
    played.scores = {"lda": SCORE | {"more": "words"}, "ridge": SCORE | {"log_loss": ["a"]}, "softmax": {}}
    assert Daemon(played.path).score(b"lda") == SCORE
    for strange in (b"ridge", b"softmax"):
        with pytest.raises(Refused, match="none of an edgetuned daemon's"):
            Daemon(played.path).score(strange)
