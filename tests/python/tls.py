"""A TLS proxy for a plain server. usage: tls.py HOST:PORT CERTIFICATE KEY

Listens on a free port of 127.0.0.1, which it prints first, and forwards bytes.
"""

import socket
import ssl
import sys
import threading


def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    finally:
        # A reset or end on one side is passed to the other.
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(plain):
    try:
        client = context.wrap_socket(plain, server_side=True)
        server = socket.create_connection(upstream)
    except OSError:
        plain.close()
        return
    back = threading.Thread(target=copy, args=(server, client), daemon=True)
    back.start()
    copy(client, server)
    back.join()
    client.close()
    server.close()


host, port = sys.argv[1].split(":")
upstream = (host, int(port))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(f"port {listener.getsockname()[1]}.", flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
