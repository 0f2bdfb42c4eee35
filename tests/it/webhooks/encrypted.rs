//! Receivers that speak TLS, as other programs make them: reached once the host trusts their certificate,
//! and told of before that.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{bed::installed, server::Server};

const SMTP: &str = "aiosmtpd==1.4.6";
const PASSWORD: &str = "pass word \"%$";

struct Receivers {
    process: Child,
    said: BufReader<ChildStdout>,
    ports: Value,
    certificate: String,
    _folder: TempDir,
}

impl Receivers {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let program = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/webhooks/receivers.py"
        );
        let mut process = Command::new(installed(SMTP).join("python"))
            .arg(program)
            .args([path("cert.pem"), path("key.pem")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut receivers = Self {
            said: BufReader::new(process.stdout.take().unwrap()),
            process,
            ports: Value::Null,
            certificate: path("cert.pem").to_str().unwrap().to_owned(),
            _folder: folder,
        };
        receivers.ports = receivers.next();
        receivers
    }

    /// What came in next.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// A webhook to each of them.
    fn webhooks(&self) -> [Value; 3] {
        let mail = |security: &str| {
            json!({
                "kind": "email",
                "secret": PASSWORD,
                "settings": {
                    "host": "localhost",
                    "port": self.ports[security].to_string(),
                    "security": security,
                    "user": "ada",
                    "from": "backups@example.org",
                    "to": "ada@example.org",
                },
            })
        };
        let url = format!("https://localhost:{}/hook", self.ports["https"]);
        [mail("starttls"), mail("tls"), json!({ "url": url })]
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_with_tls_are_reached_as_soon_as_their_certificate_is_trusted() {
    let mut receivers = Receivers::start();
    let mut server = Server::start(&["--private-webhooks"]).await;
    let mut ids = Vec::new();
    for webhook in receivers.webhooks() {
        ids.push(server.post("/api/webhooks", webhook).await["id"].clone());
    }
    let test = "/api/webhooks/test";
    for id in &ids {
        let tested = server.post(test, json!({ "id": id })).await;
        let problem = tested["error"].as_str().unwrap();
        assert_eq!(tested["ok"], false, "{tested}");
        assert!(problem.contains("certificate"), "{problem}");
    }

    let trusted = [("SSL_CERT_FILE", receivers.certificate.as_str())];
    server.restart_with(&trusted).await;
    for (id, kind) in ids.iter().zip(["starttls", "tls", "https"]) {
        let tested = server.post(test, json!({ "id": id })).await;
        assert_eq!(tested["ok"], true, "{kind}: {tested}");
        let came = receivers.next();
        assert_eq!(came["kind"], kind);
        let text = came["text"].as_str().unwrap();
        assert!(text.contains("test"), "{text}");
        if kind != "https" {
            assert_eq!(came["login"], true, "{came}");
        }
    }

    let wrong = json!({ "secret": "another" });
    let path = format!("/api/webhooks/{}", ids[0]);
    let changed = server.try_call(Method::PUT, &path, Some(wrong)).await;
    assert!(changed.unwrap().0.is_success());
    let refused = server.post(test, json!({ "id": ids[0] })).await;
    assert_eq!(refused["error"], "it answered 535", "{refused}");
    assert!(!server.log().contains("another"));
}
