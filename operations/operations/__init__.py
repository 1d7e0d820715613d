"""What an operator runs on the order processing system; `python -m operations --help` lists the commands."""
