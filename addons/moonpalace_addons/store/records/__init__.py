"""The SQL of the store, one module per kind of row: values in, values out."""
