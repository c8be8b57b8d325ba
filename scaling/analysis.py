"""What a sweep shows: curves, frontiers, slopes, multipliers, the best fraction of each budget, and how sure all that is.

`analyse(cells, options)` takes the table of `contract.CELLS` and gives an `Analysis`, whose `as_dict()` is plain JSON:

    version      1
    confidence   .95: of every interval below
    draws, seed  of the simulation behind the intervals
    conclusion   [sentence]: what is shown, what is not shown, and what the experiment cannot tell
    notes        [sentence]: what was left out of the whole table
    panels       [panel], one for each (pool, proxy), in order of their names
    agreement    {"proxies": [agreement], "sizes": [agreement]}

An *estimate* is {"value", "low", "high"}; low and high are null where nothing can be said (one seed). A panel:

    pool, proxy, parameters (null for a proxy that has none)
    sizes [int], fractions [float, ascending, 1 included], scores [string, without `all`; `random` last], seeds [int]
    notes        [sentence]: no slope, no band, missing cells, ...
    conclusion   [sentence]: of this panel alone
    missing      [{score, fraction, size, seed}]: cells that the grid has and the table has not
    noise        {seed, cell, degrees}: how much losses differ between seeds, as shares of the loss: what all cells of a
                 seed and size share, and what is left of a single cell; null for one seed
    cells        [{score, fraction, size, kept_tokens, train_tokens, epochs, seeds, loss, low, high, standard_error,
                   domains: {domain: {loss, standard_error}}}]
                 means over the seeds; low, high and standard_error null for one seed
    curves       [{score, fraction, size [], kept_tokens [], loss [], low [], high []}] over the sizes, ascending
    frontiers    [{score, kept_tokens [], loss [], low [], high [], fraction [], points}], `random` included: the lower
                 left envelope over kept tokens, on a logarithmic grid; `fraction` is that of the curve that leads;
                 points: [{fraction, size, kept_tokens, loss}], the cells than which none has less of both
    control      {kept_tokens [], loss [], low [], high [], degree}: the curve through all cells that keep everything or
                 keep by chance, which the multipliers invert; null where there is none
    slopes       [{score, from_tokens, to_tokens, slope, control, difference, growth, steeper, local}]: d ln loss /
                 d ln kept tokens along the frontier, of the control's over the same tokens, and their difference
                 (estimates; negative: steeper); growth: d ln multiplier / d ln kept tokens (estimate or null), 0 where
                 pruning is worth a constant factor of data; steeper: true, false (shallower), null (not shown);
                 local: [{from_tokens, to_tokens, slope, control, difference}], pieces of the same range
    multipliers  [{score, fraction, size, compute, data, bound}]: tokens of the control at equal loss / the cell's, in
                 tokens trained on and in unique tokens (estimates); bound: `within`, or `at_least` / `at_most` where the
                 loss lies beyond all that the control reached (low and high are then null)
    effects      [{score, fraction, size, against, change, p_value, shown}]: relative change of the loss (estimate, its
                 interval adjusted for all effects of the sweep together; negative: better) against `random` or `all`;
                 size null: the mean over sizes; shown: the adjusted interval leaves out zero
    best         [best], one for each size, that is, for each budget:
        size, train_tokens (null where it differs between fractions), kept_tokens, score, fraction, loss
        not_distinguishable  [{score, fraction, loss, change}]: all within noise of the best, the best first; change: an
                             adjusted estimate relative to the best
        lowest_fraction, highest_fraction    of those
        against_all, against_random          {change, shown} or null; random at the same fraction

An agreement (`proxies` at equal size, `sizes` with one proxy; of a and b the larger is b):

    pool; size and proxies [a, b], or proxy and sizes [a, b]
    configurations       how many (score, fraction) both have
    decision_accuracy    estimate: share of pairs of them whose losses differ in the same direction
    decided              estimate or null: the same, of the pairs that b tells apart
    spearman, kendall    estimates: rank correlations
"""
