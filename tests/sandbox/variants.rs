//! What tells the variants apart, seen from outside: each is ill in one way, and well in all others.

use std::time::Duration;

use firedrill::sandbox::Variant;
use firedrill::sandbox::truth::Happening;

use crate::{EAST, FIRING, WEST, World, eventually, now, text};

#[test]
fn each_variant_suggests_the_drill_that_the_page_names_beside_it() {
    let page = include_str!("../../docs/sandbox.md");
    for variant in Variant::ALL.into_iter().filter(|variant| *variant != Variant::Default) {
        let row = page.lines().find(|line| line.starts_with(&format!("| `sandbox:{}` |", variant.name()))).expect("a row of the page");
        let drill = row.split(" | ").nth(2).unwrap();
        assert_eq!(variant.drill(), format!("drills/sandbox/{drill}.yaml"), "{}", variant.name());
    }
}

#[tokio::test]
async fn slow_failover_moves_users_ten_seconds_late() {
    let world = World::start(Variant::SlowFailover).await;
    world.darken("us-east-1").await;
    let unhealthy = world.happened(Happening::RegionUnhealthy { region: EAST }).await;
    let moved = world.happened(Happening::Failover { from: EAST, to: WEST }).await;
    assert!(moved.since(unhealthy) >= Duration::from_millis(9400), "{:?}", moved.since(unhealthy));
    assert_eq!((world.visit().await.0, world.visit().await.1.as_str()), (200, "us-west-2"));
}

#[tokio::test]
async fn lossy_never_shows_in_the_west_what_was_acknowledged_just_before_the_failover() {
    let world = World::start(Variant::Lossy).await;
    for number in 1..=3 {
        assert_eq!(world.order(number).await, 201);
    }
    world.darken("us-east-1").await;
    eventually("an order taken in the west", async || (world.order(4).await == 201).then_some(())).await;
    for number in 1..=3 {
        let lost = |moment: &firedrill::sandbox::truth::Moment| matches!(moment.what, Happening::OrderLost { region: WEST, number: lost, .. } if lost == number);
        eventually("the loss in the record", async || world.truth().iter().any(lost).then_some(())).await;
    }
    assert_eq!(world.orders_in_the_west().await, [4]);
}

#[tokio::test]
async fn without_a_failover_lossy_loses_nothing() {
    let world = World::start(Variant::Lossy).await;
    assert_eq!(world.order(1).await, 201);
    eventually("a late order in the west", async || (world.orders_in_the_west().await == [1]).then_some(())).await;
}

#[tokio::test]
async fn blind_measures_everything_and_pages_nobody() {
    let world = World::start(Variant::Blind).await;
    world.darken("us-east-1").await;
    let moved = world.happened(Happening::Failover { from: EAST, to: WEST }).await;
    // Far longer than the alert waits in any other variant.
    eventually("three seconds", async || (now().since(moved) >= Duration::from_secs(3)).then_some(())).await;
    assert_eq!((world.vector(FIRING).await, world.vector(r#"up{job="edge"}"#).await), (vec![], vec![1.0]));
    assert_eq!(world.vector(r#"region_healthy{region="us-east-1"}"#).await, [0.0], "what the rule should look at is there");
}

#[tokio::test]
async fn a_sick_region_stays_down_until_its_service_is_restarted() {
    let world = World::start(Variant::SickRegion).await;
    world.darken("us-east-1").await;
    world.happened(Happening::RegionSick { region: EAST }).await;
    world.lighten("us-east-1").await;
    let east = async || text(world.client.get(format!("{}/healthz", world.endpoint("east")))).await;
    let lifted = now();
    while now().since(lifted) < Duration::from_secs(2) {
        let (status, body) = east().await;
        assert!(status == 503 && body.contains("POST /restart"), "{status} {body}");
    }
    assert_eq!(text(world.client.post(format!("{}/restart", world.endpoint("east")))).await.0, 200);
    eventually("us-east-1 healthy", async || (east().await.0 == 200).then_some(())).await;
    world.happened(Happening::Restarted { region: EAST }).await;
}

#[tokio::test]
async fn a_short_failure_makes_no_region_sick_and_only_the_variant_falls_sick_at_all() {
    let world = World::start(Variant::Default).await;
    world.darken("us-east-1").await;
    world.happened(Happening::Failover { from: EAST, to: WEST }).await;
    world.lighten("us-east-1").await;
    eventually("us-east-1 healthy", async || (text(world.client.get(format!("{}/healthz", world.endpoint("east")))).await.0 == 200).then_some(()))
        .await;
}
