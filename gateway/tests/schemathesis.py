"""Keeps schemathesis at the pace of the admin API: SCHEMATHESIS_HOOKS names this file.

Five requests a second may come with a wrong token, what comes beyond is answered 429 instead of 401, and checks look for
401. Only those requests wait here; `rate-limit` of schemathesis would let all wait, and does not see the requests
that a check sends by itself. The right token is in PORTCULLIS_ADMIN_TOKEN.
"""

import os
import time

import requests

# Seconds between two requests without the right token, and between any two: a little more than the API asks for.
WRONG_EVERY = 1 / 4.5
EVERY = 1 / 90

RIGHT = "Bearer " + os.environ["PORTCULLIS_ADMIN_TOKEN"]
send = requests.Session.send
next_wrong = 0.0
next_any = 0.0


def paced(session, request, **kwargs):
    global next_wrong, next_any
    token = request.headers.get("Authorization", "")
    if isinstance(token, bytes):
        token = token.decode("latin-1")
    is_wrong = token != RIGHT
    now = time.monotonic()
    begin = max(now, next_any, next_wrong if is_wrong else now)
    next_any = begin + EVERY
    if is_wrong:
        next_wrong = begin + WRONG_EVERY
    time.sleep(begin - now)
    return send(session, request, **kwargs)


requests.Session.send = paced
