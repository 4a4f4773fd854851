"""A run: opens the recorder, follows suspects, joins what sock_diag and /proc know, hands a report to the printers."""
