//! SPDY/3.1 as clients of Kubernetes speak it: streams with headers, data, and ends. Headers are
//! compressed with the dictionary of the specification
//! (<https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/>); ours are sent as stored
//! blocks, which every decompressor reads.

use std::collections::HashMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

const WORDS: &[&str] = &[
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];

const REST: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS {
        bytes.extend(u32::try_from(word.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(word.as_bytes());
    }
    bytes.extend(REST.as_bytes());
    bytes
}

/// Reads header blocks, one after the other: they share one compressed stream.
struct Headers {
    inflate: Decompress,
    begun: bool,
}

impl Headers {
    fn new() -> Self {
        let mut inflate = Decompress::new(false);
        // The dictionary becomes what was read before: as a stored block of its own.
        let dictionary = dictionary();
        let length = u16::try_from(dictionary.len()).unwrap_or(0);
        let mut block = vec![0];
        block.extend(length.to_le_bytes());
        block.extend((!length).to_le_bytes());
        block.extend(&dictionary);
        let mut out = vec![0; dictionary.len() + 64];
        let primed = inflate.decompress(&block, &mut out, FlushDecompress::Sync);
        debug_assert!(primed.is_ok());
        Self { inflate, begun: false }
    }

    fn read(&mut self, block: &[u8]) -> Option<HashMap<String, String>> {
        let mut block = block;
        if !self.begun {
            self.begun = true;
            let flags = *block.get(1)?;
            // The header of zlib, with the dictionary's checksum where there is one.
            block = block.get(if flags & 0x20 == 0 { 2.. } else { 6.. })?;
        }
        let mut plain = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
            self.inflate.decompress(block, &mut buffer, FlushDecompress::Sync).ok()?;
            let taken = usize::try_from(self.inflate.total_in() - read).ok()?;
            let made = usize::try_from(self.inflate.total_out() - written).ok()?;
            plain.extend_from_slice(&buffer[..made]);
            block = &block[taken..];
            if plain.len() > 64 * 1024 {
                return None;
            }
            if block.is_empty() && made < buffer.len() || taken == 0 && made == 0 {
                break;
            }
        }
        pairs(&plain)
    }
}

fn pairs(mut plain: &[u8]) -> Option<HashMap<String, String>> {
    let word = |plain: &mut &[u8]| {
        if plain.len() < 4 {
            return None;
        }
        let length = usize::try_from(plain.get_u32()).ok()?;
        let word = plain.get(..length)?;
        let word = String::from_utf8_lossy(word).into_owned();
        plain.advance(length);
        Some(word)
    };
    if plain.len() < 4 {
        return None;
    }
    let count = plain.get_u32();
    let mut all = HashMap::new();
    for _ in 0..count.min(100) {
        let name = word(&mut plain)?;
        let value = word(&mut plain)?;
        all.insert(name.to_lowercase(), value);
    }
    Some(all)
}

/// What comes from the peer.
#[derive(Debug)]
pub enum Event {
    /// A stream was opened.
    Open(u32, HashMap<String, String>),
    /// Bytes on a stream.
    Data(u32, Bytes),
    /// The peer sends no more on a stream.
    End(u32),
    /// The peer has given a stream up.
    Reset(u32),
}

/// What goes to the peer.
#[derive(Debug)]
pub enum Order {
    /// Takes a stream.
    Accept(u32),
    /// Bytes on a stream.
    Data(u32, Bytes),
    /// No more comes on a stream.
    End(u32),
    /// Ends the connection.
    Close,
}

/// The two ends of a connection.
pub struct Connection {
    /// What comes.
    pub events: mpsc::Receiver<Event>,
    /// What goes.
    pub orders: mpsc::Sender<Order>,
}

/// Speaks SPDY on a stream of bytes.
pub fn connect<S>(stream: S) -> Connection
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (to, events) = mpsc::channel(64);
    let (orders, from) = mpsc::channel(64);
    let replies = orders.clone();
    tokio::spawn(async move {
        let (reader, writer) = tokio::io::split(stream);
        tokio::select! {
            _ = read(reader, to, replies) => {}
            _ = write(writer, from) => {}
        }
    });
    Connection { events, orders }
}

async fn read<R: AsyncRead + Unpin>(
    mut reader: R,
    to: mpsc::Sender<Event>,
    replies: mpsc::Sender<Order>,
) -> Option<()> {
    let mut headers = Headers::new();
    loop {
        let mut head = [0; 8];
        reader.read_exact(&mut head).await.ok()?;
        let flags = head[4];
        let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
        if length > 4 * 1024 * 1024 {
            return None;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).await.ok()?;
        let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        if first & 0x8000_0000 == 0 {
            if !body.is_empty() {
                to.send(Event::Data(first, body.into())).await.ok()?;
            }
            if flags & 1 != 0 {
                to.send(Event::End(first)).await.ok()?;
            }
            continue;
        }
        let stream = || {
            let bytes = body.get(..4)?;
            Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) & 0x7fff_ffff)
        };
        match first & 0xffff {
            1 => {
                let stream = stream()?;
                let fields = headers.read(body.get(10..)?)?;
                to.send(Event::Open(stream, fields)).await.ok()?;
                if flags & 1 != 0 {
                    to.send(Event::End(stream)).await.ok()?;
                }
            }
            3 => to.send(Event::Reset(stream()?)).await.ok()?,
            6 => {
                // A ping of the peer's has an odd number, and comes back as it is.
                let number = stream()?;
                if number % 2 == 1 {
                    replies
                        .send(Order::Data(u32::MAX, Bytes::copy_from_slice(&body)))
                        .await
                        .ok()?;
                }
            }
            7 => return Some(()),
            _ => {}
        }
    }
}

fn frame(kind: u16, flags: u8, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + 8);
    out.put_u16(0x8003);
    out.put_u16(kind);
    out.put_u8(flags);
    out.put_uint(u64::try_from(body.len()).unwrap_or(0), 3);
    out.put(body);
    out.freeze()
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut from: mpsc::Receiver<Order>,
) -> Option<()> {
    let mut begun = false;
    while let Some(order) = from.recv().await {
        let bytes = match order {
            Order::Accept(stream) => {
                let mut body = BytesMut::new();
                body.put_u32(stream);
                if !begun {
                    begun = true;
                    body.put(&[0x78, 0x01][..]);
                }
                // No headers, as a stored block.
                body.put(&[0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0][..]);
                frame(2, 0, &body)
            }
            Order::Data(u32::MAX, ping) => frame(6, 0, &ping),
            Order::Data(stream, bytes) => {
                for piece in bytes.chunks(32 * 1024) {
                    let mut head = BytesMut::with_capacity(piece.len() + 8);
                    head.put_u32(stream);
                    head.put_u8(0);
                    head.put_uint(u64::try_from(piece.len()).unwrap_or(0), 3);
                    head.put(piece);
                    writer.write_all(&head).await.ok()?;
                }
                Bytes::new()
            }
            Order::End(stream) => {
                let mut head = BytesMut::new();
                head.put_u32(stream);
                head.put_u8(1);
                head.put_uint(0, 3);
                head.freeze()
            }
            Order::Close => {
                writer.write_all(&frame(7, 0, &[0; 8])).await.ok()?;
                writer.shutdown().await.ok()?;
                return Some(());
            }
        };
        writer.write_all(&bytes).await.ok()?;
        writer.flush().await.ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_that_of_the_specification() {
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in dictionary() {
            a = (a + u32::from(byte)) % 65_521;
            b = (b + a) % 65_521;
        }
        assert_eq!(b << 16 | a, 0xe3c6_a7c2);
    }
}
