"""The web channel: streaming chat, memory inspector, history, people and status in a browser.

Server-rendered pages with a little script of our own; nothing is fetched from anywhere else. Importing this
package loads the web framework, so the command line imports it only when it serves.
"""

from instar.channels.web.app import web_app
from instar.channels.web.server import serve

__all__ = ["serve", "web_app"]
