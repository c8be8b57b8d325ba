"""Which mixture of sources to train on: designs, the mixture law, proposals, and the runs behind them."""
