"""KEPT ELSEWHERE: labels, ledger and models of one studies folder in one file, and back from it."""
