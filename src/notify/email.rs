//! Mail: what happened, in which app, what to do, and a link to its page, as plain text.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lettre::message::{Mailbox, Mailboxes};

use super::{
    Address, AddressError, Channel, Field, Letter, Message, Recipient,
    mail::{Login, Mail, Security},
    setting_problem,
};
use crate::domain::{failure::FieldErrors, secret::Secret};

const FIELDS: &[Field] = &[
    Field {
        name: "host",
        label: "Mail server",
        help: "Name of the SMTP server, as in mail.example.org.",
        required: true,
        secret: false,
    },
    Field {
        name: "security",
        label: "Encryption",
        help: "starttls (the usual one), tls (from the first byte) or none.",
        required: false,
        secret: false,
    },
    Field {
        name: "port",
        label: "Port",
        help: "When empty: 587 with starttls, 465 with tls, 25 with none.",
        required: false,
        secret: false,
    },
    Field {
        name: "user",
        label: "User",
        help: "Empty when the server asks for no log-in.",
        required: false,
        secret: false,
    },
    Field {
        name: "password",
        label: "Password",
        help: "Never sent over a connection without encryption.",
        required: false,
        secret: true,
    },
    Field {
        name: "from",
        label: "From",
        help: "As in Holdfast <backups@example.org>.",
        required: true,
        secret: false,
    },
    Field {
        name: "to",
        label: "To",
        help: "One or more addresses, with commas between them.",
        required: true,
        secret: false,
    },
];

pub struct Email;

impl Channel for Email {
    fn kind(&self) -> &'static str {
        "email"
    }

    fn label(&self) -> &'static str {
        "E-mail (SMTP)"
    }

    fn fields(&self) -> &'static [Field] {
        FIELDS
    }

    fn usual_address(&self) -> Option<&'static str> {
        Some("")
    }

    fn address(
        &self,
        _url: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<Address, AddressError> {
        let setting = |name| super::setting(settings, name);
        let security = Security::parse(setting("security")).unwrap_or_default();
        let port = setting("port").parse().unwrap_or(security.usual_port());
        Address::of_mail_server(setting("host"), port)
    }

    fn check(
        &self,
        settings: &BTreeMap<String, String>,
        secret: Option<&Secret>,
    ) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        let setting = |name| super::setting(settings, name);
        let mut wrong =
            |name: &str, problem: &str| errors.merge(Err(setting_problem(name, problem)));
        let security = Security::parse(setting("security"));
        if security.is_none() {
            wrong("security", "use starttls, tls or none");
        }
        if !matches!(setting("port").parse::<u16>(), Ok(1..)) && !setting("port").is_empty() {
            wrong("port", "use a number from 1 to 65535");
        }
        if setting("from").parse::<Mailbox>().is_err() {
            wrong(
                "from",
                "use an address, as in Holdfast <backups@example.org>",
            );
        }
        if setting("to").parse::<Mailboxes>().is_err() {
            wrong(
                "to",
                "use addresses, as in ada@example.org, bob@example.org",
            );
        }
        if secret.is_some() && setting("user").is_empty() {
            wrong("user", "say whose password it is");
        }
        if secret.is_some() && security == Some(Security::None) {
            wrong(
                "security",
                "a password is not sent without encryption; use starttls or tls",
            );
        }
        errors.into_result()
    }

    fn letter(&self, message: &Message, to: &Recipient, _: DateTime<Utc>) -> Letter {
        let login = to.secret.as_ref().map(|password| Login {
            user: to.setting("user").to_owned(),
            password: password.clone(),
        });
        Letter::Mail(Mail {
            address: to.address.clone(),
            security: Security::parse(to.setting("security")).unwrap_or_default(),
            login,
            id: message.id.clone(),
            at: message.at,
            from: to.setting("from").to_owned(),
            to: to.setting("to").to_owned(),
            subject: subject(&message.text),
            text: text(message),
        })
    }
}

/// A line that a list of mails shows whole.
fn subject(text: &str) -> String {
    const MOST: usize = 120;
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.chars().count() <= MOST {
        return line;
    }
    format!("{}…", super::cut(&line, MOST))
}

fn text(message: &Message) -> String {
    let app = message.data["app_name"].as_str();
    let service = message.data["service"].as_str();
    let lines = [
        Some(format!("What happened: {}", message.text)),
        app.map(|app| format!("App: {app}")),
        service.map(|service| format!("Service: {service}")),
        Some(format!("When: {}", message.at.format("%F %H:%M:%S UTC"))),
        message
            .hint
            .as_ref()
            .map(|hint| format!("What to do: {hint}")),
        message
            .link
            .as_ref()
            .map(|link| format!("Its page: {link}")),
    ];
    let said: Vec<String> = lines.into_iter().flatten().collect();
    format!("{}\n", said.join("\n"))
}
