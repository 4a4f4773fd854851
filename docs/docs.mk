# What is written from the code: the man page from the click tree, the module list from the modules' first lines.

.PHONY: transcripts pictures

man: setup ## Renew docs/closetrace.1 and the module list of docs/architecture.md
	$(VENV)/bin/python docs/make_man.py
	$(VENV)/bin/python docs/make_modules.py

transcripts: $(VENV)/installed-dev ## Renew the texts of docs/transcripts from the recordings there
	$(VENV)/bin/python docs/make_transcripts.py

pictures: $(VENV)/installed-dev ## Renew docs/pictures from docs/transcripts/demo.json (needs chromium)
	$(VENV)/bin/closetrace report --html -o build/demo.html docs/transcripts/demo.json
	$(VENV)/bin/python -m tests.page.shoot build/demo.html docs/pictures
