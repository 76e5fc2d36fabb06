//! The house rule once more, slowly: whole input, no state, byte after byte, written to be read beside the RFC.
//!
//! The scanner must come to the same end as this. It knows nothing of reads, limits or speed.

mod host;

pub(crate) use host::host_and_port;

/// A connection as it was read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Every sound head, in order.
    pub(crate) heads: Vec<Head>,
    /// How many messages are whole.
    pub(crate) ends: usize,
    /// The bytes of those, without the empty lines between them.
    pub(crate) whole: Vec<u8>,
    /// Why it ended.
    pub(crate) ending: Ending,
}

/// Why a reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ending {
    /// At least one message, and nothing behind the last that counts.
    Whole,
    /// More bytes are needed.
    #[default]
    Open,
    /// A rule is broken.
    Refused(&'static str),
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
}

/// One head.
#[derive(Debug)]
pub(crate) struct Head {
    /// From the method to the empty line, CRLFs included.
    pub(crate) bytes: Vec<u8>,
    /// Method, target and version.
    pub(crate) request_line: [String; 3],
    /// Names in lower case and values, one character for each byte.
    pub(crate) fields: Vec<(String, String)>,
    /// Where its body ends.
    pub(crate) framing: Framing,
    /// Nothing behind this message counts.
    pub(crate) closes: bool,
}

/// Why there is no more to read, and whether that is anybody's fault.
enum Stop {
    Open,
    Refused(&'static str),
}

type Read<T> = Result<T, Stop>;

/// Reads a connection: messages, each with at most one empty line in front.
pub(crate) fn read(bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut rest = bytes;
    reading.ending = loop {
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
        if rest.is_empty() {
            break if reading.ends > 0 { Ending::Whole } else { Ending::Open };
        }
        match message(rest, &mut reading.heads) {
            Ok(after) => {
                reading.whole.extend(&rest[..rest.len() - after.len()]);
                reading.ends += 1;
                rest = after;
            }
            Err(Stop::Open) => break Ending::Open,
            Err(Stop::Refused(why)) => break Ending::Refused(why),
        }
        if reading.heads.last().is_some_and(|head| head.closes) {
            break Ending::Whole;
        }
    };
    reading
}

/// What follows the message in front.
fn message<'a>(bytes: &'a [u8], heads: &mut Vec<Head>) -> Read<&'a [u8]> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    loop {
        let (line, after) = line(rest)?;
        rest = after;
        if line.is_empty() {
            break;
        }
        lines.push(latin(line));
    }
    let [request_line, fields @ ..] = lines.as_slice() else {
        return Err(Stop::Refused("a second empty line"));
    };
    let head = head(request_line, fields, &bytes[..bytes.len() - rest.len()]).map_err(Stop::Refused)?;
    let framing = head.framing;
    heads.push(head);
    match framing {
        Framing::Chunked => chunks(rest),
        Framing::Length(length) => {
            usize::try_from(length).ok().and_then(|length| rest.get(length..)).ok_or(Stop::Open)
        }
    }
}

/// The line in front and what follows its CRLF.
fn line(bytes: &[u8]) -> Read<(&[u8], &[u8])> {
    for (at, byte) in bytes.iter().enumerate() {
        match (byte, bytes.get(at + 1)) {
            (b'\r', Some(b'\n')) => return Ok((&bytes[..at], &bytes[at + 2..])),
            (b'\r', None) => return Err(Stop::Open),
            (b'\t' | b' '..=b'~' | 0x80.., _) => {}
            _ => return Err(Stop::Refused("a control byte, CR and LF included")),
        }
    }
    Err(Stop::Open)
}

/// One character for each byte.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn head(request_line: &str, lines: &[String], bytes: &[u8]) -> Result<Head, &'static str> {
    let (request_line, authority) = self::request_line(request_line)?;
    let version = request_line[2].as_str();
    let fields: Vec<(String, String)> = lines.iter().map(|line| field(line)).collect::<Result<_, _>>()?;
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    };
    let [host] = all("host")[..] else { return Err("not one host") };
    let (host, port) = host_and_port(host).ok_or("host")?;
    if let Some((authority, default)) = authority {
        let (name, named_port) = host_and_port(&authority).ok_or("authority")?;
        if name != host || named_port.unwrap_or(default) != port.unwrap_or(default) {
            return Err("authority");
        }
    }
    if all("authorization").len() > 1 {
        return Err("authorization");
    }
    let expectations = all("expect");
    if expectations.len() > 1 || !expectations.iter().all(|value| value.eq_ignore_ascii_case("100-continue"))
    {
        return Err("expect");
    }
    let framing = match (all("transfer-encoding").as_slice(), all("content-length").as_slice()) {
        ([], []) => Framing::Length(0),
        ([], [length]) => Framing::Length(number(length)?),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") && version == "HTTP/1.1" => Framing::Chunked,
        _ => return Err("framing"),
    };
    let closes = closes(&all("connection"), version)?;
    Ok(Head { bytes: bytes.to_vec(), request_line, fields, framing, closes })
}

/// Whether the message is the connection's last.
fn closes(connection: &[&str], version: &str) -> Result<bool, &'static str> {
    let members: Vec<String> = connection
        .iter()
        .flat_map(|value| value.split(','))
        .map(|member| member.trim_matches([' ', '\t']).to_ascii_lowercase())
        .filter(|member| !member.is_empty())
        .collect();
    if !members.iter().all(|member| is_token(member)) {
        return Err("connection");
    }
    let names = |option: &str| members.iter().any(|member| member == option);
    Ok(names("close") || (version == "HTTP/1.0" && !names("keep-alive")))
}

fn number(text: &str) -> Result<u64, &'static str> {
    if text.is_empty() || text.len() > 19 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("length");
    }
    text.parse().map_err(|_| "length")
}

fn field(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once(':').ok_or("no colon")?;
    if !is_token(name) {
        return Err("name");
    }
    Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

/// An authority and the port it means when it names none.
type Authority = Option<(String, u16)>;

fn request_line(line: &str) -> Result<([String; 3], Authority), &'static str> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = parts[..] else { return Err("request line") };
    if !is_token(method) || ["CONNECT", "TRACE"].contains(&method) {
        return Err("method");
    }
    if !["HTTP/1.0", "HTTP/1.1"].contains(&version) {
        return Err("version");
    }
    if target.chars().any(|c| c <= ' ' || c >= '\x7f' || "#\\\"<>^{|}".contains(c)) {
        return Err("target");
    }
    let read = [method, target, version].map(str::to_owned);
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((read, None));
    }
    let lower = target.to_ascii_lowercase();
    let (rest, port) = match (lower.strip_prefix("http://"), lower.strip_prefix("https://")) {
        (Some(rest), _) => (rest, 80),
        (_, Some(rest)) => (rest, 443),
        _ => return Err("target form"),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default().to_owned();
    Ok((read, Some((authority, port))))
}

/// What follows the last chunk and its trailers.
fn chunks(bytes: &[u8]) -> Read<&[u8]> {
    let mut rest = bytes;
    loop {
        let (size_line, after) = line(rest)?;
        let size = chunk_size(&latin(size_line)).map_err(Stop::Refused)?;
        if size == 0 {
            return trailers(after);
        }
        let end = usize::try_from(size).ok().and_then(|size| after.get(size..)).ok_or(Stop::Open)?;
        rest = match end {
            [b'\r', b'\n', after @ ..] => after,
            [] | [b'\r'] => return Err(Stop::Open),
            _ => return Err(Stop::Refused("chunk end")),
        };
    }
}

fn trailers(bytes: &[u8]) -> Read<&[u8]> {
    let mut rest = bytes;
    loop {
        let (trailer, after) = line(rest)?;
        rest = after;
        if trailer.is_empty() {
            return Ok(rest);
        }
        field(&latin(trailer)).map_err(|_| Stop::Refused("trailer"))?;
    }
}

/// `size *( ";" name [ "=" ( token / quoted-string ) ] )`, without any space between.
fn chunk_size(line: &str) -> Result<u64, &'static str> {
    let digits = line.split(';').next().unwrap_or_default();
    if digits.is_empty() || digits.len() > 16 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err("chunk size");
    }
    let mut rest = &line[digits.len()..];
    while !rest.is_empty() {
        rest = rest.strip_prefix(';').and_then(after_token).ok_or("chunk extension")?;
        if let Some(value) = rest.strip_prefix('=') {
            let after = match value.strip_prefix('"') {
                Some(quoted) => after_quote(quoted),
                None => after_token(value),
            };
            rest = after.ok_or("chunk extension value")?;
        }
    }
    u64::from_str_radix(digits, 16).map_err(|_| "chunk size")
}

fn after_token(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(is_tchar);
    (rest.len() < text.len()).then_some(rest)
}

/// What follows the quote that ends a quoted string, whose first quote is gone already.
fn after_quote(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(chars.as_str()),
            '\\' => drop(chars.next()?),
            _ => {}
        }
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_tchar)
}

fn is_tchar(c: char) -> bool {
    c.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(c)
}
