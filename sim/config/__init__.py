"""
What an experiment file may say, and what a cell's run gives: frozen tables, no behaviour.
"""
