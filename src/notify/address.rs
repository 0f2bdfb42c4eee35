//! Where a webhook may go. Whoever may set one could otherwise make the server ask what only the server
//! can reach: other services of its network, the addresses of a cloud's metadata. So a name is resolved
//! here, every address it has must be public, and only these are connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;

use crate::domain::secret::Secret;

const MAX: usize = 2000;

/// A checked URL. It may hold a token, so it is never printed.
#[derive(Clone)]
pub struct Address(Url);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("use a whole URL, as in https://example.org/hook")]
    NoUrl,
    #[error("use https:// or http://")]
    Scheme,
    #[error("a name or password before the host is not taken; use the webhook's own secret")]
    Login,
    #[error("use the name of a server, as in mail.example.org")]
    Host,
    #[error("an address is at most 2,000 characters long")]
    TooLong,
    #[error("{0} cannot be found")]
    Unknown(String),
    #[error(
        "{0} is an address of a private network; the server allows them when it is started with \
         --private-webhooks"
    )]
    Private(String),
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX {
            return Err(AddressError::TooLong);
        }
        let url = Url::parse(text).map_err(|_| AddressError::NoUrl)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(AddressError::Scheme);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(AddressError::NoUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Login);
        }
        Ok(Self(url))
    }

    /// A server that mails are handed to: `smtp://mail.example.org:587`.
    pub(super) fn of_mail_server(host: &str, port: u16) -> Result<Self, AddressError> {
        let host = if host.parse::<Ipv6Addr>().is_ok() {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let named = |b: u8| b.is_ascii_alphanumeric() || b"-._[:]".contains(&b);
        if host.is_empty() || host.len() > 255 || !host.bytes().all(named) {
            return Err(AddressError::Host);
        }
        let url = Url::parse(&format!("smtp://{host}:{port}"));
        url.map(Self).map_err(|_| AddressError::Host)
    }

    /// As it was sealed.
    pub fn stored(text: &str) -> Result<Self, AddressError> {
        match Url::parse(text) {
            Ok(url) if url.scheme() == "smtp" => Ok(Self(url)),
            _ => Self::parse(text),
        }
    }

    /// Some parts further down.
    pub(super) fn below(&self, parts: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{parts}", url.path().trim_end_matches('/')));
        Self(url)
    }

    /// All that may be shown: scheme, host and port.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.0.scheme(), self.authority())
    }

    pub fn secret(&self) -> Secret {
        Secret::new(self.0.to_string())
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// A name, or an address without brackets.
    pub(super) fn host(&self) -> &str {
        let host = self.0.host_str().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Host and port, as a request names them.
    pub(super) fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Path and query.
    pub(super) fn target(&self) -> String {
        let path = self.0.path();
        match self.0.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }
    }

    /// The addresses that may be connected to.
    pub async fn resolve(&self, private: bool) -> Result<Vec<SocketAddr>, AddressError> {
        let host = self.host();
        let port = self.0.port_or_known_default().unwrap_or(443);
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => match tokio::net::lookup_host((host, port)).await {
                Ok(found) => found.collect(),
                Err(_) => vec![],
            },
        };
        if found.is_empty() {
            return Err(AddressError::Unknown(host.to_owned()));
        }
        match found.iter().find(|address| !is_public(address.ip())) {
            Some(_) if !private => Err(AddressError::Private(host.to_owned())),
            _ => Ok(found),
        }
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || (a == 100 && (64..128).contains(&b)) // shared by a provider's customers
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)) // benchmarks
        || a >= 240)
}

/// Those that stand for one of version 4 are what that one is.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let v4 = |high: u16, low: u16| {
        let bits = u32::from(high) << 16 | u32::from(low);
        is_public_v4(Ipv4Addr::from_bits(bits))
    };
    match ip.segments() {
        _ if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() => false,
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 1, ..] => false, // translation inside a network
        [0x2002, high, low, ..] => v4(high, low),
        [0x2001, 0xdb8 | 0, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000, // what is given to the public today
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_only_the_server_can_reach_is_refused() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0.0.0.0:8080/",
            "http://10.1.2.3/",
            "http://172.16.0.1/",
            "http://192.168.1.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://100.64.0.1/",
            "http://198.18.0.1/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "http://[2001:db8::1]/",
            "http://localhost/",
        ] {
            let address = Address::parse(url).unwrap();
            let refused = address.resolve(false).await;
            assert!(matches!(refused, Err(AddressError::Private(_))), "{url}");
            assert!(address.resolve(true).await.is_ok(), "{url}");
        }
        for url in ["http://93.184.216.34/", "https://[2606:4700::1]:8443/x"] {
            let address = Address::parse(url).unwrap();
            assert!(address.resolve(false).await.is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_no_path_is_shown() {
        for (text, expected) in [
            ("", AddressError::NoUrl),
            ("example.org/hook", AddressError::NoUrl),
            ("file:///etc/passwd", AddressError::Scheme),
            ("gopher://example.org/", AddressError::Scheme),
            ("https://user:word@example.org/", AddressError::Login),
        ] {
            assert_eq!(Address::parse(text).err(), Some(expected), "{text}");
        }
        let long = format!("https://example.org/{}", "a".repeat(2000));
        assert_eq!(Address::parse(&long).err(), Some(AddressError::TooLong));
        let address = Address::parse("https://Example.org:8443/services/T0/B0/token?x=1").unwrap();
        assert_eq!(address.origin(), "https://example.org:8443");
    }
}
