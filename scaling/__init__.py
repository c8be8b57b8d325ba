"""How much of the data is worth training on: scaling laws, the budget, proxy models, pruning sweeps, mixture search."""
