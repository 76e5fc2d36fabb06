//! Whether a broker serves: one exchange in its own protocol, as small as it gets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for one answer while polling.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// What a client of AMQP 0-9-1 says first. The server answers with a frame of type 1, `connection.start`.
const AMQP_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// Kafka's `ApiVersions` request, version 0: length, key 18, version 0, correlation id 7, no client id.
const API_VERSIONS: &[u8] = b"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x07\xff\xff";

/// The protocol to ask in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    Amqp,
    Kafka,
}

/// Whether the server on this port of loopback answers as its protocol says.
pub(crate) fn greets(port: u16, greeting: Greeting) -> bool {
    exchange(port, greeting).is_ok_and(|answer| match greeting {
        Greeting::Amqp => answer.starts_with(&[1, 0, 0]),
        // After the length: our correlation id, and no error.
        Greeting::Kafka => answer.get(4..10) == Some(&[0, 0, 0, 7, 0, 0]),
    })
}

fn exchange(port: u16, greeting: Greeting) -> std::io::Result<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WAIT)?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    let (question, length) = match greeting {
        Greeting::Amqp => (AMQP_HEADER, 3),
        Greeting::Kafka => (API_VERSIONS, 10),
    };
    stream.write_all(question)?;
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that gives one answer.
    fn answering(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        #[expect(clippy::disallowed_methods, reason = "it ends with its one answer")]
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 8];
            stream.read_exact(&mut question).unwrap();
            stream.write_all(answer).unwrap();
        });
        port
    }

    #[test]
    fn a_server_is_known_by_its_first_words() {
        assert!(greets(answering(b"\x01\x00\x00\x00"), Greeting::Amqp));
        assert!(!greets(answering(b"AMQP\x00\x00\x09\x01"), Greeting::Amqp), "another version is asked for");
        assert!(greets(answering(b"\x00\x00\x00\x20\x00\x00\x00\x07\x00\x00"), Greeting::Kafka));
        assert!(!greets(answering(b"\x00\x00\x00\x20\x00\x00\x00\x07\x00\x23"), Greeting::Kafka));
    }

    #[test]
    fn nobody_does_not_greet() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        assert!(!greets(port, Greeting::Amqp));
    }
}
