//! The way to a cluster's API server: bare bytes, before TLS. [`TcpDialer`] connects from here;
//! the server's tunnels are other implementations of [`Dial`].

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

/// How long each of look-up and connect may take.
const STEP_LIMIT: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is noticed after about a minute.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// A connection of bytes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens connections to one API server.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// Opens one. Errors whose text ends with a full stop are shown to people as they are.
    async fn dial(&self) -> io::Result<Box<dyn Stream>>;
}

/// Whether addresses that lead into the server's own machine or network may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Loopback, link-local (with the metadata services of clouds), unspecified and multicast
    /// addresses are refused.
    #[default]
    Elsewhere,
    /// An administrator has allowed them.
    Anywhere,
}

/// Connects by TCP from this machine.
#[derive(Debug, Clone)]
pub struct TcpDialer {
    host: String,
    port: u16,
    reach: Reach,
}

impl TcpDialer {
    /// Connects to nothing yet. `host` is a name or an address, IPv6 with or without brackets.
    pub fn new(host: &str, port: u16, reach: Reach) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        Self { host: bare.unwrap_or(host).to_owned(), port, reach }
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let unknown = |kind, why: String| {
            io::Error::new(kind, format!("The name {} could not be looked up: {why}.", self.host))
        };
        let found = timeout(STEP_LIMIT, tokio::net::lookup_host((self.host.as_str(), self.port)))
            .await
            .map_err(|_| unknown(io::ErrorKind::TimedOut, "no answer within 5 seconds".into()))?
            .map_err(|error| unknown(io::ErrorKind::NotFound, error.to_string()))?;
        let found: Vec<SocketAddr> = found.collect();
        if found.is_empty() {
            return Err(unknown(io::ErrorKind::NotFound, "it has no address".into()));
        }
        Ok(found)
    }
}

#[async_trait]
impl Dial for TcpDialer {
    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        let mut last = None;
        // The very addresses that are checked are connected to: a name that answers otherwise the
        // second time it is asked gains nothing.
        for address in self.addresses().await? {
            if self.reach == Reach::Elsewhere
                && let Some(refused) = RefusedAddress::of(address.ip())
            {
                last = Some(io::Error::new(io::ErrorKind::PermissionDenied, refused));
                continue;
            }
            match timeout(STEP_LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Requests are small and answered at once: do not wait to fill segments.
                    let _ = stream.set_nodelay(true);
                    let keepalive =
                        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 2);
                    let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                    return Ok(Box::new(stream));
                }
                Ok(Err(error)) => last = Some(error),
                Err(_) => {
                    let text = format!(
                        "{}:{} did not accept a connection within 5 seconds. Check the address and the firewall.",
                        self.host, self.port
                    );
                    last = Some(io::Error::new(io::ErrorKind::TimedOut, text));
                }
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
    }
}

/// An address that is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedAddress {
    address: IpAddr,
    what: &'static str,
}

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "The cluster's address leads to {}, {}. Use an address that the cluster has for others, or have an administrator allow such addresses.",
            self.address, self.what
        )
    }
}

impl std::error::Error for RefusedAddress {}

/// Where clouds answer their machines with credentials, outside of the link-local ranges: AWS by
/// IPv6, Alibaba, Azure.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

impl RefusedAddress {
    /// `None` when the address is fine.
    pub fn of(address: IpAddr) -> Option<Self> {
        let what = if METADATA.contains(&address) {
            Some("a metadata service of a cloud")
        } else {
            match address {
                IpAddr::V4(v4) => refused_v4(v4),
                IpAddr::V6(v6) => refused_v6(v6),
            }
        };
        what.map(|what| Self { address, what })
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_loopback() {
        Some("this server itself")
    } else if address.octets()[0] == 0 {
        Some("which is no host's address")
    } else if address.is_link_local() {
        Some("a link-local address, where clouds have their metadata services")
    } else if address.is_multicast() || address.is_broadcast() {
        Some("which is no single host's address")
    } else {
        None
    }
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("this server itself");
    }
    if address.is_unspecified() {
        return Some("which is no host's address");
    }
    if address.is_multicast() {
        return Some("which is no single host's address");
    }
    if address.is_unicast_link_local() {
        return Some("a link-local address");
    }
    carried_v4(address)
        .and_then(|v4| RefusedAddress::of(IpAddr::V4(v4)))
        .map(|refused| refused.what)
}

/// The IPv4 address that an IPv6 address leads to: mapped (`::ffff:0:0/96`), compatible (`::/96`),
/// by NAT64 (`64:ff9b::/96`) or by 6to4 (`2002::/16`).
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let low = |parts: [u16; 8]| {
        let [a, b] = parts[6].to_be_bytes();
        let [c, d] = parts[7].to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        parts @ ([0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..]) => {
            Some(low(parts))
        }
        [0x2002, high, low, ..] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_metadata_addresses_are_refused() {
        for refused in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "100.100.100.200",
        ] {
            assert!(RefusedAddress::of(refused.parse().unwrap()).is_some(), "{refused}");
        }
        for fine in
            ["10.0.0.1", "192.168.1.1", "8.8.8.8", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1"]
        {
            assert!(RefusedAddress::of(fine.parse().unwrap()).is_none(), "{fine}");
        }
    }

    #[tokio::test]
    async fn what_is_connected_to_is_what_is_checked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // A name, not an address: only the look-up tells where it leads.
        let error = TcpDialer::new("localhost", port, Reach::Elsewhere).dial().await.err().unwrap();
        assert!(error.get_ref().unwrap().is::<RefusedAddress>(), "{error}");
        assert!(TcpDialer::new("127.0.0.1", port, Reach::Anywhere).dial().await.is_ok());
        assert!(TcpDialer::new("[::ffff:127.0.0.1]", port, Reach::Elsewhere).dial().await.is_err());
    }
}
