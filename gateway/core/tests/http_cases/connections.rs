//! Several messages on one connection: RFC 9112 §9.

use super::{Case, Expect};

pub(crate) const CASES: &[Case] = &[
    ("two_pipelined", b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", Expect::Passes(2)),
    (
        "an_empty_line_between",
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
        Expect::Passes(2),
    ),
    (
        "a_crlf_behind_a_body_as_old_browsers_sent_it",
        b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
        Expect::Passes(2),
    ),
    (
        "a_get_behind_a_body",
        b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
        Expect::Passes(2),
    ),
    (
        "a_get_behind_chunks",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        Expect::Passes(2),
    ),
    (
        "a_body_one_byte_longer_than_promised",
        b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
        Expect::Passes(2),
    ),
    (
        "a_bad_request_behind_a_good_one",
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
        Expect::Refused(400, 1),
    ),
    (
        "a_body_on_a_request_that_promised_none",
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n0\r\n\r\n",
        Expect::Refused(400, 1),
    ),
    ("a_request_behind_close", b"GET /1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", Expect::Passes(1)),
    ("rubbish_behind_close", b"GET /1 HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n\0\0", Expect::Passes(1)),
    ("a_request_behind_http_1_0", b"GET /1 HTTP/1.0\r\nHost: h\r\n\r\nGET /2 HTTP/1.0\r\nHost: h\r\n\r\n", Expect::Passes(1)),
    (
        "http_1_0_with_keep_alive",
        b"GET /1 HTTP/1.0\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\nGET /2 HTTP/1.0\r\nHost: h\r\n\r\n",
        Expect::Passes(2),
    ),
    (
        "http_1_0_with_keep_alive_and_close",
        b"GET /1 HTTP/1.0\r\nHost: h\r\nConnection: keep-alive, close\r\n\r\nGET /2 HTTP/1.0\r\nHost: h\r\n\r\n",
        Expect::Passes(1),
    ),
    ("half_a_request_behind_a_whole_one", b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HT", Expect::Waits(1)),
    (
        "a_smuggled_request_in_a_chunk_is_data",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n\r\n0\r\n\r\n",
        Expect::Passes(1),
    ),
    (
        "a_request_behind_an_upgrade",
        b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nGET /admin/s HTTP/1.1\r\nHost: h\r\n\r\n",
        Expect::Passes(2),
    ),
];
