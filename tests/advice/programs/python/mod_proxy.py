"""Apache's mod_proxy: its workers look at a connection to a backend, ttl included, only when they use it again."""

import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from led import at_once, free_port, lead

CONF = """
ServerRoot {directory}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {directory}/pid
ErrorLog {directory}/error.log
User www-data
Group www-data
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
StartServers 1
ServerLimit 1
ThreadsPerChild 8
MaxRequestWorkers 8
MinSpareThreads 1
MaxSpareThreads 8
ProxyPass / {base}/ {options}
"""


def apache(options):
    def run(base, _):
        directory, port = Path(tempfile.mkdtemp(prefix="closetrace-apache-")), free_port()
        places = {"directory": directory, "port": port, "modules": "/usr/lib/apache2/modules"}
        (directory / "conf").write_text(CONF.format(base=base, options=options, **places))
        server = subprocess.Popen(["apache2", "-f", f"{directory}/conf", "-DFOREGROUND"])
        end = time.monotonic() + 30
        while not (directory / "pid").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        at_once(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/200/12").read())
        return server, directory

    return run


def end(kept):
    server, directory = kept
    server.terminate()
    server.wait()
    shutil.rmtree(directory)


lead({"idle": apache(""), "aging": apache("ttl=1"), "unused": apache("disablereuse=On")}, end)
