"""A stock service with requests: /stock/SKU is answered from a supplier, /failures lists what went wrong lately.

stock_service.py [closing] SUPPLIER. It prints its port. An SKU is the supplier's path.
"""

import collections
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

SUPPLIER = sys.argv[-1]
failures = collections.deque(maxlen=100)


def ask_supplier(sku):
    response = requests.get(f"{SUPPLIER}/{sku}", stream=True, timeout=5)
    response.raise_for_status()
    return response.text


def ask_supplier_closing(sku):
    with requests.get(f"{SUPPLIER}/{sku}", stream=True, timeout=5) as response:
        response.raise_for_status()
        return response.text


ask = ask_supplier_closing if "closing" in sys.argv else ask_supplier


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/failures":
            return self.answer(200, "".join(f"{error}\n" for error in failures))
        try:
            return self.answer(200, ask(self.path.removeprefix("/stock/")))
        except requests.RequestException as error:
            failures.append(error)
            return self.answer(502, "the supplier does not know it\n")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
