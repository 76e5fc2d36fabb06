//! `portcullis-bare`: a Pingora proxy with nothing in it. The yardstick: what it costs is the engine's, not ours.
//! Its allocator is the gateway's, so that the comparison is of code and not of allocators.

use std::sync::Arc;

use async_trait::async_trait;
use clap::Parser;
use pingora::Result;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use portcullis_allocator::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// A Pingora proxy with nothing in it, in front of one address
#[derive(Debug, Parser)]
#[command(name = "portcullis-bare", version)]
struct Args {
    /// Where to listen
    listen: String,
    /// Where every request goes
    upstream: std::net::SocketAddr,
    /// Worker threads
    #[arg(default_value_t = 1)]
    threads: usize,
}

struct Bare(HttpPeer);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();
    fn new_ctx(&self) {}
    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

fn main() {
    let args = Args::parse();
    let mut server =
        Server::new_with_opt_and_conf(None, ServerConf { threads: args.threads, ..ServerConf::default() });
    server.bootstrap();
    let bare = Bare(HttpPeer::new(args.upstream, false, String::new()));
    let mut service = http_proxy_service(&Arc::clone(&server.configuration), bare);
    service.add_tcp(&args.listen);
    server.add_service(service);
    server.run_forever();
}
