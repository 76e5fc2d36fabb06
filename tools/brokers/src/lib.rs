//! Real brokers for tests and the demo: RabbitMQ and Kafka, each one node on loopback.
//!
//! A broker runs in a folder of its own, on ports of its own, and touches nothing that a broker of the
//! system uses. It can be killed and started again on the same data. It ends with its handle, and with
//! the process that started it, however that one ends. What is installed is found, never fetched:
//! `./run setup` does that.

mod broker;
mod guarded;
mod kafka;
mod ports;
mod rabbitmq;
mod readiness;

pub use broker::{Broker, BrokerError, Kind};
pub use guarded::{Guarded, GuardedCommand};
pub use ports::free_ports;
