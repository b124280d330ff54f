"""The cost of calls: prices that users set, costs that APIs report, and a list of prices."""
