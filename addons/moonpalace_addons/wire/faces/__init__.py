"""The faces of the API: one module for each shape of requests and answers."""
