//! Encrypted backups with the real server: to a key that only a person has, and to one that the server has
//! too. What is destroyed comes back with Holdfast, from a file, and with stock tools; the private key is
//! nowhere afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use holdfast::{app::new_key, domain::secret::Secret};
use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::{
    bed::{BUSYBOX, Bed},
    note,
    server::Server,
};

const CONFIGS: &str = "/api/apps/shop/backups/configs";
const LOST: &str = "rm -f /data/app.db*";

struct Shop {
    server: Server,
    bed: Bed,
    public: String,
    private: Secret,
}

impl Shop {
    async fn open(name: &str) -> Self {
        let (project, bed) = note::service(&format!("locked-{name}"));
        let server = Server::start(&["--helper-image", BUSYBOX]).await;
        let app = json!({ "slug": "shop", "project": project });
        server.post("/api/apps", app).await;
        let (public, private) = new_key();
        Self {
            server,
            bed,
            public,
            private,
        }
    }

    /// A run of a new config that is encrypted to the person's key.
    async fn backed_up(&self, server_key: bool) -> Value {
        let config = json!({
            "strategy": "sqlite", "service": "db", "paths": [note::FILE],
            "encryption": { "recipients": [self.public], "server_key": server_key },
        });
        let config = self.server.post(CONFIGS, config).await;
        let answered: Value = serde_json::from_str(config["encryption"].as_str().unwrap()).unwrap();
        assert_eq!(
            answered,
            json!({ "recipients": [self.public], "server_key": server_key })
        );
        let path = format!("/api/backups/configs/{}/run", config["id"]);
        let run = self.server.post(&path, json!({})).await["run_id"]
            .as_i64()
            .unwrap();
        let run = self.server.wait_for_run(run).await;
        assert_eq!(run["status"], "success", "{run}");
        run
    }

    fn stored(&self, run: &Value) -> PathBuf {
        self.server
            .backups()
            .join(run["file_path"].as_str().unwrap())
    }

    async fn restored(&self, run: &Value, body: Value) -> (StatusCode, Value) {
        let path = format!("/api/backups/restore/{}", run["id"]);
        let asked = self.server.try_call(Method::POST, &path, Some(body)).await;
        let (status, answer) = asked.unwrap();
        match answer["restore_id"].as_i64() {
            Some(id) => (status, self.server.wait_for_restore(id).await),
            None => (status, answer),
        }
    }

    /// Secrets that the vault keeps only for a while.
    async fn lent(&self) -> i64 {
        let path = self.server.data.path().join("holdfast.db");
        let db = sea_orm::Database::connect(format!("sqlite://{}?mode=ro", path.display()));
        let db = db.await.unwrap();
        let count = "SELECT count(*) AS n FROM vault_secrets WHERE reference LIKE 'vault-lent:%'";
        let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), count));
        row.await.unwrap().unwrap().try_get("", "n").unwrap()
    }

    /// The key goes right after the end of the restore is told.
    async fn until_forgotten(&self) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while self.lent().await > 0 {
            assert!(std::time::Instant::now() < deadline, "the key is kept");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Files of the data folder, the database and the server's log among them, that hold the private key.
    fn with_the_key_in_it(&self) -> Vec<PathBuf> {
        let key = self.private.expose().as_bytes();
        let secret = &key["AGE-SECRET-KEY-1".len()..];
        let small = secret.to_ascii_lowercase();
        let mut found = files(self.server.data.path());
        found.retain(|path| {
            let bytes = fs::read(path).unwrap_or_default();
            let holds = |needle: &[u8]| memchr::memmem::find(&bytes, needle).is_some();
            holds(secret) || holds(&small)
        });
        found
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_read_comes_back_with_that_persons_key() {
    let mut shop = Shop::open("person").await;
    let run = shop.backed_up(false).await;
    assert!(
        run["file_path"].as_str().unwrap().ends_with(".db.gz.age"),
        "{run}"
    );
    assert_eq!(run["recipients"], json!([shop.public]));
    assert_ne!(
        run["verified_at"],
        Value::Null,
        "its checksum was compared: {run}"
    );
    let stored = fs::read(shop.stored(&run)).unwrap();
    assert!(stored.starts_with(b"age-encryption.org/v1\n"));
    let path = format!("/api/backups/runs/{}/restore-preview", run["id"]);
    let preview = shop.server.get(&path).await;
    assert_eq!(preview["identity_needed"], true, "{preview}");

    shop.bed.sh(LOST);
    let lost = note::read(&shop.bed);
    let (_, strangers) = new_key();
    for (identity, says) in [
        (json!(null), "give the private key"),
        (json!(strangers.expose()), "does not open"),
        (json!("secret"), "AGE-SECRET-KEY-1"),
        (json!(shop.private.expose()[..60]), "not whole"),
    ] {
        let (status, answer) = shop.restored(&run, json!({ "identity": identity })).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        let said = answer["fields"]["identity"].as_str().unwrap_or_default();
        assert!(said.contains(says), "{answer}");
    }
    assert_eq!(note::read(&shop.bed), lost, "nothing was touched");
    assert_eq!(shop.server.get("/api/restores").await, json!([]));

    let key = json!({ "identity": shop.private.expose() });
    let (_, restore) = shop.restored(&run, key.clone()).await;
    assert_eq!(restore["status"], "success", "{restore}");
    assert_eq!(note::read(&shop.bed), note::FIRST);
    shop.until_forgotten().await;

    // The server dies with the key in the vault: it is forgotten when the restore is settled.
    shop.bed.sh(LOST);
    shop.server
        .restart_with(&[("HOLDFAST_FAILPOINT", "restore.before_success")])
        .await;
    let path = format!("/api/backups/restore/{}", run["id"]);
    let asked = shop.server.post(&path, key).await;
    assert!(shop.server.ended(std::time::Duration::from_secs(60)).await);
    assert_eq!(shop.lent().await, 1);
    shop.server.restart().await;
    let settled = shop
        .server
        .wait_for_restore(asked["restore_id"].as_i64().unwrap())
        .await;
    assert_eq!(settled["status"], "success", "{settled}");
    assert_eq!(note::read(&shop.bed), note::FIRST);
    shop.until_forgotten().await;

    // The downloaded file is as good, with the key.
    shop.bed.sh(LOST);
    let fields = [("strategy", "sqlite"), ("container", "db")];
    let upload = "/api/apps/shop/backups/upload-restore";
    for (identity, says) in [
        ("", "is encrypted"),
        (strangers.expose().as_str(), "does not open"),
    ] {
        let fields = [&fields[..], &[("identity", identity)]].concat();
        let (status, answer) = shop.server.upload(upload, &fields, &stored).await.unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        let said = answer["fields"]["identity"].as_str().unwrap_or_default();
        assert!(said.contains(says), "{answer}");
    }
    let fields = [&fields[..], &[("identity", shop.private.expose().as_str())]].concat();
    let (_, answer) = shop.server.upload(upload, &fields, &stored).await.unwrap();
    let restore = answer["restore_id"]
        .as_i64()
        .unwrap_or_else(|| panic!("{answer}"));
    let restore = shop.server.wait_for_restore(restore).await;
    assert_eq!(restore["status"], "success", "{restore}");
    assert_eq!(note::read(&shop.bed), note::FIRST);

    shop.bed.sh(LOST);
    by_hand(&shop, &run);
    assert_eq!(note::read(&shop.bed), note::FIRST);
    assert_eq!(shop.with_the_key_in_it(), Vec::<PathBuf>::new());
}

/// The manifest's own commands, in a folder where the key is: `age -d … | gunzip … | …`.
fn by_hand(shop: &Shop, run: &Value) {
    let manifest = format!("{}.json", shop.stored(run).display());
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let commands: Vec<&str> = manifest["restore_by_hand"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(commands[0].contains(&shop.public), "{commands:?}");
    let reads =
        |command: &&&str| command.contains("age -d -i key.txt") && command.contains("gunzip");
    assert!(commands.iter().filter(reads).count() >= 2, "{commands:?}");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key.txt"), shop.private.expose()).unwrap();
    for command in commands {
        let done = Command::new("sh")
            .args(["-ec", command])
            .current_dir(folder.path())
            .output();
        let done = done.unwrap();
        assert!(
            done.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_has_a_key_to_it_restores_by_itself() {
    let shop = Shop::open("both").await;
    let run = shop.backed_up(true).await;
    let recipients = run["recipients"].as_array().unwrap();
    assert!(
        recipients.len() == 2 && recipients[0] == shop.public.as_str(),
        "{run}"
    );
    shop.bed.sh(LOST);
    let (_, restore) = shop.restored(&run, json!({})).await;
    assert_eq!(restore["status"], "success", "{restore}");
    // And the person needs no server.
    shop.bed.sh(LOST);
    by_hand(&shop, &run);
    assert_eq!(note::read(&shop.bed), note::FIRST);
    assert_eq!(shop.with_the_key_in_it(), Vec::<PathBuf>::new());
}
