//! A cable to the registry that can be pulled: TCP in, TCP out, nothing read.
//!
//! A Consul that somebody else runs is not stopped for a demo; the way to it is cut instead.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::broken::Broken;

/// Connections relayed at once; the next ones wait to be accepted.
const CONNECTIONS_MAX: usize = 512;
/// Longest wait for a connection to the registry.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// A cable from a port of this machine to somebody's `host:port`.
#[derive(Debug)]
pub(super) struct Relay {
    door: SocketAddr,
    target: String,
    /// Empty while the cable is cut. Dropping it ends every connection.
    running: JoinSet<()>,
}

impl Relay {
    pub(super) async fn open(door: SocketAddr, target: String) -> Result<Self, Broken> {
        let mut relay = Self { door, target, running: JoinSet::new() };
        relay.mend().await?;
        Ok(relay)
    }

    /// Breaks every connection off and takes no more.
    pub(super) async fn cut(&mut self) {
        self.running.shutdown().await;
    }

    /// Takes connections again, at the same address.
    pub(super) async fn mend(&mut self) -> Result<(), Broken> {
        let door = self.door;
        let listener = TcpListener::bind(door)
            .await
            .map_err(|error| Broken::new(format!("cannot listen on {door}: {error}")))?;
        self.running.spawn(accept(listener, self.target.clone()));
        Ok(())
    }
}

async fn accept(listener: TcpListener, target: String) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(relay(client, target.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Whatever breaks breaks the connection: the client tries again, as it would without the relay.
async fn relay(mut client: TcpStream, target: String) {
    let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(&target)).await else {
        return;
    };
    // Small questions and answers: do not wait to fill a packet.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::ports::free_port;
    use super::*;

    async fn echo_once(listener: &TcpListener) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        stream.write_all(&byte).await.unwrap();
    }

    async fn ask(door: SocketAddr) -> std::io::Result<u8> {
        let mut stream = TcpStream::connect(door).await?;
        stream.write_all(b"x").await?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        Ok(byte[0])
    }

    #[tokio::test]
    async fn a_cut_cable_carries_nothing_until_it_is_mended() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = free_port().unwrap();
        let mut relay = Relay::open(door, server.local_addr().unwrap().to_string()).await.unwrap();
        let (answer, ()) = tokio::join!(ask(door), echo_once(&server));
        assert_eq!(answer.unwrap(), b'x');
        relay.cut().await;
        assert!(ask(door).await.is_err());
        relay.mend().await.unwrap();
        let (answer, ()) = tokio::join!(ask(door), echo_once(&server));
        assert_eq!(answer.unwrap(), b'x');
    }
}
