"""The only SQL of the project: values in, values out. One module for each kind of row."""
