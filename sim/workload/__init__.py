"""
What the readers do: fio jobs, and the player that issues them.
"""
