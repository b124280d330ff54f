"""Find credentials in headers, addresses, bodies and streams, and mask them."""
