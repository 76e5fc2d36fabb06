//! Each broker starts, serves, survives being killed, and leaves nothing behind.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failure is what a test is for")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use portcullis_brokers::{Broker, Kind};

#[test]
fn rabbitmq_starts_dies_and_starts_again() {
    lives(Kind::RabbitMq);
}

#[test]
fn kafka_starts_dies_and_starts_again() {
    lives(Kind::Kafka);
}

fn lives(kind: Kind) {
    let Some(mut broker) = Broker::start_or_skip(kind).unwrap() else { return };
    let folder = broker.folder().to_path_buf();
    assert!(!processes_with(&folder).is_empty());
    let address = broker.url().rsplit(['@', '/']).next().expect("an address").to_owned();
    assert!(TcpStream::connect(&address).is_ok());
    broker.kill();
    assert!(TcpStream::connect(&address).is_err(), "a killed broker does not listen");
    broker.start_again().unwrap();
    // Half a greeting, so that the broker has a connection open when it goes.
    let mut client = TcpStream::connect(&address).unwrap();
    client.write_all(b"AM").unwrap();
    drop(broker);
    assert!(!matches!(client.read(&mut [0]), Ok(1..)), "a broker that is gone says nothing");
    assert!(TcpStream::connect(&address).is_err());
    assert_eq!(processes_with(&folder), Vec::<String>::new(), "a process of the broker is left");
    assert!(!folder.exists());
}

/// Processes that were started with this folder in their environment, as all of a broker's are.
fn processes_with(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("a path of ours");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let of_ours = processes.filter(|process| {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(folder)
    });
    of_ours.map(|process| process.path().display().to_string()).collect()
}
