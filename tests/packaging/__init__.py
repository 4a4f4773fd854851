"""The packages and what an operator deploys, tried as an operator does."""
