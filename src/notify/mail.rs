//! One attempt to hand a mail to its server: at one of the addresses that were looked at, so that a name
//! that changes meanwhile leads nowhere else; the certificate is still asked for the name.

use std::{error::Error as _, io, net::SocketAddr, time::Duration};

use chrono::{DateTime, Utc};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, Mailboxes, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use tokio_rustls::rustls;

use super::{Address, SendError};
use crate::domain::secret::Secret;

const WHOLE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// Encrypted before anything is said; refused where the server cannot.
    #[default]
    StartTls,
    /// From the first byte.
    Tls,
    None,
}

impl Security {
    /// Empty is the usual one.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "starttls" | "" => Some(Self::StartTls),
            "tls" => Some(Self::Tls),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    pub fn usual_port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: Secret,
}

#[derive(Clone)]
pub struct Mail {
    pub address: Address,
    pub security: Security,
    pub login: Option<Login>,
    /// The same in every repetition: becomes the `Message-ID`, by which mail programs know it again.
    pub id: String,
    pub at: DateTime<Utc>,
    pub from: String,
    /// With commas between them.
    pub to: String,
    pub subject: String,
    pub text: String,
}

/// The server's answer to the whole mail: 250, as a rule.
pub async fn hand_over(mail: &Mail, reachable: &[SocketAddr]) -> Result<u16, SendError> {
    let message = message(mail)?;
    let server = transport(mail, reachable)?;
    let sent = tokio::time::timeout(WHOLE, server.send(message)).await;
    let answer = sent.map_err(|_| SendError::Network("it did not answer in time"))?;
    match answer {
        Ok(answer) => Ok(answer.code().into()),
        Err(error) => Err(problem(&error)),
    }
}

fn message(mail: &Mail) -> Result<Message, SendError> {
    let unfit = |_| SendError::Network("it has no address that a mail can go to");
    let from: Mailbox = mail.from.parse().map_err(unfit)?;
    let to: Mailboxes = mail.to.parse().map_err(unfit)?;
    let domain = from.email.domain().to_owned();
    let mut message = Message::builder()
        .message_id(Some(format!("<{}@{domain}>", mail.id)))
        .date(mail.at.into())
        .from(from)
        .subject(mail.subject.clone());
    for one in to {
        message = message.to(one);
    }
    message
        .header(ContentType::TEXT_PLAIN)
        .body(mail.text.clone())
        .map_err(|_| SendError::Network("what is to be told fits into no mail"))
}

fn transport(
    mail: &Mail,
    reachable: &[SocketAddr],
) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendError> {
    let unreachable = SendError::Network("it cannot be connected to");
    let first = reachable.first().ok_or(unreachable)?;
    let parameters = || {
        let made = TlsParameters::new(mail.address.host().to_owned());
        made.map_err(|_| SendError::Network("its name is none that a certificate has"))
    };
    let tls = match mail.security {
        Security::StartTls => Tls::Required(parameters()?),
        Security::Tls => Tls::Wrapper(parameters()?),
        Security::None => Tls::None,
    };
    let mut server =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(first.ip().to_string())
            .port(first.port())
            .tls(tls)
            .timeout(Some(WHOLE));
    if let Some(login) = &mail.login {
        let (user, password) = (login.user.clone(), login.password.expose().clone());
        server = server.credentials(Credentials::new(user, password));
    }
    Ok(server.build())
}

/// The library tells of a handshake that fails as of a connection that does.
fn broke_in_tls(error: &lettre::transport::smtp::Error) -> bool {
    let mut cause = error.source();
    while let Some(at) = cause {
        let inside = at.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if inside.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
            return true;
        }
        cause = at.source();
    }
    false
}

fn problem(error: &lettre::transport::smtp::Error) -> SendError {
    if let Some(code) = error.status() {
        return SendError::Answer(code.into());
    }
    SendError::Network(if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_tls() || broke_in_tls(error) {
        "it has no certificate that this server trusts, or speaks no TLS"
    } else {
        "it cannot be connected to, or does not offer what was asked for"
    })
}
