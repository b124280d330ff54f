"""The language of `--predicate`: grammar, syntax tree and compiler to SQL."""
