//! What a page says while something else does not work: the server gone, the engine gone, the destination
//! full, the service stopped, a second click.

use holdfast::{
    domain::access::Role,
    target::memory::{Fault, Scope},
};

use super::{
    browser::Browser,
    site::{PASSWORD, Site, add_user},
};
use crate::{
    bed::docker,
    house::{House, postgres},
    proxy::Proxy,
    server::free_address,
};

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_is_said_with_what_to_do_and_is_over_when_it_is_over() {
    let project = format!("trouble-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    let house = House::new().await;
    house.app("shop", &project).await;
    let config = house.config("shop", |_| {}).await;
    add_user(&house, "ada", Role::Admin).await;
    // One that nobody else gets while no site is there.
    let address = free_address();
    let site = Site::on(&house, address).await;
    let browser = Browser::start(&site.url).await;
    log_in(&browser).await;

    browser.go("/apps/shop").await;
    browser.reads(".live-state", "live").await;
    browser.run("window.stayed = true").await;
    drop(site);
    browser.reads(".live-state", "lost").await;
    browser.press("Back up now").await;
    browser.reads("#alerts", "did not answer").await;
    assert_eq!(house.back_up(config).await.status, "success");
    let _site = Site::on(&house, address).await;
    // Nothing was loaded again: the stream came back, with what had happened meanwhile.
    browser.reads("#history", "success").await;
    browser.reads(".live-state", "live").await;
    assert_eq!(browser.run("return window.stayed").await, true);

    *house.faults.target.lock().unwrap() = Some((Fault::Full, Scope::Artifacts));
    browser.press("Back up now").await;
    browser.reads(".alert.bad", "no space left").await;
    browser.reads(".alert.bad", "Free some space").await;
    house.heal();

    docker(&["stop", "-t", "0", &bed.name]);
    browser.go("/apps/shop").await;
    browser.press("Back up now").await;
    browser.reads(".alert.bad", "not running").await;
    browser.go("/").await;
    browser.reads(".verdict", "needs you").await;
    bed.start_again();
    crate::bed::until_postgres(&bed);

    // Two clicks at once are one run.
    let before = house.run_count().await;
    browser.go("/apps/shop").await;
    browser
        .run(
            "const form = document.querySelector('.page-head form');
            form.requestSubmit(); form.requestSubmit();",
        )
        .await;
    browser.reads("h1", "success").await;
    assert_eq!(house.run_count().await, before + 1);
    browser.go("/").await;
    browser.reads(".verdict", "is protected").await;
    browser.close().await;
    house.close().await;
}

async fn log_in(browser: &Browser) {
    browser.go("/login").await;
    browser.fill("#name", "ada").await;
    browser.fill("#password", PASSWORD).await;
    browser.press("Log in").await;
    browser.reads("h1", "Backups").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_the_engine_is_away_is_said_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let house = House::through(&socket).await;
    house.app("shop", "no-such-project").await;
    add_user(&house, "ada", Role::Admin).await;
    let site = Site::of(&house);
    let browser = Browser::start(&site.url).await;
    log_in(&browser).await;
    let said = "container engine does not answer";
    browser.reads("#overview .alert", said).await;
    browser.run("window.stayed = true").await;
    // A new config can be begun all the same, and says why nothing is offered.
    let away = Browser::start(&site.url).await;
    log_in(&away).await;
    away.go("/apps/shop/configs/new").await;
    away.reads(".wizard .alert", "could not be asked").await;
    away.close().await;

    let proxy = Proxy::listen(&socket, None);
    // Nobody loads anything again.
    browser.is_gone("#overview .alert").await;
    browser
        .reads(".verdict", "No backup is configured yet")
        .await;
    assert_eq!(browser.run("return window.stayed").await, true);
    drop(proxy);
    browser.reads_after_reload("#overview", said).await;
    browser.close().await;
    house.close().await;
}
