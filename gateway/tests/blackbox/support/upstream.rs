//! An upstream that does what its script says, and remembers every request that reached it.
#![expect(
    clippy::disallowed_methods,
    reason = "its threads end with the upstream; a late reply is its point"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::PATIENCE;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// False until the body's end came.
    pub(crate) whole: bool,
    /// Which request of this upstream it is, from 0.
    pub(crate) idx: usize,
}

impl Seen {
    /// The field's value; panics if it is there twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "`{name}` is there twice: {:?}", self.headers);
        all.first().copied()
    }

    /// Every value of the field, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A reply.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What happens with a request.
pub(crate) enum Act {
    /// It is answered.
    Reply(Answer),
    /// It is answered after a while.
    Late(Duration, Answer),
    /// The connection is reset, with nothing sent.
    Reset,
    /// Nothing is sent until the gateway gives up.
    Hang,
    /// These bytes as they are, then a close.
    Verbatim(Vec<u8>),
    /// These bytes as they are, then nothing until the gateway gives up.
    Stall(Vec<u8>),
    /// The reply without its last byte, then a reset.
    Cut(Answer),
    /// The reply byte by byte, with this pause between.
    Drip(Duration, Answer),
    /// The head, this pause, then the body.
    Pause(Duration, Answer),
    /// The reply, then a close nobody announced.
    ReplyAndClose(Answer),
    /// 101, then every byte comes back.
    Switch,
}

impl Act {
    pub(crate) fn ok(body: &str) -> Self {
        Self::Reply(Answer::new(200, body))
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Reply(Answer::new(status, "from the upstream"))
    }
}

impl Answer {
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn bytes(&self, is_head_only: bool) -> Vec<u8> {
        let mut head =
            format!("HTTP/1.1 {} Whatever\r\nContent-Length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if !is_head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// A running upstream; it ends when dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<dyn Fn(&Seen) -> Act + Send + Sync>,
    seen: Mutex<Vec<Seen>>,
    streams: Mutex<Vec<Weak<TcpStream>>>,
    /// Connections whose thread has ended.
    ended: AtomicUsize,
    stopping: AtomicBool,
}

impl Upstream {
    /// Follows `script`, which is asked once a request.
    pub(crate) fn start(script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            streams: Mutex::default(),
            ended: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// Answers everything with 200 and `body`.
    pub(crate) fn answering(body: &'static str) -> Self {
        Self::start(move |_| Act::ok(body))
    }

    /// Answers the n-th request by the n-th act; what comes later gets the last one.
    pub(crate) fn in_turn(acts: Vec<fn() -> Act>) -> Self {
        Self::start(move |seen| acts[seen.idx.min(acts.len() - 1)]())
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.into_iter().next().unwrap()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("nothing reached the upstream")
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    /// How many connections are open now.
    pub(crate) fn open(&self) -> usize {
        self.connections() - self.shared.ended.load(Ordering::SeqCst)
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.streams.lock().unwrap().len()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for stream in self.shared.streams.lock().unwrap().iter().filter_map(Weak::upgrade) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread, which then sees that it is over.
        let _woken = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let stream = Arc::new(stream);
        shared.streams.lock().unwrap().push(Arc::downgrade(&stream));
        let shared = shared.clone();
        thread::spawn(move || {
            serve(&stream, &shared);
            shared.ended.fetch_add(1, Ordering::SeqCst);
        });
    }
}

/// Serves a connection; whatever goes wrong on it ends it.
fn serve(stream: &TcpStream, shared: &Shared) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let idx = head(&mut reader, shared)?;
        body(&mut reader, shared, idx)?;
        let seen = shared.seen.lock().unwrap()[idx].clone();
        act((shared.script)(&seen), &seen, stream, &mut reader)?;
    }
}

/// Does it; `None` ends the connection.
fn act(act: Act, seen: &Seen, mut stream: &TcpStream, reader: &mut impl Read) -> Option<()> {
    let head_only = seen.method == "HEAD";
    match act {
        Act::Reply(answer) => stream.write_all(&answer.bytes(head_only)).ok(),
        Act::Late(wait, answer) => {
            thread::sleep(wait);
            stream.write_all(&answer.bytes(head_only)).ok()
        }
        Act::Reset => reset(stream),
        Act::Hang => {
            let _until_closed = std::io::copy(reader, &mut std::io::sink());
            None
        }
        Act::Stall(bytes) => {
            stream.write_all(&bytes).ok()?;
            let _until_closed = std::io::copy(reader, &mut std::io::sink());
            None
        }
        Act::Verbatim(bytes) => {
            stream.write_all(&bytes).ok()?;
            stream.shutdown(Shutdown::Both).ok()?;
            None
        }
        Act::Cut(answer) => {
            let bytes = answer.bytes(head_only);
            stream.write_all(&bytes[..bytes.len() - 1]).ok()?;
            // Apart from the bytes, so that they are read before the reset discards them.
            thread::sleep(Duration::from_millis(50));
            reset(stream)
        }
        Act::Drip(pause, answer) => answer.bytes(head_only).iter().try_for_each(|byte| {
            thread::sleep(pause);
            stream.write_all(&[*byte]).ok()
        }),
        Act::Pause(pause, answer) => {
            stream.write_all(&answer.bytes(true)).ok()?;
            thread::sleep(pause);
            stream.write_all(&answer.body).ok()
        }
        Act::ReplyAndClose(answer) => {
            stream.write_all(&answer.bytes(head_only)).ok()?;
            stream.shutdown(Shutdown::Both).ok()?;
            None
        }
        Act::Switch => {
            let protocol = seen.header("upgrade").unwrap_or("nothing");
            let head = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).ok()?;
            let _until_closed = std::io::copy(reader, &mut stream);
            let _gone = stream.shutdown(Shutdown::Write);
            None
        }
    }
}

/// A close without lingering is a reset; it comes when the connection's thread lets go of the stream.
fn reset(stream: &TcpStream) -> Option<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok()?;
    None
}

fn head(reader: &mut impl BufRead, shared: &Shared) -> Option<usize> {
    let first = line(reader)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut all = shared.seen.lock().unwrap();
    let idx = all.len();
    all.push(Seen { method, target, headers, body: Vec::new(), whole: false, idx });
    Some(idx)
}

fn body(reader: &mut impl BufRead, shared: &Shared, idx: usize) -> Option<()> {
    let seen = shared.seen.lock().unwrap()[idx].clone();
    let keep = |part: &[u8]| shared.seen.lock().unwrap()[idx].body.extend_from_slice(part);
    if seen.header("transfer-encoding").is_some() {
        loop {
            let size = usize::from_str_radix(&line(reader)?, 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            keep(&chunk[..size]);
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = seen.header("content-length") {
        let mut whole = vec![0; length.parse().ok()?];
        reader.read_exact(&mut whole).ok()?;
        keep(&whole);
    }
    shared.seen.lock().unwrap()[idx].whole = true;
    Some(())
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}
