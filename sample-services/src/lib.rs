//! Four small services behind the gateway: user, product, order and payment.
//!
//! Each has one job, its own database and no knowledge of the others but a name to ask the
//! gateway for. They are read as examples: this is how a service registers with Consul, reports
//! its health, stops without losing a request, and calls another one.

pub mod call;
pub mod chance;
pub mod clock;
pub mod database_url;
pub mod events;
pub mod identity;
pub mod logs;
pub mod mischief;
pub mod openapi;
pub mod page;
pub mod problem;
pub mod register;
pub mod server;
pub mod settings;
pub mod store;
pub mod text;
pub mod trace;
pub mod whole;

pub mod order;
pub mod payment;
pub mod product;
pub mod user;

#[cfg(test)]
mod databases;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod served;
