"""What both ends of any wire agree on. Pure: no clock, socket, disk or randomness."""
