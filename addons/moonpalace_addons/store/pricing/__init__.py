"""What calls cost: prices that users set, costs that APIs report, and a list of prices."""
