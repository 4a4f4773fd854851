# Who holds a socket: chains compared with what a Java program says of its own sockets.

LINEAGE_PACKAGES := openjdk-17-jdk-headless libhttpclient-java libhttpclient5-java libcommons-httpclient-java \
  libokhttp-java libhikaricp-java libcommons-dbcp2-java libpostgresql-jdbc-java libslf4j-java libnetty-java \
  libtomcat10-java libjetty9-java libjetty9-extra-java libservlet-api-java postgresql debian-archive-keyring

PYTHON_LINEAGE_PACKAGES := python3-requests python3-redis python3-sqlalchemy python3-aiohttp python3-gevent python3-uvloop \
  debian-archive-keyring

.PHONY: test-lineage test-lineage-ci test-lineage-pythons

test-lineage: setup ## Who holds a socket, on every JDK and collector, and the rules of libraries (root; JDKS="17 25")
	$(call need,$(TEST_PACKAGES) $(LINEAGE_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_JDKS="$(JDKS)" $(PYTEST) tests/lineage --ignore-glob='*python*' $(LINEAGE)

test-lineage-ci: ## The same on JDK 17 and 25 with G1 and Parallel, and three libraries (root)
	@$(MAKE) --no-print-directory test-lineage JDKS="17 25" LINEAGE="-m ci"

test-lineage-pythons: setup ## Who holds a socket in CPython, compared with what the programs say (root; PYTHONS="11 13")
	$(call need,$(TEST_PACKAGES) $(PYTHON_LINEAGE_PACKAGES))
	@$(MAKE) --no-print-directory $(VENV)/installed-dev
	$(SUDO) env CLOSETRACE_PYTHONS="$(or $(PYTHONS),11 13 14 15)" $(PYTEST) -s tests/lineage/test_python_*.py
