"""The faces of the API: all that depends on the shape of its requests and answers, one module a face."""
