"""Small models that stand for a large one: n-gram tables, transformers, and any trainer behind a command."""
