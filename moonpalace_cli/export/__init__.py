"""Write stored calls in the formats that other programs read: one module for each."""
