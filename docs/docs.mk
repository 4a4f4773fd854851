# What is written from the code: the man page from the click tree, the module list from the modules' first lines.

man: setup ## Renew docs/closetrace.1 and the module list of docs/architecture.md
	$(VENV)/bin/python docs/make_man.py
	$(VENV)/bin/python docs/make_modules.py
