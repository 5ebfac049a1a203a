"""The first picture: README shows these lines. They write first.svg and explorer.html into the current folder."""

import numpy as np

import viz
from microgradrnn import nn

x = np.random.default_rng(0).standard_normal((50, 1, 3))      # 50 steps, a batch of one, 3 features
nets = {"tanh RNN": nn.RNN(3, 16, rng=0),                     # random weights, not trained
        "LSTM": nn.LSTM(3, 16, rng=0),                        # its forget bias is 1, the default
        "LSTM, forget bias 3": nn.LSTM(3, 16, forget_bias=3, rng=0)}
losses = {}
for name, net in nets.items():
    hs, _ = net(x)                                            # the states of all steps: (50, 1, 16)
    losses[name] = (hs[-1] ** 2).mean()                       # a loss at the last step alone
comparison = viz.compare_flow(losses)                         # how far back does its gradient reach?
print(comparison.verdict)
comparison.draw(theme=viz.Theme(page=830)).save("first.svg")  # as wide as a column of text
viz.explore(losses, "explorer.html")                          # the same nets, to play, cut and change
