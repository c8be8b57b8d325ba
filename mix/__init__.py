"""The mix: ratios and epochs, selection, the global shuffle, the quality score Q, and the dataset's own documents."""
