//! Mail, handed to a real listener that speaks SMTP.

use std::net::Ipv4Addr;

use holdfast::app::WebhookInput;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{Scene, channels::settings};

/// What came between `DATA` and the single dot, and for whom.
struct Mail {
    to: Vec<String>,
    text: String,
}

/// Answers the first `refused` mails with 451, takes the rest.
async fn server(refused: usize) -> (u16, mpsc::UnboundedReceiver<Mail>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, mails) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut left = refused;
        while let Ok((stream, _)) = listener.accept().await {
            if let Some(mail) = converse(stream, left > 0).await {
                sender.send(mail).ok();
            }
            left = left.saturating_sub(1);
        }
    });
    (port, mails)
}

async fn converse(stream: TcpStream, refuse: bool) -> Option<Mail> {
    let mut stream = BufReader::new(stream);
    let (mut to, mut text) = (Vec::new(), String::new());
    stream.write_all(b"220 post.example\r\n").await.ok()?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return (!text.is_empty() && !refuse).then_some(Mail { to, text });
        }
        let reply = match line.get(..4).unwrap_or_default() {
            "RCPT" => {
                to.push(line.trim().to_owned());
                "250 ok"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                while !text.ends_with("\r\n.\r\n") {
                    stream.read_line(&mut text).await.ok()?;
                }
                if refuse { "451 not now" } else { "250 taken" }
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return (!text.is_empty() && !refuse).then_some(Mail { to, text });
            }
            _ => "250 ok",
        };
        stream
            .write_all(format!("{reply}\r\n").as_bytes())
            .await
            .ok()?;
    }
}

fn to(port: u16, security: &str) -> WebhookInput {
    WebhookInput {
        kind: Some("email".into()),
        settings: settings(&[
            ("host", "127.0.0.1"),
            ("port", &port.to_string()),
            ("security", security),
            ("from", "Holdfast <backups@example.org>"),
            ("to", "ada@example.org, Bob <bob@example.org>"),
        ]),
        ..WebhookInput::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_says_what_happened_where_and_what_to_do() {
    let mut scene = Scene::new(true).await;
    let (port, mut mails) = server(0).await;
    let added = scene
        .holdfast
        .add_webhook(&scene.caller, to(port, "none"))
        .await;
    let webhook = added.unwrap().row;
    assert_eq!(
        webhook.spec().unwrap().origin,
        format!("smtp://127.0.0.1:{port}")
    );
    let position = scene.failed_run().await;

    let mail = mails.recv().await.unwrap();
    assert_eq!(
        mail.to,
        ["RCPT TO:<ada@example.org>", "RCPT TO:<bob@example.org>"]
    );
    for part in [
        &format!("Message-ID: <evt_{position}@example.org>"),
        "From: Holdfast <backups@example.org>",
        "Subject: Backup failed: Shop: the password is wrong",
        "What happened: Backup failed",
        "App: Shop",
        "What to do: set it",
        "Its page: https://backup.example.org/runs/1",
    ] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }

    // The same again has the same name, so that a mail program knows it.
    let told = scene.delivered(webhook.webhook_id()).await;
    scene
        .holdfast
        .redeliver(&scene.caller, told.id)
        .await
        .unwrap();
    let again = mails.recv().await.unwrap();
    assert_eq!(again.text, mail.text);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_refuses_or_does_not_encrypt_is_told_of() {
    let mut scene = Scene::new(true).await;
    let (port, _mails) = server(1).await;
    let (holdfast, caller) = (&scene.holdfast, &scene.caller);
    for (security, expected) in [
        ("none", Err("it answered 451")),
        ("none", Ok(250)),
        (
            "starttls",
            Err("it cannot be connected to, or does not offer what was asked for"),
        ),
        (
            "tls",
            Err("it has no certificate that this server trusts, or speaks no TLS"),
        ),
    ] {
        let added = holdfast
            .add_webhook(caller, to(port, security))
            .await
            .unwrap();
        let id = added.row.webhook_id();
        let sent = holdfast.test_webhook(caller, id).await.unwrap();
        let sent = sent.map_err(|error| error.to_string());
        assert_eq!(sent, expected.map_err(ToOwned::to_owned), "{security}");
    }
    scene.stop().await;
}
