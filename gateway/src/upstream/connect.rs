//! Opens an HTTP/1 connection to an endpoint and gives it its [`ConnectionTimer`].
//!
//! Everything else is as Pingora does it: the connect call, its errors, and the options it sets afterwards. How long
//! it may take is the peer's `total_connection_timeout`, which Pingora puts around it.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::ext;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::{Digest, GetProxyDigest};
use pingora_core::upstreams::peer::{Tracer, Tracing};
use pingora_core::{Error, ErrorType, OrErr, Result};

use super::timer::ConnectionTimer;
use crate::listener::{carried, carrying};

/// Connects, and starts the connection's timer.
#[derive(Debug)]
pub struct TimedConnect;

/// The timer of the connection that `digest` is of; `None` if it was not made by [`TimedConnect`].
#[must_use]
pub fn timer(digest: &Digest) -> Option<&Arc<ConnectionTimer>> {
    carried(digest)
}

#[async_trait]
impl Connect for TimedConnect {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let SocketAddr::Inet(address) = address else {
            return Error::e_explain(ErrorType::SocketError, "an endpoint has an internet address");
        };
        let tcp = ext::connect(address, None).await?;
        let timer =
            ConnectionTimer::new(&tcp).or_err(ErrorType::SocketError, "no descriptor for the timer")?;
        let mut stream = Stream::from(tcp);
        stream.set_proxy_digest(carrying(timer.clone())?);
        stream.tracer = Some(Tracer(Box::new(Ending(timer.clone()))));
        // From here on the stream ends the task, whatever becomes of it.
        drop(pingora_runtime::current_handle().spawn(timer.keep()));
        Ok(stream)
    }
}

/// Tells the timer that its connection is about to be closed.
#[derive(Debug)]
struct Ending(Arc<ConnectionTimer>);

impl Tracing for Ending {
    fn on_connected(&self) {}

    fn on_disconnected(&self) {
        self.0.end();
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(Self(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use portcullis_core::outcome::{ConnectFailure, Failure};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::upstream::failure::of_connect;

    fn inet(listener: &TcpListener) -> SocketAddr {
        SocketAddr::Inet(listener.local_addr().unwrap())
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_from_other_failures() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = inet(&listener);
        drop(listener);
        let error = TimedConnect.connect(&address).await.unwrap_err();
        assert_eq!(of_connect(&error), Failure::Connect(ConnectFailure::Refused));
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_stream_and_the_timer_with_both() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TimedConnect.connect(&inet(&listener)).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        let digest = stream.get_proxy_digest().unwrap();
        let timer = Arc::downgrade(
            digest.user_data.as_ref().unwrap().downcast_ref::<Arc<ConnectionTimer>>().unwrap(),
        );
        drop(stream);
        assert_eq!(theirs.read(&mut [0; 1]).await.unwrap(), 0);
        drop(digest);
        while timer.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
