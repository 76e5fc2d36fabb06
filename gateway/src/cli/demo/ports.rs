//! Where the demo listens: the usual ports for people, any free ones for programs. And whether somebody listens
//! elsewhere.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::net::TcpStream;

use super::broken::Broken;
use crate::entropy;

/// Free ports are looked for here, below the range from which systems take ports for outgoing
/// connections: a port that is free for a moment, as the stopped registry's, is not taken by one.
const PORTS: RangeInclusive<u16> = 20_000..=29_999;
/// Ports tried before giving up.
const TRIES_MAX: usize = 100;
/// Longest wait for somebody else's door to open.
const KNOCK_WAIT: Duration = Duration::from_secs(3);

/// The gateway's four doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doors {
    pub(super) web: SocketAddr,
    pub(super) internal: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) metrics: SocketAddr,
}

/// Which ports are liked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Liking {
    /// 8080, 8081, 9901 and 9902 where they are free.
    Usual,
    /// Any.
    Free,
}

impl Doors {
    pub(super) fn pick(liking: Liking, web: Option<SocketAddr>) -> Result<Self, Broken> {
        // Held until all are picked, so that no port is picked twice.
        let mut held = Vec::new();
        let mut door = |usual: u16| match liking {
            Liking::Usual => hold(usual, &mut held).map_or_else(|| free(&mut held), Ok),
            Liking::Free => free(&mut held),
        };
        let web = match web {
            Some(asked) => asked,
            None => door(8080)?,
        };
        Ok(Self { web, internal: door(8081)?, admin: door(9901)?, metrics: door(9902)? })
    }
}

/// A free port on loopback.
pub(super) fn free_port() -> Result<SocketAddr, Broken> {
    free(&mut Vec::new())
}

/// Whether somebody takes connections at `host:port`; else why not.
pub(super) async fn knock(door: &str) -> Result<(), String> {
    match tokio::time::timeout(KNOCK_WAIT, TcpStream::connect(door)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {KNOCK_WAIT:?}")),
    }
}

fn free(held: &mut Vec<TcpListener>) -> Result<SocketAddr, Broken> {
    let width = u64::from(PORTS.end() - PORTS.start()) + 1;
    let random =
        || u16::try_from(entropy::number() % width).map_or(*PORTS.start(), |offset| PORTS.start() + offset);
    (0..TRIES_MAX)
        .find_map(|_| hold(random(), held))
        .ok_or_else(|| Broken::new(format!("no free port between {} and {}", PORTS.start(), PORTS.end())))
}

fn hold(port: u16, held: &mut Vec<TcpListener>) -> Option<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    let address = listener.local_addr().ok()?;
    held.push(listener);
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_picked_twice() {
        let doors = Doors::pick(Liking::Free, None).unwrap();
        let mut ports = [doors.web, doors.internal, doors.admin, doors.metrics].map(|door| door.port());
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] != pair[1]), "{ports:?}");
    }

    #[test]
    fn the_address_asked_for_is_the_one() {
        let asked = "127.0.0.1:18080".parse().unwrap();
        assert_eq!(Doors::pick(Liking::Free, Some(asked)).unwrap().web, asked);
    }
}
