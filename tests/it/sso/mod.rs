//! Logging in at a login service that is not ours: who comes in and as what, and everything that must not
//! let anybody in. The service is npm's `oidc-provider`, told to lie by `provider.mjs`.

pub mod provider;

use std::collections::BTreeMap;

use holdfast::{
    app::{Settings, SsoSettings},
    config::SsoArgs,
    domain::{access::Role, secret::Secret},
    readmodel::users,
    sso::ProviderSettings,
};
use serde_json::{Value, json};

use self::provider::{Browser, Provider, SECRET};
use crate::{
    house::House,
    pages::site::{Site, add_user},
    server::free_address,
};

const SESSION: &str = "holdfast";

struct Place {
    house: House,
    site: Site,
    provider: Provider,
}

impl Place {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut SsoSettings)) -> Self {
        let address = free_address();
        let return_to = format!("http://{address}/login/sso/return");
        let provider = Provider::start(&return_to);
        let mut sso = SsoSettings {
            provider: ProviderSettings {
                issuer: provider.issuer.clone(),
                client_id: "holdfast".to_owned(),
                client_secret: Some(Secret::from(SECRET)),
                return_to,
                scopes: ["profile", "email", "groups"].map(ToOwned::to_owned).into(),
                role_claim: Some("groups".to_owned()),
                private: true,
            },
            label: "the house's own".to_owned(),
            domains: vec!["example.org".to_owned()],
            roles: BTreeMap::from([
                ("ops".to_owned(), Role::Operator),
                ("root".to_owned(), Role::Admin),
            ]),
            new_users: Some(Role::Viewer),
        };
        change(&mut sso);
        let house = House::with(|settings: &mut Settings| settings.sso = Some(sso)).await;
        add_user(&house, "warden", Role::Admin).await;
        let site = Site::on(&house, address).await;
        Self {
            house,
            site,
            provider,
        }
    }

    fn login(&self) -> String {
        format!("{}/login/sso?next=/account", self.site.url)
    }

    /// A whole log-in; status and page at its end, and whether there is a session.
    async fn log_in(&self, browser: &mut Browser) -> (u16, String, bool) {
        let answer = browser.follow(&self.login()).await;
        let status = answer.status().as_u16();
        let page = answer.text().await.unwrap();
        (status, page, browser.holds(&self.site.url, SESSION))
    }

    async fn users(&self) -> Vec<users::Model> {
        self.house.holdfast.users(&self.house.caller).await.unwrap()
    }

    async fn user(&self, name: &str) -> users::Model {
        let all = self.users().await;
        all.into_iter().find(|user| user.name == name).expect(name)
    }

    async fn events(&self, name: &str) -> Vec<Value> {
        let all = self
            .house
            .holdfast
            .log()
            .read_from(0, 10_000)
            .await
            .unwrap();
        let named = all.into_iter().filter(|event| event.name == name);
        named
            .map(|event| serde_json::from_str(&event.data).unwrap())
            .collect()
    }
}

fn ada() -> Value {
    json!({
        "sub": "0042", "preferred_username": "ada", "email": "ada@example.org",
        "email_verified": true, "groups": ["staff", "ops"],
    })
}

fn ada_with(field: &str, value: Value) -> Value {
    let mut person = ada();
    person[field] = value;
    person
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_the_login_service_is_a_user_with_the_role_it_says() {
    let place = Place::new().await;
    place.provider.expects(&ada()).await;
    let mut browser = Browser::new();
    let (status, page, in_session) = place.log_in(&mut browser).await;
    assert_eq!((status, in_session), (200, true), "{page}");
    assert!(
        browser.way.last().unwrap().ends_with("/account"),
        "where they wanted to"
    );
    let ada_row = place.user("ada").await;
    assert_eq!(ada_row.role(), Role::Operator);
    let logged_in = place.events("audit.logged_in").await;
    assert_eq!(logged_in.last().unwrap()["through"], place.provider.issuer);
    let address = browser
        .way
        .iter()
        .find(|url| url.contains("/auth?"))
        .unwrap();
    for part in [
        "code_challenge_method=S256",
        "nonce=",
        "state=",
        "response_type=code",
    ] {
        assert!(address.contains(part), "{part} in {address}");
    }
    assert!(
        !browser.holds(&place.site.url, "holdfast-sso"),
        "of no use any more"
    );

    // The same person again, called otherwise: the same user. What they may follows the service.
    let renamed = ada_with("preferred_username", json!("augusta"));
    place.provider.expects(&renamed).await;
    assert!(place.log_in(&mut Browser::new()).await.2);
    assert_eq!(place.users().await.len(), 2);
    place
        .provider
        .expects(&ada_with("groups", json!("root")))
        .await;
    assert!(place.log_in(&mut Browser::new()).await.2);
    assert_eq!(place.user("ada").await.role(), Role::Admin);
    place.provider.expects(&ada_with("groups", json!([]))).await;
    assert!(place.log_in(&mut Browser::new()).await.2);
    assert_eq!(place.user("ada").await.role(), Role::Viewer);

    // Somebody else who calls themselves the same is somebody else, and takes nobody's name.
    for (sub, name, expected) in [
        ("0043", "ada", "ada-2"),
        ("0044", "warden", "warden-2"),
        ("0045", "../<b>x", "b-x"),
    ] {
        let mut other = ada();
        other["sub"] = json!(sub);
        other["preferred_username"] = json!(name);
        place.provider.expects(&other).await;
        assert!(place.log_in(&mut Browser::new()).await.2);
        place.user(expected).await;
    }
    // None of them has a password.
    let nothing = Secret::from("");
    let holdfast = &place.house.holdfast;
    let by_password = holdfast.log_in("ada", &nothing, "192.0.2.1", "");
    assert!(by_password.await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_be_believed_lets_nobody_in() {
    let place = Place::new().await;
    let mut tried = 0;
    for (lie, why) in [
        ("nonce", "answers another question"),
        ("no nonce", "answers another question"),
        ("audience", "meant for another client"),
        ("issuer", "from another issuer"),
        ("expired", "has expired"),
        ("unknown key", "a key that the service does not have"),
        ("wrong key", "signature is not good"),
        ("shared secret", "not to be believed"),
        ("unsigned", "not to be believed"),
        ("altered", "signature is not good"),
        ("refused", "did not let them in"),
    ] {
        place.provider.told(&ada(), lie).await;
        let (status, page, in_session) = place.log_in(&mut Browser::new()).await;
        assert!(!in_session, "{lie}: let in");
        assert!(status >= 400, "{lie}: {status}");
        let told = place.events("audit.refused").await;
        let told = told.last().map(|event| event["why"].to_string());
        let told = told.unwrap_or_default() + &page;
        assert!(
            told.contains(why) || lie == "unsigned" || lie == "shared secret",
            "{lie}: {told}"
        );
        tried += 1;
    }
    let back = format!("{}/login/sso/return", place.site.url);
    place.provider.expects(&ada()).await;
    // A good answer in the browser of somebody who did not ask for it.
    let answer = Browser::new().until(&place.login(), &back).await;
    let mut victim = Browser::new();
    let _ = victim.until(&place.login(), &place.provider.issuer).await;
    let shown = [
        ("another browser's answer", answer.clone()),
        ("an unknown state", format!("{back}?state=x&code=y")),
        ("nothing", back.clone()),
        ("no code", format!("{back}?error=server_error&state=x")),
        (
            "too much",
            format!("{back}?state={}&code=1", "s".repeat(4000)),
        ),
    ];
    for (what, url) in shown {
        let status = victim.get(&url).await.status().as_u16();
        assert!(status >= 400, "{what}: {status}");
        assert!(!victim.holds(&place.site.url, SESSION), "{what}: let in");
        tried += 1;
    }
    for (what, change) in [
        ("another code", ("code=", "code=x")),
        ("another issuer", ("iss=http", "iss=https")),
    ] {
        let mut browser = Browser::new();
        let good = browser.until(&place.login(), &back).await;
        let status = browser
            .get(&good.replace(change.0, change.1))
            .await
            .status();
        assert!(status.as_u16() >= 400, "{what}: {status}");
        assert!(!browser.holds(&place.site.url, SESSION), "{what}: let in");
        // The state was used by it, so the true answer comes too late.
        assert_eq!(browser.get(&good).await.status(), 403);
        tried += 1;
    }
    assert_eq!(place.users().await.len(), 1, "nobody was made a user");

    // The same answer twice, from the browser that it is for.
    let mut browser = Browser::new();
    let good = browser.until(&place.login(), &back).await;
    assert_eq!(browser.get(&good).await.status(), 303);
    assert!(browser.holds(&place.site.url, SESSION));
    let mut again = browser.clone();
    assert_eq!(again.get(&good).await.status(), 403, "replayed");
    tried += 1;
    println!(
        "figure: sso: {tried} answers of a login service that are not to be believed, let in 0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_come_in_does_not() {
    let place = Place::with(|sso| sso.new_users = None).await;
    for (what, person) in [
        (
            "another domain",
            ada_with("email", json!("ada@example.com")),
        ),
        (
            "an address that is not theirs",
            ada_with("email_verified", json!(false)),
        ),
        ("no address", ada_with("email", Value::Null)),
        ("no role", ada_with("groups", json!(["staff"]))),
        (
            "roles that are none",
            ada_with("groups", json!({ "ops": true })),
        ),
    ] {
        place.provider.expects(&person).await;
        let (status, _, in_session) = place.log_in(&mut Browser::new()).await;
        assert_eq!((status, in_session), (403, false), "{what}");
    }
    assert_eq!(place.users().await.len(), 1);
    place.provider.expects(&ada()).await;
    let mut browser = Browser::new();
    assert!(place.log_in(&mut browser).await.2);
    let ada = place.user("ada").await.user_id();

    // Switched off here, whatever the service says; removed is removed.
    let (holdfast, caller) = (&place.house.holdfast, &place.house.caller);
    let switch = |disabled| holdfast::app::UserChange {
        role: None,
        disabled: Some(disabled),
    };
    holdfast
        .change_user(caller, ada, switch(true))
        .await
        .unwrap();
    assert!(!place.log_in(&mut Browser::new()).await.2);
    holdfast
        .change_user(caller, ada, switch(false))
        .await
        .unwrap();
    assert!(place.log_in(&mut Browser::new()).await.2);
    holdfast.remove_user(caller, ada).await.unwrap();
    assert!(!place.log_in(&mut Browser::new()).await.2);
    assert_eq!(
        place.users().await.len(),
        1,
        "nobody came back under another number"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn proving_anew_is_done_where_they_logged_in() {
    let place = Place::new().await;
    place.provider.expects(&ada()).await;
    let mut browser = Browser::new();
    assert!(place.log_in(&mut browser).await.2);
    let page = browser
        .get(&format!("{}/prove?next=/apps", place.site.url))
        .await;
    assert!(page.text().await.unwrap().contains("/prove/sso?next=/apps"));
    let prove = format!("{}/prove/sso?next=/apps", place.site.url);
    let answer = browser.follow(&prove).await;
    assert_eq!(answer.status(), 200);
    assert!(browser.way.last().unwrap().ends_with("/apps"));
    let mut asked = browser.way.iter().filter(|url| url.contains("/auth?"));
    let asked = asked.next_back().unwrap();
    assert!(
        asked.contains("prompt=login") && asked.contains("max_age=0"),
        "{asked}"
    );
    for lie in ["long ago", "not said when"] {
        place.provider.told(&ada(), lie).await;
        assert_eq!(browser.clone().follow(&prove).await.status(), 403, "{lie}");
    }
    // Somebody else's log-in proves nothing of this session.
    place
        .provider
        .expects(&ada_with("sub", json!("0099")))
        .await;
    assert_eq!(browser.follow(&prove).await.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_client_and_another_kind_of_key_do_too() {
    let place = Place::with(|sso| {
        sso.provider.client_id = "public".to_owned();
        sso.provider.client_secret = None;
    })
    .await;
    place.provider.expects(&ada()).await;
    let (status, page, in_session) = place.log_in(&mut Browser::new()).await;
    assert_eq!((status, in_session), (200, true), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_may_not_or_cannot_be_asked_is_said_so() {
    let place = Place::with(|sso| sso.provider.private = false).await;
    let (status, page, _) = place.log_in(&mut Browser::new()).await;
    assert_eq!(status, 502, "{page}");
    let mut place = Place::new().await;
    place.provider = Provider::start("http://127.0.0.1:1/elsewhere");
    let (status, page, _) = place.log_in(&mut Browser::new()).await;
    assert_eq!(status, 502, "{page}");
    assert!(page.contains("cannot be connected to"), "{page}");
    let login = Browser::new()
        .get(&format!("{}/login", place.site.url))
        .await;
    assert!(
        login
            .text()
            .await
            .unwrap()
            .contains("Log in with the house&#39;s own")
    );
}

/// Makes whole settings wrong.
type Change = fn(&mut SsoArgs);

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let whole = SsoArgs {
        oidc_issuer: Some("https://id.example.org".to_owned()),
        oidc_client_id: Some("holdfast".to_owned()),
        oidc_new_users: Some("viewer".to_owned()),
        ..SsoArgs::default()
    };
    let public = Some("https://backup.example.org/");
    let good = whole.settings(public).unwrap().unwrap();
    let return_to = "https://backup.example.org/login/sso/return";
    assert_eq!(good.provider.return_to, return_to);
    assert!(SsoArgs::default().settings(None).unwrap().is_none());
    let changes: [(&str, Change); 6] = [
        ("--oidc-client-id", |it| it.oidc_client_id = None),
        ("--oidc-new-users", |it| it.oidc_new_users = None),
        ("viewer, operator, admin", |it| {
            it.oidc_new_users = Some("root".to_owned());
        }),
        ("--oidc-roles", |it| it.oidc_roles = vec!["ops".to_owned()]),
        ("https://", |it| {
            it.oidc_issuer = Some("http://id.example.org".to_owned());
        }),
        ("--oidc-issuer", |it| {
            it.oidc_issuer = Some("id.example.org".to_owned());
        }),
    ];
    for (said, change) in changes {
        let mut args = whole.clone();
        change(&mut args);
        let refused = args.settings(public).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    let refused = whole.settings(None).unwrap_err().to_string();
    assert!(refused.contains("--public-url"), "{refused}");
}
