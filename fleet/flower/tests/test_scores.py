from edgetuned_flower.scores import Score, choose, total

SOUND = {"n": 10, "right": 9, "unknown": 0, "log_loss": [9, 8, 7, 2.5, 7, 8, 9, 9, 9]}


def test_log_loss_is_that_of_the_head_as_it_is():
    assert Score.read(SOUND) == Score(10, 9, 2.5)


def test_numbers_that_no_daemon_measures_are_no_score():
    strange = [
        {"right": 11},
        {"right": -1},
        {"log_loss": [1.0] * 8},
        {"log_loss": [float("nan")] * 9},
        {"log_loss": [-1.0] * 9},
        {"log_loss": [1e9] * 9},
        {"log_loss": 3},
    ]
    assert all(Score.read(SOUND | change) is None for change in strange)
    assert Score.read({}) is None


def test_smallest_sum_over_all_nodes_wins():
    lda = total([Score(10, 9, 2.0), Score(30, 20, 40.0)])
    ridge = total([Score(10, 8, 5.0), Score(30, 25, 30.0)])
    assert lda == Score(40, 29, 42.0)
    assert choose({"lda": lda, "ridge": ridge}) == "ridge"
    assert choose({"lda": lda, "ridge": lda}) == "lda", "among equals the first"


def test_nothing_measured_chooses_nothing():
    assert choose({"lda": total([]), "ridge": Score(0, 0, 0.0)}) is None
