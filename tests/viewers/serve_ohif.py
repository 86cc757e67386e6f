"""Serve OHIF's files, and a DICOMweb server under the same origin: python serve_ohif.py DIST PORT DICOMWEB_URL.

Every path that is no file is the page itself, as its own router wants it. Loopback only.
"""

import shutil
import sys
import urllib.error
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DICOMWEB = "/dicom-web"
CONFIG = f"""window.config = {{
  routerBasename: "/", extensions: [], modes: [], showStudyList: true, maxNumberOfWebWorkers: 2,
  showWarningMessageForCrossOrigin: false, showCPUFallbackMessage: false,
  investigationalUseDialog: {{ option: "never" }},
  defaultDataSourceName: "orthanc",
  dataSources: [{{
    namespace: "@ohif/extension-default.dataSourcesModule.dicomweb", sourceName: "orthanc",
    configuration: {{
      friendlyName: "Orthanc", name: "orthanc",
      qidoRoot: "{DICOMWEB}", wadoRoot: "{DICOMWEB}", wadoUriRoot: "{DICOMWEB}",
      imageRendering: "wadors", thumbnailRendering: "wadors", enableStudyLazyLoad: true,
      qidoSupportsIncludeField: false, supportsFuzzyMatching: false, supportsWildcard: true,
      omitQuotationForMultipartRequest: true,
    }},
  }}],
}};"""


class Handler(SimpleHTTPRequestHandler):
    """Files of OHIF; its configuration; and what lies below `DICOMWEB`, passed on."""

    server_address_of_dicomweb = ""

    def do_GET(self) -> None:
        """Answer one request."""
        path = self.path.partition("?")[0]
        if path.startswith(DICOMWEB):
            self._pass_on()
        elif path == "/app-config.js":
            self._answer(200, "text/javascript", CONFIG.encode())
        else:
            if not Path(self.translate_path(path)).is_file():
                self.path = "/index.html"
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""

    def _pass_on(self) -> None:
        url = self.server_address_of_dicomweb + self.path.removeprefix(DICOMWEB)
        accept = self.headers.get("Accept", "*/*")
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept})) as answer:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "application/octet-stream"))
                self.end_headers()
                shutil.copyfileobj(answer, self.wfile)
        except urllib.error.HTTPError as error:
            self._answer(error.code, "text/plain", error.read())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    dist, port, Handler.server_address_of_dicomweb = sys.argv[1:]
    ThreadingHTTPServer(("127.0.0.1", int(port)), partial(Handler, directory=dist)).serve_forever()
