"""Five questions, which the page alone answers: by what it says and by what a newcomer would click."""

import pytest

import viz
from microgradrnn import nn
from tests.browser.pages import every_loss, last_loss


@pytest.fixture(scope="module")
def swept(folder):
    path = folder / "swept.html"
    nets = {"LSTM": last_loss(nn.LSTM(4, 18, rng=0, forget_bias=1.0)), "tanh RNN": last_loss(nn.RNN(4, 18, rng=0))}
    viz.explore(nets, path, sweep={"forget_bias": [-1, 1, 3]})
    return path


def test_which_net_remembers(watch, last):
    title = watch(last).text("h1")
    assert "% of the gradient is left in LSTM" in title
    assert "10⁻⁹ in “tanh RNN”" in title


def test_by_which_way(watch, last):
    watched = watch(last)
    assert watched.text(".summary").startswith("The carry alone keeps 0.")
    areas = watched.page.eval_on_selector_all("#lane0 .share", """shares => shares.map((share) => {
        const { data, shape } = explorer.data.lanes[0].ways.shares;
        const way = Number(share.dataset.way);
        return [explorer.data.lanes[0].ways.names[way], data.subarray(way * shape[1], (way + 1) * shape[1])
            .reduce((sum, x) => sum + (x || 0), 0)];
    })""")
    assert max(areas, key=lambda found: found[1])[0] == "carry"


def test_what_happens_without_the_carry(watch, last):
    watched = watch(last)
    watched.page.locator("#lane0 .ways").get_by_label("carry").uncheck()
    sentence = watched.text("#lane0 .sentence")
    assert sentence.startswith("Without the carry, ")
    assert "instead of 15 %" in sentence
    assert "tanh RNN" in sentence


def test_at_which_bias(watch, swept):
    watched = watch(swept)
    left = []
    for place in range(3):
        watched.page.locator("#lane0 input[data-option=forget_bias]").fill(str(place))
        norms = watched.norms()
        left.append(norms[0] / norms[-1])
    assert left == sorted(left)
    watched.page.evaluate("() => explorer.tour.go(6)")
    assert "Most is left at 3" in watched.text(".tour p")


def test_where_the_gradient_of_a_character_comes_from(watch, folder):
    path = folder / "where.html"
    viz.explore(every_loss(nn.LSTM(4, 8, rng=0, forget_bias=2.0)), path, labels="the cat sat on the mat, ")
    watched = watch(path, "#lag=14")
    said = watched.text(".senders-said")
    itemised = watched.page.evaluate("""() => {
        const { losses, norms } = explorer.data.lanes[0].itemised;
        return losses.map((turn, k) => [turn, norms.data[k * 24 + 9]]);
    }""")
    best = max(itemised, key=lambda found: found[1])[0]
    expected = "Its own loss “a”" if best == 9 else f"The loss {best - 9} step{'s' * (best > 10)} later “"
    assert said.startswith(expected)
