//! The house rule once more, slowly: whole input, no state, written to be read beside the RFC.
//!
//! The scanner must never pass what this refuses. It knows nothing of reads, limits or speed.

/// The number of whole messages in `bytes`, or why not: the input must be nothing but whole, sound messages,
/// each with at most one empty line in front.
pub(crate) fn messages(bytes: &[u8]) -> Result<usize, &'static str> {
    let mut rest = bytes;
    let mut count = 0;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
            if rest.is_empty() {
                return Ok(count);
            }
        }
        let (message_rest, closes) = message(rest)?;
        rest = message_rest;
        count += 1;
        if closes {
            return Ok(count);
        }
    }
    Ok(count)
}

fn message(bytes: &[u8]) -> Result<(&[u8], bool), &'static str> {
    let end = find(bytes, b"\r\n\r\n").ok_or("no end of head")?;
    let head = std::str::from_utf8(&bytes[..end]).map(str::to_owned);
    // Latin-1, so that obs-text stays one character per byte.
    let head = head.unwrap_or_else(|_| bytes[..end].iter().map(|&byte| char::from(byte)).collect());
    let body = &bytes[end + 4..];
    let lines: Vec<&str> = head.split("\r\n").collect();
    if lines.iter().any(|line| line.contains(['\r', '\n', '\0', '\x7f'])) {
        return Err("a line end inside a line");
    }
    let (method, version, authority) = request_line(lines[0])?;
    let mut fields = Vec::new();
    for line in &lines[1..] {
        let (name, value) = line.split_once(':').ok_or("no colon")?;
        if name.is_empty() || !name.chars().all(is_tchar) {
            return Err("name");
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    if ["CONNECT", "TRACE"].contains(&method) {
        return Err("method");
    }
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    };
    let hosts = all("host");
    if hosts.len() != 1 || !is_host(hosts[0]) {
        return Err("host");
    }
    if let Some((authority, port)) = authority {
        let full = |text: &str| {
            let text = text.to_ascii_lowercase();
            let has_port = text.rsplit(']').next().is_some_and(|tail| tail.contains(':'));
            if has_port { text } else { format!("{text}:{port}") }
        };
        let plain = |text: &str| full(text).replace(".:", ":");
        if !is_host(&authority) || (!authority.starts_with('[') && plain(&authority) != plain(hosts[0])) {
            return Err("authority");
        }
    }
    if all("authorization").len() > 1 {
        return Err("authorization");
    }
    if !all("expect").iter().all(|value| value.eq_ignore_ascii_case("100-continue"))
        || all("expect").len() > 1
    {
        return Err("expect");
    }
    let tokens: Vec<String> = all("connection")
        .iter()
        .flat_map(|value| value.split(','))
        .map(|t| t.trim().to_ascii_lowercase())
        .collect();
    let closes = tokens.iter().any(|token| token == "close")
        || (version == "HTTP/1.0" && !tokens.iter().any(|token| token == "keep-alive"));
    let rest = match (all("transfer-encoding").as_slice(), all("content-length").as_slice()) {
        ([], []) => body,
        ([], [length]) => {
            if length.is_empty() || length.len() > 19 || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err("length");
            }
            let length: usize = length.parse().map_err(|_| "length")?;
            body.get(length..).ok_or("short body")?
        }
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") && version == "HTTP/1.1" => chunks(body)?,
        _ => return Err("framing"),
    };
    Ok((rest, closes))
}

type RequestLine<'a> = (&'a str, &'a str, Option<(String, u16)>);

fn request_line(line: &str) -> Result<RequestLine<'_>, &'static str> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = parts[..] else { return Err("request line") };
    if method.is_empty() || !method.chars().all(is_tchar) || !["HTTP/1.0", "HTTP/1.1"].contains(&version) {
        return Err("request line");
    }
    if target.chars().any(|c| c <= ' ' || c >= '\x7f' || "#\\\"<>^{|}".contains(c)) {
        return Err("target");
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((method, version, None));
    }
    let lower = target.to_ascii_lowercase();
    let (rest, port) = match (lower.strip_prefix("http://"), lower.strip_prefix("https://")) {
        (Some(rest), _) => (rest, 80),
        (_, Some(rest)) => (rest, 443),
        _ => return Err("target form"),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default().to_owned();
    Ok((method, version, Some((authority, port))))
}

fn chunks(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let mut rest = bytes;
    loop {
        let end = find(rest, b"\r\n").ok_or("no chunk line")?;
        let line = &rest[..end];
        if line.iter().any(|byte| *byte < b' ' && *byte != b'\t' || *byte == 0x7f) {
            return Err("control in chunk line");
        }
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let text = std::str::from_utf8(digits).map_err(|_| "size")?;
        if text.is_empty() || text.len() > 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("size");
        }
        if line.ends_with(b";") {
            return Err("bare semicolon");
        }
        let size = u64::from_str_radix(text, 16).map_err(|_| "size")?;
        rest = &rest[end + 2..];
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).map_err(|_| "size")?;
        rest = rest.get(size..).ok_or("short chunk")?.strip_prefix(b"\r\n").ok_or("chunk end")?;
    }
    loop {
        let end = find(rest, b"\r\n").ok_or("no trailer end")?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        if line.is_empty() {
            return Ok(rest);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or("trailer")?;
        if colon == 0
            || !line[..colon].iter().all(|byte| is_tchar(char::from(*byte)))
            || line.contains(&b'\n')
        {
            return Err("trailer");
        }
    }
}

fn is_host(text: &str) -> bool {
    if text.starts_with('[') {
        return text.contains(']') && !text.contains(['/', '@', ' ', ',', '%']);
    }
    let (name, port) = text.split_once(':').unwrap_or((text, "1"));
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        && port.parse::<u16>().is_ok_and(|port| port > 0)
        && !port.starts_with('+')
}

fn is_tchar(c: char) -> bool {
    c.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(c)
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
