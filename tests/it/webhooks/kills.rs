//! What has to be told, over sudden ends of whoever tells it.

use std::{collections::BTreeMap, time::Duration};

use holdfast::{app::WebhookInput, work::notify};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Receiver, Scene};

const KILLS: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_over_five_hundred_kills_and_each_keeps_its_id() {
    let begun = std::time::Instant::now();
    let mut scene = Scene::new(true).await;
    let mut receiver = Receiver::answering(&[]).await;
    let input = WebhookInput {
        url: receiver.url(),
        ..WebhookInput::default()
    };
    let (holdfast, caller) = (scene.holdfast.clone(), scene.caller.clone());
    holdfast.add_webhook(&caller, input).await.unwrap();
    let mut told: BTreeMap<String, (u32, String)> = BTreeMap::new();
    let mut expected = Vec::new();
    // From here on nobody else sends.
    scene.stop().await;
    for round in 0..KILLS {
        if round % 50 == 49 {
            scene.reopen().await; // and whoever sends finds a store that was opened anew
        }
        let mut sender = JoinSet::new();
        let never = CancellationToken::new();
        sender.spawn(notify::listen(scene.holdfast.clone(), never.clone()));
        sender.spawn(notify::deliver(scene.holdfast.clone(), never));
        let position = scene.failed_run().await;
        expected.push(format!("evt_{position}"));
        // From before the row is written until after it arrived: the tasks are dropped wherever they stand.
        tokio::time::sleep(Duration::from_micros(round * 37 % 12_000)).await;
        drop(sender);
    }
    scene.restart().await;
    while !expected.iter().all(|id| told.contains_key(id)) {
        let request = receiver.next().await;
        let id = request.headers["webhook-id"].clone();
        let (times, body) = told.entry(id).or_insert((0, request.body.clone()));
        *times += 1;
        assert_eq!(*body, request.body, "a repetition is the same to the byte");
    }
    let twice = told.values().filter(|(times, _)| *times > 1).count();
    assert_eq!(told.len(), expected.len(), "no id that no event has");
    println!(
        "figure: deliveries: {} events over {KILLS} kills of the sender: lost 0, under their own id all, \
         told more than once {twice}, in {:.1} s",
        expected.len(),
        begun.elapsed().as_secs_f32()
    );
    scene.stop().await;
}
