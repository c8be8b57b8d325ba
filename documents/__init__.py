"""The ground floor: the document's schema, batches and their segmentation, atomic shards, errors."""
