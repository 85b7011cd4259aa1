//! Large transfers: what no longer passes through our memory still arrives whole, ends as before, and waits for a slow reader.

use firedrill::gateway::{Effect, Rule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ground::*;

/// Bytes of one transfer.
const LENGTH: usize = 100 * 1024 * 1024;

/// Byte number n of every transfer: of no period that a buffer's size divides, so that a lost or repeated block shows.
fn byte(n: usize) -> u8 {
    (n % 251) as u8
}

/// Writes a transfer in pieces of odd sizes.
async fn write_transfer(stream: &mut (impl AsyncWriteExt + Unpin), length: usize) {
    let block: Vec<u8> = (0..251 * 4096).map(byte).collect();
    let mut written = 0;
    while written < length {
        let from = written % 251;
        let until = block.len().min(from + (length - written));
        stream.write_all(&block[from..until]).await.unwrap();
        written += until - from;
    }
}

/// Reads to the end and compares every byte; says how many came.
async fn read_transfer(stream: &mut (impl AsyncReadExt + Unpin)) -> usize {
    let expected: Vec<u8> = (0..251 + 256 * 1024).map(byte).collect();
    let (mut piece, mut read) = (vec![0; 256 * 1024], 0);
    loop {
        match within(stream.read(&mut piece)).await.unwrap() {
            0 => return read,
            count => {
                let from = read % 251;
                assert!(piece[..count] == expected[from..from + count], "bytes behind {read} are not those that were sent");
                read += count;
            }
        }
    }
}

/// An upstream that sends a transfer, ends its side, and then reads one; and how many bytes it read.
async fn upstream_that_sends_then_reads() -> (std::net::SocketAddr, tokio::sync::mpsc::Receiver<usize>) {
    let (told, heard) = tokio::sync::mpsc::channel(64);
    let serve = move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            write_transfer(&mut stream, LENGTH).await;
            stream.shutdown().await.unwrap();
            told.send(read_transfer(&mut stream).await).await.unwrap();
        }
    };
    (upstream(serve).await.0, heard)
}

#[tokio::test]
async fn a_hundred_megabytes_arrive_whole_and_each_sides_end_is_passed_on_by_itself() {
    let (address, mut heard) = upstream_that_sends_then_reads().await;
    let ground = Ground::new(address);
    let mut tunnel = ground.tunnel(EAST).await;
    assert_eq!(read_transfer(&mut tunnel).await, LENGTH);
    // The upstream has ended its side, ours is still open.
    write_transfer(&mut tunnel, LENGTH).await;
    tunnel.shutdown().await.unwrap();
    assert_eq!(within(heard.recv()).await, Some(LENGTH));
    ground.connections(0).await;
}

#[tokio::test]
async fn transfers_in_both_directions_at_once_do_not_disturb_each_other() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let serve = move |stream: TcpStream| {
        let told = told.clone();
        async move {
            let (mut reading, mut writing) = stream.into_split();
            let sends = async {
                write_transfer(&mut writing, LENGTH).await;
                writing.shutdown().await.unwrap();
            };
            told.send(tokio::join!(read_transfer(&mut reading), sends).0).await.unwrap();
        }
    };
    let ground = Ground::new(upstream(serve).await.0);
    let (mut reading, mut writing) = ground.tunnel(EAST).await.into_split();
    let sends = async {
        write_transfer(&mut writing, LENGTH).await;
        writing.shutdown().await.unwrap();
    };
    assert_eq!(tokio::join!(read_transfer(&mut reading), sends).0, LENGTH);
    assert_eq!(within(heard.recv()).await, Some(LENGTH));
}

#[tokio::test]
async fn small_exchanges_after_a_large_transfer_are_not_held_back() {
    let serve = async |mut stream: TcpStream| {
        while let Ok(asked) = stream.read_u32().await {
            write_transfer(&mut stream, asked as usize).await;
        }
    };
    let ground = Ground::new(upstream(serve).await.0);
    let mut tunnel = ground.tunnel(EAST).await;
    for length in [1, 8 * 1024 * 1024, 1, 300, 2 * 1024 * 1024 + 1, 1] {
        tunnel.write_u32(length).await.unwrap();
        let mut limited = (&mut tunnel).take(u64::from(length));
        assert_eq!(read_transfer(&mut limited).await, length as usize);
    }
}

/// More tunnels than there are pipes: those that get none copy.
#[tokio::test]
async fn more_large_transfers_than_there_are_pipes_all_go_on() {
    let serve = async |mut stream: TcpStream| {
        write_transfer(&mut stream, 8 * 1024 * 1024).await;
    };
    let ground = Ground::new(upstream(serve).await.0);
    let mut tunnels = Vec::new();
    for _ in 0..80 {
        // Nobody reads yet: each of these ends up waiting for its reader with its hands full.
        tunnels.push(ground.tunnel(EAST).await);
    }
    for tunnel in &mut tunnels {
        assert_eq!(read_transfer(tunnel).await, 8 * 1024 * 1024);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn slow_readers_cost_little_memory_and_few_descriptors_and_give_both_back() {
    let serve = async |mut stream: TcpStream| {
        let block = [1; 64 * 1024];
        while stream.write_all(&block).await.is_ok() {}
    };
    let ground = Ground::new(upstream(serve).await.0);
    let pipes = || std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let pipes = || pipes().filter(|target| target.to_string_lossy().starts_with("pipe:")).count();
    let mut tunnels = Vec::new();
    for _ in 0..80 {
        let mut tunnel = ground.tunnel(EAST).await;
        let mut some = vec![0; 512 * 1024];
        within(tunnel.read_exact(&mut some)).await.unwrap();
        tunnels.push(tunnel);
    }
    // Other tests of this process lend from the same pool; together it is never more than the pool has, kept ones included, and the runtimes' own.
    let most = pipes();
    assert!(most <= 2 * (64 + 8) + 40, "{most} descriptors of pipes");
    drop(tunnels);
    ground.connections(0).await;
    eventually("pipes are given back", async || pipes() <= 2 * 64).await;
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_large_transfer_resets_both_sides() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let serve = move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            let block = vec![0; 1024 * 1024];
            while stream.write_all(&block).await.is_ok() {}
            told.send(()).await.unwrap();
        }
    };
    let ground = Ground::new(upstream(serve).await.0);
    let mut tunnel = ground.tunnel(EAST).await;
    let mut some = vec![0; 32 * 1024 * 1024];
    within(tunnel.read_exact(&mut some)).await.unwrap();
    ground.client.put(&Rule { cut_existing: true, ..rule("cut", Effect::Refuse) }).await.unwrap();
    assert_eq!(ending(&mut tunnel).await.unwrap_err(), std::io::ErrorKind::ConnectionReset);
    within(heard.recv()).await.unwrap();
}
