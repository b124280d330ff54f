"""A TLS context for clients that speak plain HTTP: httpx otherwise loads all authorities for each of them.

That takes some 30 ms of CPU, longer than most tests.
"""

import ssl

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
