//! An HTTP/1.1 client that sends exactly the bytes it is given and reads one reply at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// Read but not yet used.
    ahead: Vec<u8>,
}

/// One reply.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// False if the connection broke before the body's end.
    pub(crate) whole: bool,
}

impl Reply {
    /// The field's value; panics if it is there twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "`{name}` is there twice: {:?}", self.headers);
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The `code` of a problem, which it must be.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The bytes of a request. `Host` is `shop.test` unless `headers` says otherwise; a body gets its length.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    if !has("host") {
        text.push_str("Host: shop.test\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() && !has("transfer-encoding") && !has("content-length") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    pub(crate) fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, ahead: Vec::new() })
    }

    /// Sends; a gateway that no longer listens is seen when the reply is read.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _gone = self.stream.write_all(bytes.as_ref());
    }

    /// Sends a request and reads its reply.
    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.send(request(method, target, headers, body));
        self.reply_to(method).unwrap_or_else(|| panic!("no reply to {method} {target}"))
    }

    /// The next reply.
    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_to("GET").expect("the connection ended without a reply")
    }

    /// The next reply, to a request of this method; `None` if the connection ends before its head does.
    pub(crate) fn reply_to(&mut self, method: &str) -> Option<Reply> {
        let mut reply = self.head()?;
        while (100..200).contains(&reply.status) && reply.status != 101 {
            reply = self.head()?;
        }
        if method == "HEAD" || matches!(reply.status, 101 | 204 | 304) {
            return Some(reply);
        }
        if reply.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            self.chunks(&mut reply);
        } else if let Some(length) = reply.header("content-length").map(|length| length.parse().unwrap()) {
            while self.ahead.len() < length && self.more() {}
            reply.whole = self.ahead.len() >= length;
            reply.body = self.take(length);
        } else {
            while self.more() {}
            reply.body = std::mem::take(&mut self.ahead);
        }
        Some(reply)
    }

    /// The next head alone.
    pub(crate) fn head(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(at) = find(&self.ahead, b"\r\n\r\n") {
                break at;
            }
            if !self.more() {
                return None;
            }
        };
        let head = String::from_utf8(self.take(end + 4)).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let fields = lines.map(|line| line.split_once(':').unwrap());
        let headers = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Some(Reply { status, headers, body: Vec::new(), whole: true })
    }

    /// The next chunk of a chunked body; `None` at its end, or at the connection's.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(self.line()?.trim(), 16).unwrap();
        while self.ahead.len() < size + 2 {
            if !self.more() {
                return None;
            }
        }
        let chunk = self.take(size + 2);
        (size > 0).then(|| chunk[..size].to_vec())
    }

    /// Lets the kernel keep little of what is not read yet.
    pub(crate) fn with_small_buffer(self) -> Self {
        socket2::SockRef::from(&self.stream).set_recv_buffer_size(4 << 10).unwrap();
        self
    }

    fn chunks(&mut self, reply: &mut Reply) {
        loop {
            let Some(line) = self.line() else {
                reply.whole = false;
                return;
            };
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            while self.ahead.len() < size + 2 {
                if !self.more() {
                    reply.whole = false;
                    return;
                }
            }
            let chunk = self.take(size + 2);
            reply.body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return;
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.ahead, b"\r\n") {
                return Some(String::from_utf8(self.take(at + 2)).unwrap());
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// Exactly so many bytes.
    pub(crate) fn exact(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            assert!(self.more(), "closed after {:?}", String::from_utf8_lossy(&self.ahead));
        }
        self.take(length)
    }

    /// Waits until the gateway closes; true if nothing more came before it did.
    pub(crate) fn is_closed(&mut self) -> bool {
        !self.more() && self.ahead.is_empty()
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.ahead.split_off(length.min(self.ahead.len()));
        std::mem::replace(&mut self.ahead, rest)
    }

    /// Reads some more; false at the end. Silence is a failure of the test.
    fn more(&mut self) -> bool {
        let mut part = [0; 16 << 10];
        match self.stream.read(&mut part) {
            Ok(0) => false,
            Ok(n) => {
                self.ahead.extend_from_slice(&part[..n]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("silence after {:?}", String::from_utf8_lossy(&self.ahead))
            }
            Err(_reset) => false,
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
