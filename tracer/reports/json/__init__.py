"""Reports as JSON. docs/json.md and the schemas beside it are the contract."""
