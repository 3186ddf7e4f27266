//! Many streams over one connection, each with its own flow control (yamux), so that a big one
//! never starves a small one.
//!
//! One task drives the connection; a [`Mux`] asks it for streams. The tunnel is over when that
//! task has ended.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::io::{AsyncRead, AsyncWrite};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};
use yamux::{Config, Connection, ConnectionError, Mode};

use super::{Duplex, target::Request};

/// The most streams at once over one tunnel.
const MOST_STREAMS: usize = 1024;
/// Bytes of all streams together that one end holds while nobody reads them.
const MOST_HELD: usize = 256 << 20;
/// The longest first line of a stream.
const LONGEST_LINE: u64 = 4 << 10;
/// How long the other end may take to say whether it takes a stream.
const ANSWER: Duration = Duration::from_secs(10);

/// A stream of a tunnel.
pub type MuxStream = Compat<yamux::Stream>;

type Asked = oneshot::Sender<Result<yamux::Stream, ConnectionError>>;

/// One end of a tunnel. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mux {
    asks: mpsc::Sender<Asked>,
}

impl Mux {
    /// Over a connection; `dialled` is true on the end that has dialled. Each stream that the other end opens goes to
    /// `inbound`. The future drives the tunnel, and answers why it has ended.
    pub fn new<T>(
        io: T,
        dialled: bool,
        inbound: impl FnMut(MuxStream) + Send + 'static,
    ) -> (Self, impl Future<Output = io::Result<()>> + Send)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut config = Config::default();
        config.set_max_connection_receive_window(None);
        config.set_max_num_streams(MOST_STREAMS);
        config.set_max_connection_receive_window(Some(MOST_HELD));
        let mode = if dialled { Mode::Client } else { Mode::Server };
        let (asks, asked) = mpsc::channel(64);
        let driver =
            Driver { connection: Connection::new(io, config, mode), asked, waiting: None, inbound };
        (Self { asks }, driver.drive())
    }

    /// Opens a stream and says where it is to end.
    ///
    /// # Errors
    /// `NotConnected` when the tunnel is over; otherwise what the other end says, for people.
    pub async fn open(&self, request: &Request) -> io::Result<MuxStream> {
        let (asked, answer) = oneshot::channel();
        let over =
            || io::Error::new(io::ErrorKind::NotConnected, "The agent's connection has ended.");
        self.asks.send(asked).await.map_err(|_| over())?;
        let stream = answer.await.map_err(|_| over())?.map_err(io::Error::other)?;
        let mut stream = stream.compat();
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let shaken = async {
            stream.write_all(&line).await?;
            stream.flush().await?;
            read_answer(&mut stream).await
        };
        match timeout(ANSWER, shaken).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "The agent did not answer within 10 seconds.",
            )),
        }
    }

    /// Whether the tunnel is over.
    pub fn is_over(&self) -> bool {
        self.asks.is_closed()
    }
}

/// Reads the first line of a stream that the other end has opened.
///
/// # Errors
/// When it does not come, or is none.
pub async fn read_request(stream: &mut MuxStream) -> io::Result<Request> {
    let line = timeout(ANSWER, read_line(stream)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(serde_json::from_slice(&line)?)
}

/// Answers a request for a stream: empty when it is taken, else why not.
///
/// # Errors
/// When the other end is gone.
pub async fn answer(stream: &mut MuxStream, taken: &io::Result<()>) -> io::Result<()> {
    let mut line = match taken {
        Ok(()) => String::new(),
        Err(error) => error.to_string().replace(['\n', '\r'], " "),
    };
    line.push('\n');
    stream.write_all(line.as_bytes()).await?;
    stream.flush().await
}

async fn read_answer(stream: &mut MuxStream) -> io::Result<()> {
    let line = read_line(stream).await?;
    if line.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&line).into_owned()))
}

/// Byte by byte: nothing behind the line may be taken. It lies in memory already.
async fn read_line(stream: &mut MuxStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut reader = BufReader::with_capacity(1, stream).take(LONGEST_LINE);
    reader.read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Joins two streams until both directions have ended. What is in one when the other ends is still
/// delivered.
pub async fn join(mut a: impl Duplex + Unpin, mut b: impl Duplex + Unpin) -> io::Result<()> {
    tokio::io::copy_bidirectional_with_sizes(&mut a, &mut b, 32 << 10, 32 << 10).await.map(drop)
}

struct Driver<T, F> {
    connection: Connection<T>,
    asked: mpsc::Receiver<Asked>,
    waiting: Option<Asked>,
    inbound: F,
}

impl<T: AsyncRead + AsyncWrite + Unpin, F: FnMut(MuxStream)> Driver<T, F> {
    async fn drive(mut self) -> io::Result<()> {
        let started = Instant::now();
        let ended = poll_fn(|cx| self.poll(cx)).await;
        // Streams that are open hear of the end by the connection's own drop.
        self.asked.close();
        tracing::debug!(seconds = started.elapsed().as_secs(), "a tunnel has ended");
        match ended {
            Err(ConnectionError::Io(error)) => Err(error),
            Err(ConnectionError::Closed) | Ok(()) => Ok(()),
            Err(other) => Err(io::Error::other(other)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        loop {
            self.poll_asked(cx);
            match self.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => (self.inbound)(stream.compat()),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_asked(&mut self, cx: &mut Context<'_>) {
        loop {
            if self.waiting.is_none() {
                match self.asked.poll_recv(cx) {
                    Poll::Ready(Some(asked)) => self.waiting = Some(asked),
                    // Nobody can ask any more; what is open goes on.
                    Poll::Ready(None) | Poll::Pending => return,
                }
            }
            match self.connection.poll_new_outbound(cx) {
                Poll::Ready(opened) => {
                    if let Some(asked) = self.waiting.take() {
                        // Who has asked may have gone meanwhile.
                        let _ = asked.send(opened);
                    }
                }
                Poll::Pending => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;
    use crate::tunnel::Target;

    /// Two ends over a pipe; the second one answers each stream as `serve` says.
    fn pair(serve: fn(Request) -> io::Result<()>) -> Mux {
        let (near, far) = tokio::io::duplex(64 << 10);
        let (mux, driver) = Mux::new(near.compat(), false, |_| {});
        tokio::spawn(driver);
        let (_far, driver) = Mux::new(far.compat(), true, move |mut stream| {
            tokio::spawn(async move {
                let request = read_request(&mut stream).await.unwrap();
                let taken = serve(request);
                answer(&mut stream, &taken).await.unwrap();
                if taken.is_ok() {
                    let (mut read, mut write) = tokio::io::split(stream);
                    tokio::io::copy(&mut read, &mut write).await.unwrap();
                    write.shutdown().await.unwrap();
                }
            });
        });
        tokio::spawn(driver);
        mux
    }

    #[tokio::test]
    async fn streams_carry_bytes_and_half_closes() {
        let mux = pair(|_| Ok(()));
        let mut stream = mux.open(&Request::new(Target::Docker)).await.unwrap();
        stream.write_all(b"hello\nthere").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello\nthere");
        let ping = Request::new(Target::Ping);
        assert!(matches!(timeout(Duration::from_secs(5), mux.open(&ping)).await, Ok(Ok(_))));
    }

    #[tokio::test]
    async fn a_refusal_comes_with_its_words() {
        let mux = pair(|_| Err(io::Error::other("no\nway")));
        let error = mux.open(&Request::new(Target::Docker)).await.unwrap_err();
        assert_eq!(error.to_string(), "no way");
    }

    #[tokio::test]
    async fn a_stream_that_nobody_reads_holds_up_no_other() {
        let mux = pair(|_| Ok(()));
        let mut stuck = mux.open(&Request::new(Target::Docker)).await.unwrap();
        let flood = tokio::spawn(async move {
            let block = vec![7; 64 << 10];
            // The echo is never read: the window closes, and this waits for ever.
            loop {
                stuck.write_all(&block).await.unwrap();
            }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut other = mux.open(&Request::new(Target::Docker)).await.unwrap();
        other.write_all(b"x").await.unwrap();
        let mut byte = [0];
        timeout(Duration::from_secs(5), other.read_exact(&mut byte)).await.unwrap().unwrap();
        assert_eq!(&byte, b"x");
        flood.abort();
    }

    #[tokio::test]
    async fn an_ended_tunnel_says_so() {
        let (near, far) = tokio::io::duplex(1024);
        let (mux, driver) = Mux::new(near.compat(), false, |_| {});
        let driven = tokio::spawn(driver);
        drop(far);
        let _ = driven.await.unwrap();
        assert!(mux.is_over());
        let error = mux.open(&Request::new(Target::Docker)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    }
}
