"""A webhook on a free port of 127.0.0.1, which it prints first. usage: webhook.py [STATUS...]

Answers the first requests with these statuses and all others with 200. Prints each request as a line of JSON:
{"path": text, "headers": {lower-case name: value}, "body": text}. Status 0 closes the connection without an answer.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

statuses = [int(status) for status in sys.argv[1:]]
lock = threading.Lock()


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        with lock:
            print(json.dumps({"path": self.path, "headers": headers, "body": body}), flush=True)
            status = statuses.pop(0) if statuses else 200
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        if status in (301, 302, 307):
            self.send_header("Location", "/elsewhere")
        answer = b"the webhook answers: CANARY"
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
print(f"port {server.server_port}.", flush=True)
server.serve_forever()
