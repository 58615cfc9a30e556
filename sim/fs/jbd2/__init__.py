"""jbd2: handles and transactions, commit, checkpoint (fs/jbd2 of Linux 6.1)."""
