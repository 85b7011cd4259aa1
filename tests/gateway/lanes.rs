//! A gateway with threads of its own: what `firedrill gateway` runs. It passes, is steered and stops like one without.

use firedrill::gateway::client::Client;
use firedrill::gateway::resolve::Resolve;
use firedrill::gateway::server::{Config, Gateway};
use firedrill::gateway::{Effect, Rule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ground::*;

async fn ground(lanes: usize) -> Ground {
    let directory = tempfile::tempdir().unwrap();
    let resolve = vec![Resolve::new("*.amazonaws.com", echo().await)];
    let config = Config { listen: "127.0.0.1:0".parse().unwrap(), socket: directory.path().join("gateway.sock"), resolve, endpoint: None };
    let gateway = Gateway::start_on(config, lanes).unwrap();
    let client = Client::new(gateway.socket());
    Ground { gateway, client, directory }
}

#[tokio::test]
async fn clients_of_every_thread_are_carried_and_a_rule_cuts_them_all() {
    let ground = ground(3).await;
    let mut tunnels = Vec::new();
    for number in 0..24_u8 {
        let mut tunnel = ground.tunnel(EAST).await;
        tunnel.write_all(&[number]).await.unwrap();
        assert_eq!(within(tunnel.read_u8()).await.unwrap(), number);
        tunnels.push(tunnel);
    }
    ground.connections(24).await;
    ground.client.put(&Rule { cut_existing: true, ..rule("cut", Effect::Refuse) }).await.unwrap();
    for tunnel in &mut tunnels {
        assert_eq!(ending(tunnel).await.unwrap_err(), std::io::ErrorKind::ConnectionReset);
    }
    ground.connections(0).await;
}

#[tokio::test]
async fn stopping_ends_every_connection_of_every_thread_and_frees_the_address() {
    let ground = ground(2).await;
    let address = ground.gateway.address();
    let mut tunnels = Vec::new();
    for _ in 0..8 {
        tunnels.push(ground.tunnel(EAST).await);
    }
    within(ground.gateway.stop()).await;
    for tunnel in &mut tunnels {
        assert!(ending(tunnel).await.is_err(), "a connection outlived its gateway");
    }
    eventually("the address is free", async || TcpStream::connect(address).await.is_err()).await;
}
