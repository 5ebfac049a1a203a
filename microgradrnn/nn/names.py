"""Names of PyTorch's and Keras' layers and options that are others here, and what to write."""

NO_LAYER = "there is no such layer here: microgradrnn is about recurrent nets"
FUNCTION = "a function is a layer too: nn.Sequential(..., mg.{})"

# Classes and modules, as in nn.Conv2d.
LAYERS = {
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d", "MaxPool1d", "MaxPool2d", "AvgPool2d", "Transformer",
                     "TransformerEncoder", "TransformerEncoderLayer", "MultiheadAttention", "Bilinear"), NO_LAYER),
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "GroupNorm", "RMSNorm"), f"{NO_LAYER}; there is nn.LayerNorm"),
    "Softmax": "a function does it, over the last axis: mg.softmax", "LogSoftmax": "write mg.log_softmax",
    "Softplus": "write mg.softplus", "ELU": "write it out, with mg.where and mg.expm1",
    "GELU": "write it out, with mg.erf", "SiLU": "write x * mg.sigmoid(x)",
    "LeakyReLU": "write mg.where(x > 0, x, 0.01 * x)", "Identity": "write lambda x: x",
    "Flatten": "write lambda x: x.reshape(len(x), -1)",
    "functional": "losses are functions of nn (nn.cross_entropy, nn.mse), the others of microgradrnn (mg.relu)",
    "ModuleList": "a plain list in an attribute does", "ModuleDict": "a plain dict in an attribute does",
    "ParameterList": "a plain list in an attribute does", "ParameterDict": "a plain dict in an attribute does",
    "L1Loss": "write (y - t).abs().mean()", "SmoothL1Loss": "write it out, with mg.where",
    "HuberLoss": "write it out, with mg.where", "BCELoss": "nn.BCEWithLogitsLoss, on the scores before the sigmoid",
    "KLDivLoss": "nn.cross_entropy over probabilities differs by the entropy of the targets only",
    "CTCLoss": "there is none here",
    **dict.fromkeys(("AdaptiveLogSoftmaxWithLoss", "CosineEmbeddingLoss", "GaussianNLLLoss", "HingeEmbeddingLoss",
                     "LinearCrossEntropyLoss", "MarginRankingLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss",
                     "MultiMarginLoss", "PoissonNLLLoss", "SoftMarginLoss", "TripletMarginLoss",
                     "TripletMarginWithDistanceLoss"),
                    "a loss is any formula of nodes that gives one number: write it out, as in ((y - t) ** 2).mean()"),
    "RNNBase": "write nn.Recurrent(cells), or a Cell of your own",
    "utils": "clipping is in microgradrnn.optim (clip_grad_norm), padding in microgradrnn.data (pad), and packed "
             "sequences are lengths= in the call of a layer",
    "Dense": "write nn.Linear(in_features, out_features)", "SimpleRNN": "write nn.RNN(input_size, hidden_size)",
    "Bidirectional": "say bidirectional=True: nn.LSTM(input_size, hidden_size, bidirectional=True)",
    "LayerNormalization": "write nn.LayerNorm(normalized_shape, eps=1e-3)",
    "Masking": "say mask= in the call of a layer, (T, B), or (B, T) with batch_first=True",
    "TimeDistributed": "layers work on the last axis, for all steps at once",
}  # fmt: skip

# Options of constructors, as in nn.LSTM(proj_size=5).
OPTIONS = {
    "num_layers": "a layer has it, as in nn.LSTM; a cell does not", "layers": "say num_layers=",
    "batch_first": "a layer has it, as in nn.LSTM; a cell reads one step, (B, D)",
    "nonlinearity": "say activation=",
    "proj_size": "an LSTM has it; put an nn.Linear(hidden_size, proj_size) on the outputs",
    "forget_bias": "this cell has no forget gate with a bias of its own", "device": "there is one device; leave it out",
    **dict.fromkeys(("max_norm", "norm_type"), "scale the rows yourself: E.data /= ..."),
    "scale_grad_by_freq": "divide the rows of E.grad by how often each occurred, before the step",
    "sparse": "leave it out", "inplace": "leave it out",
    "size_average": "say reduction=", "reduce": "say reduction=",
    **dict.fromkeys(("pos_weight", "weight"), "give the losses weights: reduction='none', and a product"),
    "lr": "it belongs to the optimiser",
    "units": "say input_size= and hidden_size=",
    "return_sequences": "all outputs come back: hs, state = layer(xs)",
    "return_state": "the last state always comes back: hs, state = layer(xs)",
    "go_backwards": "say reverse=True in the call",
    "stateful": "hand the last state on: hs, state = layer(xs, nn.detach(state))",
    "recurrent_dropout": "dropout= acts between layers; in the loop nn.VariationalDropout, nn.Zoneout and "
                         "nn.RecurrentDropoutLSTMCell",
    "recurrent_initializer": "say init=", "kernel_initializer": "assign to U.data, see nn.init",
    "unit_forget_bias": "say forget_bias=1.0, which is the default", "recurrent_activation": "gates are sigmoid",
    "input_shape": "say input_size=, the length of the last axis", "use_bias": "say bias=",
    "input_dim": "say num_embeddings=", "output_dim": "say embedding_dim=",
    "reset_after": "say reset='after' or reset='before'",
}  # fmt: skip
