//! Server-sent events as they come.

use serde_json::Value;

use super::{Client, Gateway, request};

/// An open stream.
pub(crate) struct Stream {
    client: Client,
    text: String,
}

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

impl Stream {
    /// Opens a stream of the admin API, after the event of this id if there is one.
    pub(crate) fn open(gateway: &Gateway, target: &str, after: Option<&str>) -> Self {
        Self::over(Client::connect(gateway.admin), gateway, target, after)
    }

    /// The same on this connection.
    pub(crate) fn over(mut client: Client, gateway: &Gateway, target: &str, after: Option<&str>) -> Self {
        let token = format!("Bearer {}", gateway.token);
        let mut headers = vec![("Authorization", token.as_str()), ("Host", "localhost")];
        headers.extend(after.map(|id| ("Last-Event-ID", id)));
        client.send(request("GET", target, &headers, ""));
        let head = client.head().unwrap();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        Self { client, text: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    pub(crate) fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let told = read(block);
                self.text = rest.to_owned();
                if told.is_some() {
                    return told;
                }
                continue;
            }
            let chunk = self.client.chunk()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event of this kind.
    pub(crate) fn next_of(&mut self, kind: &str) -> Told {
        loop {
            let told = self.next().unwrap_or_else(|| panic!("the stream ended before a `{kind}`"));
            if told.kind == kind {
                return told;
            }
        }
    }
}

/// `None` for a comment.
fn read(block: &str) -> Option<Told> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = serde_json::from_str(field("data")?).unwrap();
    let (id, kind) =
        (field("id").unwrap_or_default().to_owned(), field("event").unwrap_or_default().to_owned());
    Some(Told { id, kind, data })
}
