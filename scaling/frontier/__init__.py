"""What a sweep has shown: the frontier, slopes, multipliers, the best fraction, and how sure that is."""
