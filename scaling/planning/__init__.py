"""What a training run needs and costs: published laws, inference, repetition, hardware, the budget."""
