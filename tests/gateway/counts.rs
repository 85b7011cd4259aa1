//! What the gateway counts, and how people read it.

use firedrill::gateway::aws_call::AwsError;
use firedrill::gateway::counts::{Counts, Stats};
use firedrill::gateway::{Effect, Rule};
use tokio::io::AsyncWriteExt;

use crate::ground::*;

/// What was counted of one service × region × operation by this machine.
fn counted(stats: &Stats, service: &str, region: &str, operation: &str) -> Option<Counts> {
    let mut rows =
        stats.rows.iter().filter(|row| (row.service.as_str(), row.region.as_str(), row.operation.as_str()) == (service, region, operation));
    let row = rows.next()?;
    assert!(row.client.is_loopback() && rows.next().is_none());
    Some(row.counts)
}

fn get_item(host: &str) -> String {
    format!(
        "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nX-Amz-Target: DynamoDB_20120810.GetItem\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n\r\n{{}}"
    )
}

#[tokio::test]
async fn requests_and_tunnels_are_counted_by_client_service_region_and_operation() {
    let ground = Ground::new(mirror().await);
    let mut stream = ground.connect().await;
    for _ in 0..3 {
        exchange(&mut stream, &get_item(EAST)).await;
    }
    exchange(&mut stream, &get_item(WEST)).await;
    exchange(&mut stream, &get("iam.amazonaws.com")).await;
    exchange(&mut stream, &get("plain.example.com")).await;
    ground.tunnel(EAST).await;
    let stats = ground.client.stats(false).await.unwrap();
    let passed = |count| Some(Counts { asked: count, passed: count, ..Counts::default() });
    assert_eq!(counted(&stats, "dynamodb", "us-east-1", "GetItem"), passed(3));
    assert_eq!(counted(&stats, "dynamodb", "us-west-2", "GetItem"), passed(1));
    assert_eq!(counted(&stats, "dynamodb", "us-east-1", "-"), passed(1), "a tunnel is encrypted");
    assert_eq!(counted(&stats, "iam", "us-east-1", "?"), passed(1), "it cannot be recognised, and passes");
    assert_eq!(stats.rows.len(), 4, "what is not AWS is not counted: {stats:?}");
    assert_eq!(stats.rows[0].operation, "GetItem", "the most frequent comes first");
}

#[tokio::test]
async fn what_rules_did_is_counted_by_effect() {
    let ground = Ground::new(mirror().await);
    let put = async |id: &str, service: &str, effect: Effect| ground.put(Rule { services: vec![service.to_owned()], ..rule(id, effect) }).await;
    put("refuse", "sqs", Effect::Refuse).await;
    put("hang", "sns", Effect::Blackhole).await;
    put("reset", "kms", Effect::Reset { after_bytes: 10 }).await;
    put("slow", "sts", Effect::Latency { delay_ms: 1, jitter_ms: 0, bytes_per_second: None }).await;
    let error = Effect::Error { operations: vec!["*".to_owned()], error: AwsError::Throttling, per_million: 1_000_000, seed: None };
    put("error", "dynamodb", error).await;
    let mut open = Vec::new();
    for service in ["sqs", "sns", "kms"] {
        let mut stream = ground.connect().await;
        stream.write_all(get(&format!("{service}.us-east-1.amazonaws.com")).as_bytes()).await.unwrap();
        if service != "sns" {
            let _ = ending(&mut stream).await;
        }
        open.push(stream);
    }
    ground.hits("hang", 1).await;
    ground.tunnel("sts.us-east-1.amazonaws.com").await;
    let (head, _) = exchange(&mut ground.connect().await, &get_item(EAST)).await;
    assert!(head.starts_with("HTTP/1.1 4"), "{head}");
    let stats = ground.client.stats(false).await.unwrap();
    let one = Counts { asked: 1, ..Counts::default() };
    assert_eq!(counted(&stats, "sqs", "us-east-1", "?"), Some(Counts { refused: 1, ..one }));
    assert_eq!(counted(&stats, "sns", "us-east-1", "?"), Some(Counts { blackholed: 1, ..one }));
    assert_eq!(counted(&stats, "kms", "us-east-1", "?"), Some(Counts { passed: 1, reset: 1, ..one }));
    assert_eq!(counted(&stats, "sts", "us-east-1", "-"), Some(Counts { passed: 1, slowed: 1, ..one }));
    assert_eq!(counted(&stats, "dynamodb", "us-east-1", "GetItem"), Some(Counts { failed: 1, ..one }));
}

#[tokio::test]
async fn counting_starts_again_after_a_reset() {
    let ground = Ground::new(mirror().await);
    exchange(&mut ground.connect().await, &get_item(EAST)).await;
    let first = ground.client.stats(true).await.unwrap();
    assert_eq!(first.rows.len(), 1);
    let second = ground.client.stats(false).await.unwrap();
    assert_eq!(second.rows.len(), 0);
    assert!(second.since > first.since);
    exchange(&mut ground.connect().await, &get_item(EAST)).await;
    assert_eq!(ground.client.stats(false).await.unwrap().rows[0].counts.asked, 1);
}

#[tokio::test]
async fn nothing_is_lost_while_others_read_and_reset() {
    let ground = Ground::new(mirror().await);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut stream = ground.connect().await;
        clients.spawn(async move {
            for _ in 0..100 {
                exchange(&mut stream, &get_item(EAST)).await;
            }
        });
    }
    let mut asked = 0;
    let mut add = async || asked += ground.client.stats(true).await.unwrap().rows.iter().map(|row| row.counts.passed).sum::<u64>();
    while !clients.is_empty() {
        add().await;
        let _ = clients.try_join_next();
    }
    add().await;
    assert_eq!(asked, 400);
}

async fn stats(ground: &Ground, more: &[&str]) -> String {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.args(["gateway", "stats", "--socket"]).arg(ground.gateway.socket().unwrap()).args(more);
    let output = within(command.output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_command_prints_a_table_for_people_and_json_for_programs() {
    let ground = Ground::new(mirror().await);
    let empty = stats(&ground, &[]).await;
    assert!(empty.starts_with("since 2") && empty.contains("no call of an AWS service came through"), "{empty}");
    let mut stream = ground.connect().await;
    exchange(&mut stream, &get("iam.amazonaws.com")).await;
    for _ in 0..2 {
        exchange(&mut stream, &get_item(EAST)).await;
    }
    // A name that a client made up cannot steer the terminal of whoever reads it.
    exchange(&mut stream, &get_item(WEST).replace("GetItem", "Get\u{9b}2J")).await;
    let text = stats(&ground, &[]).await;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["client", "service", "region", "operation", "count", "passed", "refused", "blackholed", "reset", "error", "slowed"]);
    assert_eq!(lines[2], ["127.0.0.1", "dynamodb", "us-east-1", "GetItem", "2", "2", "-", "-", "-", "-", "-"]);
    assert!(!text.contains('\u{9b}'), "{text:?}");
    let json: serde_json::Value = serde_json::from_str(&stats(&ground, &["--format", "json", "--reset"]).await).unwrap();
    assert_eq!(json["rows"][0]["counts"]["passed"], 2);
    assert!(stats(&ground, &["--output", "json"]).await.starts_with('{'), "the old name of the flag still does");
    assert!(stats(&ground, &[]).await.contains("no call"));
}
