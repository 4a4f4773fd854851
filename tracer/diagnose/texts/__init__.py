"""What is said of a leak site: what happened, and what to change. One function a verdict."""
