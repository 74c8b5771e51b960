# Receives webhooks on 127.0.0.1:9000 and checks their signatures (Standard Webhooks).
# Usage: python3 docs/receive-webhooks.py SECRET
import base64, hashlib, hmac, http.server, sys

key = base64.b64decode(sys.argv[1].removeprefix("whsec_"))

class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
        mac = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        ok = f"v1,{mac}" in self.headers["webhook-signature"].split()
        print("genuine" if ok else "forged", body.decode(), flush=True)
        self.send_response(204 if ok else 401)
        self.end_headers()
    def log_message(self, *_): pass

http.server.HTTPServer(("127.0.0.1", 9000), Hook).serve_forever()
