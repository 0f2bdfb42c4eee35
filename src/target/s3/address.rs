//! Which addresses may be connected to. Whoever may write a config chooses a host that this server
//! then talks to, from inside its network: other machines there, and above all what hands out the
//! keys of a cloud machine, are not to be reached that way. A name is looked up once, judged, and
//! that address is the one that is connected to, so it cannot have another meanwhile.

use std::net::{IpAddr, Ipv6Addr};

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};

const PRIVATE: &str = "its address lies in a private network; where that is wanted, start the server with --private-targets";
const METADATA: &str = "its address belongs to the machine itself, not to a store";

/// `private`: whether the server's own configuration allows private addresses.
pub fn judge(ip: IpAddr, private: bool) -> Result<(), &'static str> {
    let ip = ip.to_canonical();
    let (is_private, is_never) = match ip {
        IpAddr::V4(ip) => (
            ip.is_private() || ip.is_loopback() || is_shared(ip.octets()),
            ip.is_link_local() || ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast(),
        ),
        IpAddr::V6(ip) => (
            ip.is_loopback() || ip.is_unique_local(),
            ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                // Where one cloud keeps its metadata.
                || ip == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        ),
    };
    if is_never {
        Err(METADATA)
    } else if is_private && !private {
        Err(PRIVATE)
    } else {
        Ok(())
    }
}

/// 100.64.0.0/10, between a provider and its customers.
fn is_shared([first, second, ..]: [u8; 4]) -> bool {
    first == 100 && second & 0b1100_0000 == 64
}

/// Looks names up and gives away only what may be connected to.
#[derive(Debug, Clone)]
pub struct Resolver {
    pub private: bool,
}

/// Found in an error's sources: then it is no matter of time.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Forbidden(pub &'static str);

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await;
            let found = found.map_err(ResolveDnsError::new)?;
            let (mut allowed, mut refused) = (Vec::new(), None);
            for ip in found.map(|address| address.ip()) {
                match judge(ip, self.private) {
                    Ok(()) => allowed.push(ip),
                    Err(problem) => refused = Some(problem),
                }
            }
            match refused {
                Some(problem) if allowed.is_empty() => {
                    Err(ResolveDnsError::new(Forbidden(problem)))
                }
                _ => Ok(allowed),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_is_a_choice_and_metadata_is_none() {
        for (ip, by_default, if_allowed) in [
            ("93.184.216.34", true, true),
            ("2606:2800:220:1::1", true, true),
            ("10.1.2.3", false, true),
            ("172.16.0.1", false, true),
            ("192.168.1.1", false, true),
            ("100.64.0.1", false, true),
            ("100.128.0.1", true, true),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("::ffff:10.0.0.1", false, true),
            ("fd12::1", false, true),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fd00:ec2::254", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("224.0.0.1", false, false),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(judge(ip, false).is_ok(), by_default, "{ip}");
            assert_eq!(judge(ip, true).is_ok(), if_allowed, "{ip}");
        }
    }
}
