//! What Holdfast is for, as a person does it: set up, add an app and a config, back up, look, lose
//! data, restore with the app's name typed, and take it back. Once with scripts, once without.

use fantoccini::Locator;
use holdfast::{
    domain::{access::Role, ids::ConfigId},
    target::memory::{Fault, Scope},
};
use tokio_util::sync::CancellationToken;

use super::{
    browser::{Browser, CONTROL, ENTER, TAB},
    site::{PASSWORD, Site, add_user},
};
use crate::{
    bed::Bed,
    bucket::{Bucket, SECRET_KEY},
    house::{House, postgres, psql},
};

const DIGEST: &str = "SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY i)) FROM notes t";

/// A database with something to lose.
fn shop(name: &str) -> (Bed, String) {
    let project = format!("{name}-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    let notes = "CREATE TABLE notes AS SELECT i, md5(i::text) t FROM generate_series(1, 20000) i";
    psql(&bed, "shop", notes);
    (bed, project)
}

async fn set_up(house: &House, browser: &Browser) {
    let token = house.holdfast.prepare_setup().await.unwrap().unwrap();
    browser.go("/").await;
    browser.at("/setup").await;
    browser.fill("#token", "hfs_wrong").await;
    browser.fill("#name", "ada").await;
    browser.fill("#password", PASSWORD).await;
    browser.press("Create administrator").await;
    browser
        .reads("#token-error", "this is not the set-up token")
        .await;
    browser.fill("#token", token.expose()).await;
    browser.fill("#password", PASSWORD).await;
    browser.press("Create administrator").await;
    browser.reads("#private-key", "AGE-SECRET-KEY-1").await;
    browser.press("I have kept it").await;
    browser.reads(".verdict", "Nothing is backed up yet").await;
}

/// Picks the running project, and ends on the app's page.
async fn add_app(browser: &Browser, project: &str) {
    browser.press("Add app").await;
    browser.at("/apps/new").await;
    browser
        .click(&format!("[aria-label='Add {project}']"))
        .await;
    browser.reads("h1", "Add app").await;
    browser.fill("#slug", "Not a slug!").await;
    browser.press("Add app").await;
    browser.reads("#slug-error", "lower-case letters").await;
    browser.fill("#slug", "shop").await;
    browser.fill("#name", "The shop").await;
    browser.press("Add app").await;
    browser.at("/apps/shop").await;
    browser.reads("h1", "The shop").await;
}

/// Another strategy asks for something else; the first one is chosen again.
async fn look_at_redis(browser: &Browser, scripts: bool) {
    for kind in ["redis", "postgres"] {
        browser.click("[name=pick][value=other]").await;
        let choice = format!("[name=strategy][value={kind}]");
        browser.click(&choice).await;
        if !scripts {
            browser.press("Show what the chosen one asks for").await;
        }
        let password = format!("[name='strategy.{kind}.password']");
        browser.find(&password).await;
        let passwords = browser.client.find_all(Locator::Css("[type=password]"));
        assert_eq!(passwords.await.unwrap().len(), 1, "{kind}");
    }
}

const STEPS: &str = "/apps/shop/configs/new";

async fn add_config(browser: &Browser, scripts: bool) {
    browser.press("Add config").await;
    browser.at(&format!("{STEPS}/what")).await;
    // Found in the project, so it is picked already.
    let picked = browser.find("[name=pick]:checked").await;
    let picked = picked.prop("value").await.unwrap();
    assert_eq!(picked.as_deref(), Some("db/postgres"));
    look_at_redis(browser, scripts).await;
    browser.press("Next: Where").await;
    browser.at(&format!("{STEPS}/where")).await;
    browser.press("Next: When").await;
    browser.at(&format!("{STEPS}/when")).await;
    browser.click("[name=plan][value=custom]").await;
    browser.fill("#schedule_cron", "61 2 * * *").await;
    browser.press("Next: Around it").await;
    browser.reads("#schedule_cron-error", "minute").await;
    browser.fill("#schedule_cron", "30 2 * * 1-5").await;
    if scripts {
        browser.reads("#schedule-said", "Mon–Fri at 02:30").await;
        browser
            .reads("#schedule-said .next li:nth-child(5)", "02:30")
            .await;
    }
    browser.press("Next: Around it").await;
    browser.at(&format!("{STEPS}/around")).await;
    browser.press("Next: How long").await;
    browser.reads("#stays", "In 90 days 7 are there").await;
    // What was entered is there on the way back, by the browser's button and by the page's.
    browser.client.back().await.unwrap();
    browser.at(&format!("{STEPS}/around")).await;
    browser.press("Back").await;
    browser.at(&format!("{STEPS}/when")).await;
    browser.find("[name=plan][value=weekly]:checked").await;
    browser.find("[name='on.5']:checked").await;
    assert!(!browser.has("[name='on.6']:checked").await);
    browser.click(".wizard-steps li:last-child a").await;
    browser
        .reads(
            ".promise",
            "Mon–Fri at 02:30 (UTC) Holdfast backs up Database (PostgreSQL) of db",
        )
        .await;
    browser.press("Create config").await;
    browser.at("/apps/shop").await;
    browser.reads("#configs", "Mon–Fri at 02:30").await;
    browser.reads("#configs", "First run pending").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_backs_up_restores_and_takes_it_back() {
    let (bed, project) = shop("journey");
    let house = House::new().await;
    let site = Site::of(&house);
    let browser = Browser::start(&site.url).await;
    set_up(&house, &browser).await;
    add_app(&browser, &project).await;
    add_config(&browser, true).await;

    // Held up in the middle, so that there is something to watch.
    let (reached, release) = (CancellationToken::new(), CancellationToken::new());
    let stall = Fault::Stall {
        after: 1000,
        reached: reached.clone(),
        release: release.clone(),
    };
    *house.faults.target.lock().unwrap() = Some((stall, Scope::Artifacts));
    browser.press("Back up now").await;
    browser.at("/runs/1").await;
    browser.reads("h1", "running").await;
    browser.reads(".live-state", "live").await;
    browser.run("window.stayed = true").await;
    reached.cancelled().await;
    browser.reads("#progress", "read").await;

    // A second click, from another tab: the same run is shown.
    browser.go("/apps/shop").await;
    browser.reads("h1", "The shop").await;
    browser.press("Back up now").await;
    browser.at("/runs/1").await;
    browser.reads("#progress", "read").await;
    browser.run("window.stayed = true").await;
    house.heal();
    release.cancel();
    browser.reads("h1", "success").await;
    browser.reads("#run", "20,000 rows").await;
    browser.reads("#by-hand", "gunzip").await;
    let stayed = browser.run("return window.stayed").await;
    assert_eq!(
        stayed, true,
        "the page was brought up to date, not loaded again"
    );

    let original = psql(&bed, "shop", DIGEST);
    psql(&bed, "shop", "DELETE FROM notes WHERE i % 3 = 0");
    let damaged = psql(&bed, "shop", DIGEST);
    assert_ne!(damaged, original);

    browser.press("Restore").await;
    browser.at("/runs/1/restore").await;
    browser.reads(".compare", "shop").await;
    browser.fill("#confirm", "some other app").await;
    browser.press("Restore The shop").await;
    browser
        .reads("#confirm-error", "type The shop to confirm")
        .await;
    browser.has_focus("confirm").await;
    assert_eq!(psql(&bed, "shop", DIGEST), damaged, "nothing was touched");
    browser.fill("#confirm", "The shop").await;
    browser.press("Restore The shop").await;
    browser.at("/restores/1").await;
    browser.reads("h1", "success").await;
    browser.reads("#restore", "All 20,000 rows").await;
    assert_eq!(psql(&bed, "shop", DIGEST), original);

    browser.click("#undo").await;
    browser.press("Undo restore").await;
    browser.reads("h1", "undone").await;
    assert_eq!(psql(&bed, "shop", DIGEST), damaged);

    browser.go("/").await;
    browser.reads(".verdict", "Your config is protected").await;
    browser.go("/activity").await;
    browser.reads("main", "Restore undone").await;
    let complaints = browser.complaints().await;
    let unexpected: Vec<&String> = complaints
        .iter()
        // The refused forms of above are errors to a browser.
        .filter(|complaint| !complaint.contains("422"))
        // Whoever was quicker than the page keeps the focus, as it should be.
        .filter(|complaint| !complaint.contains("Autofocus processing was blocked"))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    browser.close().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_all_works_without_scripts() {
    let (bed, project) = shop("noscript");
    let house = House::new().await;
    let site = Site::of(&house);
    let browser = Browser::start(&site.url).await;
    browser.without_scripts().await;
    set_up(&house, &browser).await;
    add_app(&browser, &project).await;
    add_config(&browser, false).await;
    let original = psql(&bed, "shop", DIGEST);

    browser.press("Back up now").await;
    browser.at("/runs/1").await;
    browser.reads_after_reload("h1", "success").await;
    browser.press("Show the commands").await;
    browser.reads("pre", "gunzip").await;
    psql(&bed, "shop", "DELETE FROM notes WHERE i % 3 = 0");
    let damaged = psql(&bed, "shop", DIGEST);

    browser.go("/runs/1/restore").await;
    browser.fill("#confirm", "shop").await;
    browser.press("Restore The shop").await;
    browser.at("/restores/1").await;
    browser.reads_after_reload("h1", "success").await;
    assert_eq!(psql(&bed, "shop", DIGEST), original);
    browser.click("#undo").await;
    browser.press("Undo restore").await;
    browser.reads_after_reload("h1", "undone").await;
    assert_eq!(psql(&bed, "shop", DIGEST), damaged);

    browser.click("#account summary").await;
    browser.click("button[value=dark]").await;
    let dark = browser.find("html[data-theme=dark]").await;
    assert_eq!(dark.tag_name().await.unwrap(), "html");
    browser.click("#account summary").await;
    browser.click("form[action='/logout'] button").await;
    browser.at("/login").await;
    browser.close().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_tried_out_saved_and_backed_up_to_in_one_press() {
    let (_bed, project) = shop("bucket");
    let house = House::new().await;
    house.app("shop", &project).await;
    add_user(&house, "ada", Role::Admin).await;
    let bucket = Bucket::serve();
    let site = Site::of(&house);
    let browser = Browser::start(&site.url).await;
    browser.go("/login").await;
    browser.fill("#name", "ada").await;
    browser.fill("#password", PASSWORD).await;
    browser.press("Log in").await;
    browser.reads("h1", "Backups").await;
    browser.go(STEPS).await;
    browser.press("Next: Where").await;
    browser.click("[name=target][value=s3]").await;
    let secret = "[name='target.s3.secret_key']";
    // A provider fills in what is known of it.
    browser.click("#preset option[value=hetzner]").await;
    let endpoint = "[name='target.s3.endpoint'][value^='https://fsn1.']";
    browser.find(endpoint).await;
    if !browser.find(secret).await.is_displayed().await.unwrap() {
        browser.click("#target-fields-more summary").await;
    }
    for (name, value) in bucket.settings() {
        let field = format!("[name='target.s3.{name}']");
        browser.fill(&field, &value).await;
    }
    browser.fill(secret, "wrong").await;
    browser.press("Try it out").await;
    browser.reads("#target-trial", "cannot be kept there").await;
    browser.fill(secret, SECRET_KEY).await;
    browser.press("Try it out").await;
    browser
        .reads("#target-trial", "Backups can be kept there")
        .await;
    // Nobody reads it off a page, not even whoever typed it.
    browser.press("Next: When").await;
    browser.press("Back").await;
    browser.find(&format!("{secret}[value='••••']")).await;
    let source = browser.client.source().await.unwrap();
    assert!(!source.contains(SECRET_KEY), "{source}");
    browser.press("Try it out").await;
    browser
        .reads("#target-trial", "Backups can be kept there")
        .await;
    browser.run("scrollTo(0, 0)").await;
    browser.click(".wizard-steps li:last-child a").await;
    browser.reads(".promise", "to the bucket").await;
    browser.press("Create and back up now").await;
    browser.at("/runs/1").await;
    browser.reads("h1", "success").await;
    assert_eq!(bucket.backups().len(), 2, "the artifact and its manifest");
    browser.close().await;
    house.close().await;
}

/// Looks for what the palette's first line leads to, by keys alone.
async fn find(browser: &Browser, asked: &str) {
    browser.keys(&format!("{CONTROL}k{CONTROL}")).await;
    browser.find("#palette[open]").await;
    browser.keys(asked).await;
    browser.reads("#palette #found li:first-child", asked).await;
    browser.keys(ENTER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_enough() {
    let (_bed, project) = shop("keys");
    let house = House::new().await;
    house.app("shop", &project).await;
    let cron = "7 4 1-7 * 1";
    house
        .config("shop", |config| config.schedule_cron = Some(cron.into()))
        .await;
    add_user(&house, "ada", Role::Admin).await;
    let site = Site::of(&house);
    let browser = Browser::start(&site.url).await;

    // The field that is wanted has the focus; Enter sends.
    browser.go("/login").await;
    browser.find("#name:focus").await;
    browser.keys(&format!("ada{TAB}{PASSWORD}{ENTER}")).await;
    browser.at("/").await;
    find(&browser, "PostgreSQL").await;
    browser.at("/configs/1").await;

    // What is only looked at, or changed elsewhere, stays as it was written.
    browser.find("#name").await.click().await.unwrap();
    browser.keys(&format!("Nightly{ENTER}")).await;
    browser.at("/apps/shop").await;
    browser.reads("#configs", "Nightly").await;
    let config = house.holdfast.config(&house.caller, ConfigId(1)).await;
    assert_eq!(config.unwrap().spec().schedule_cron, cron);

    // The first thing that Tab reaches leads past the navigation.
    browser.keys(TAB).await;
    browser.find(".skip:focus").await;
    browser.keys(ENTER).await;
    browser.find("main:focus").await;
    let tabs = async |wanted: &str| {
        for _ in 0..40 {
            browser.keys(TAB).await;
            if browser.has(wanted).await {
                return;
            }
        }
        panic!("Tab never reaches {wanted}");
    };
    tabs("main .page-head form .btn.primary:focus").await;
    browser.keys(ENTER).await;
    browser.at("/runs/1").await;
    browser.reads("h1", "success").await;
    find(&browser, "Run 1").await;
    browser.at("/runs/1").await;

    // A config of its own, without a look at the mouse: what is usual is proposed, Enter goes on.
    browser.go(STEPS).await;
    for step in ["where", "when", "around", "keep", "summary"] {
        tabs(".wizard .btn.primary:focus").await;
        browser.keys(ENTER).await;
        browser.at(&format!("{STEPS}/{step}")).await;
    }
    tabs("#name:focus").await;
    browser.keys(&format!("By keys{ENTER}")).await;
    browser.at("/apps/shop").await;
    browser.reads("#configs", "By keys").await;
    browser.close().await;
    house.close().await;
}
