//! Logs of containers: from the engine's frames to lines, in bounded memory.
//!
//! The engine is read only as fast as the lines are taken, so that a slow reader slows down the
//! stream and nothing piles up here.

use std::{collections::VecDeque, fmt::Write as _, mem};

use bytes::{Buf, BytesMut};
use drover_api::{LogLine, LogStream};
use futures_util::{StreamExt, stream::BoxStream};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::driver::{
    Docker, Result,
    stream::{LogFrame, LogOptions},
};

/// A longer line is cut into several.
const LONGEST_LINE: usize = 64 << 10;

/// Which part of a log a reader wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Go on as the container writes.
    pub follow: bool,
    /// After this moment.
    pub since: Option<Moment>,
    /// Up to this moment.
    pub until: Option<Moment>,
    /// The last lines only.
    pub tail: Option<u32>,
    /// Of one output only.
    pub stream: Option<LogStream>,
}

impl Wanted {
    /// As engines take it.
    pub fn options(&self) -> LogOptions {
        LogOptions {
            follow: self.follow,
            since: self.since.map(Moment::for_engine),
            until: self.until.map(Moment::for_engine),
            tail: self.tail,
            stdout: self.stream.is_none_or(|stream| stream == LogStream::Stdout),
            stderr: self.stream.is_none_or(|stream| stream == LogStream::Stderr),
        }
    }
}

/// A moment, in the precision that engines write logs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    nanoseconds: i128,
}

impl Moment {
    /// Reads an RFC 3339 time, or seconds since the Unix epoch with or without a fraction.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
            return Some(Self { nanoseconds: at.unix_timestamp_nanos() });
        }
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let seconds: u64 = seconds.parse().ok()?;
        let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
        Some(Self { nanoseconds: i128::from(seconds) * 1_000_000_000 + fraction })
    }

    /// RFC 3339, to the nanosecond.
    pub fn to_rfc3339(self) -> String {
        let at = OffsetDateTime::from_unix_timestamp_nanos(self.nanoseconds).ok();
        at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
    }

    /// As engines take it.
    fn for_engine(self) -> String {
        let (seconds, rest) = (
            self.nanoseconds.div_euclid(1_000_000_000),
            self.nanoseconds.rem_euclid(1_000_000_000),
        );
        format!("{seconds}.{rest:09}")
    }
}

/// A log's lines, in batches as they come.
pub struct Lines {
    frames: BoxStream<'static, Result<LogFrame>>,
    assembler: Assembler,
    since: Option<Moment>,
    ready: VecDeque<LogLine>,
    ended: bool,
}

impl Lines {
    /// Opens a container's log. `tty` is whether the container has a terminal.
    pub async fn open(docker: &Docker, id: &str, tty: bool, wanted: &Wanted) -> Result<Self> {
        let options = wanted.options();
        Ok(Self::of(docker.logs(id, tty, &options).await?, tty, wanted.since))
    }

    /// The lines of a log that is open already.
    pub fn of(
        frames: BoxStream<'static, Result<LogFrame>>,
        tty: bool,
        since: Option<Moment>,
    ) -> Self {
        Self { frames, assembler: Assembler::new(tty), since, ready: VecDeque::new(), ended: false }
    }

    /// The next lines, at least one and at most `most`; `None` after the last. What has come
    /// already is answered together.
    pub async fn next(&mut self, most: usize) -> Result<Option<Vec<LogLine>>> {
        while self.ready.is_empty() {
            if self.ended {
                return Ok(None);
            }
            match self.frames.next().await {
                Some(frame) => self.take(frame?),
                None => self.end(),
            }
        }
        // What lies ready, without waiting.
        while self.ready.len() < most && !self.ended {
            match futures_util::FutureExt::now_or_never(self.frames.next()) {
                Some(Some(frame)) => self.take(frame?),
                Some(None) => self.end(),
                None => break,
            }
        }
        let count = self.ready.len().min(most);
        Ok(Some(self.ready.drain(..count).collect()))
    }

    fn take(&mut self, frame: LogFrame) {
        self.assembler.push(frame);
        self.collect();
    }

    fn end(&mut self) {
        self.ended = true;
        self.assembler.finish();
        self.collect();
    }

    fn collect(&mut self) {
        // Engines answer what is at or after `since`; who resumes has the line at it.
        let since = self.since;
        let new = self.assembler.lines.drain(..).filter(|line| {
            since.is_none_or(|since| Moment::parse(&line.at).is_none_or(|at| at > since))
        });
        self.ready.extend(new);
    }
}

/// Makes lines of frames.
struct Assembler {
    /// One raw stream without frames: lines are found by their ends alone.
    tty: bool,
    stdout: Partial,
    stderr: Partial,
    lines: Vec<LogLine>,
}

#[derive(Default)]
struct Partial {
    at: String,
    text: BytesMut,
}

impl Assembler {
    fn new(tty: bool) -> Self {
        Self { tty, stdout: Partial::default(), stderr: Partial::default(), lines: Vec::new() }
    }

    fn push(&mut self, frame: LogFrame) {
        if self.tty {
            self.push_raw(&frame.bytes);
        } else {
            self.push_message(frame);
        }
    }

    /// A frame holds one message, or a part of one: each begins with a time stamp, only the last
    /// part ends the line.
    fn push_message(&mut self, frame: LogFrame) {
        let partial = match frame.stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        };
        let (at, text) = split_time(&frame.bytes);
        if partial.text.is_empty() {
            at.clone_into(&mut partial.at);
        }
        let ended = text.last() == Some(&b'\n');
        partial.text.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
        while partial.text.len() > LONGEST_LINE {
            let cut = partial.text.split_to(LONGEST_LINE);
            self.lines.push(line(&partial.at, frame.stream, &cut));
        }
        if ended {
            let text = partial.text.split();
            self.lines.push(line(&partial.at, frame.stream, &text));
        }
    }

    fn push_raw(&mut self, bytes: &[u8]) {
        let buffer = &mut self.stdout.text;
        buffer.extend_from_slice(bytes);
        loop {
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let text = match end {
                Some(end) if end <= LONGEST_LINE => {
                    let text = buffer.split_to(end);
                    buffer.advance(1);
                    text
                }
                _ if buffer.len() > LONGEST_LINE => buffer.split_to(LONGEST_LINE),
                _ => return,
            };
            let (at, text) = split_time(&text);
            if !at.is_empty() {
                at.clone_into(&mut self.stdout.at);
            }
            self.lines.push(line(&self.stdout.at, LogStream::Stdout, text));
        }
    }

    /// What was written last may lack a line's end.
    fn finish(&mut self) {
        for (partial, stream) in
            [(&mut self.stdout, LogStream::Stdout), (&mut self.stderr, LogStream::Stderr)]
        {
            let text = mem::take(&mut partial.text);
            if text.is_empty() {
                continue;
            }
            let (at, text) =
                if self.tty { split_time(&text) } else { (partial.at.as_str(), &text[..]) };
            self.lines.push(line(at, stream, text));
        }
    }
}

fn line(at: &str, stream: LogStream, text: &[u8]) -> LogLine {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    LogLine { at: at.to_owned(), stream, text: String::from_utf8_lossy(text).into_owned() }
}

/// Splits the time stamp from a message; an empty one when there is none.
fn split_time(bytes: &[u8]) -> (&str, &[u8]) {
    let Some(space) = bytes.iter().take(40).position(|byte| *byte == b' ') else {
        // A message without text is a time stamp alone.
        let alone = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        return match std::str::from_utf8(alone) {
            Ok(at) if looks_like_time(at) => (at, &bytes[alone.len()..]),
            _ => ("", bytes),
        };
    };
    match std::str::from_utf8(&bytes[..space]) {
        Ok(at) if looks_like_time(at) => (at, &bytes[space + 1..]),
        _ => ("", bytes),
    }
}

/// e.g. `2026-01-31T08:30:00.123456789Z`
fn looks_like_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
}

/// A line as a downloaded text file has it.
pub fn as_text(line: &LogLine, timestamps: bool, out: &mut String) {
    // Writing into a string does not fail.
    let _ = if timestamps {
        writeln!(out, "{} {}", line.at, line.text)
    } else {
        writeln!(out, "{}", line.text)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-01-31T08:30:00.123456789Z";
    const LATER: &str = "2026-01-31T08:30:01.000000000Z";

    fn frame(stream: LogStream, text: &str) -> LogFrame {
        LogFrame { stream, bytes: text.to_owned().into() }
    }

    fn texts(assembler: &mut Assembler) -> Vec<String> {
        assembler.lines.drain(..).map(|line| line.text).collect()
    }

    #[test]
    fn messages_become_lines() {
        let mut assembler = Assembler::new(false);
        assembler.push(frame(LogStream::Stdout, &format!("{AT} hello\n")));
        assembler.push(frame(LogStream::Stderr, &format!("{LATER} \u{1b}[31mred\u{1b}[0m\n")));
        assembler.push(frame(LogStream::Stdout, &format!("{LATER} \n")));
        let lines = mem::take(&mut assembler.lines);
        assert_eq!(
            lines[0],
            LogLine { at: AT.into(), stream: LogStream::Stdout, text: "hello".into() }
        );
        assert_eq!(
            (lines[1].stream, lines[1].text.as_str()),
            (LogStream::Stderr, "\u{1b}[31mred\u{1b}[0m")
        );
        assert_eq!(lines[2].text, "");
    }

    #[test]
    fn parts_of_a_long_message_are_joined_without_their_times() {
        let mut assembler = Assembler::new(false);
        assembler.push(frame(LogStream::Stdout, &format!("{AT} one ")));
        assembler.push(frame(LogStream::Stderr, &format!("{AT} between\n")));
        assembler.push(frame(LogStream::Stdout, &format!("{LATER} two\n")));
        let lines = mem::take(&mut assembler.lines);
        assert_eq!(
            lines[1],
            LogLine { at: AT.into(), stream: LogStream::Stdout, text: "one two".into() }
        );
    }

    #[test]
    fn lines_are_cut_at_the_limit() {
        let mut assembler = Assembler::new(false);
        for _ in 0..9 {
            assembler.push(frame(LogStream::Stdout, &format!("{AT} {}", "x".repeat(16 << 10))));
        }
        assembler.push(frame(LogStream::Stdout, &format!("{AT} end\n")));
        let lengths: Vec<usize> = texts(&mut assembler).iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST_LINE, LONGEST_LINE, (16 << 10) + 3]);
        assert!(assembler.stdout.text.is_empty());
    }

    #[test]
    fn a_terminal_is_one_raw_stream() {
        let mut assembler = Assembler::new(true);
        let all = format!("{AT} hello\r\n{LATER} w\u{f6}rld\r\n{LATER} rest");
        for chunk in all.as_bytes().chunks(7) {
            assembler.push(LogFrame { stream: LogStream::Stdout, bytes: chunk.to_vec().into() });
        }
        assembler.finish();
        assert_eq!(assembler.lines[1].at, LATER);
        assert_eq!(texts(&mut assembler), ["hello", "wörld", "rest"]);
    }

    #[test]
    fn binary_output_does_no_harm() {
        let mut assembler = Assembler::new(false);
        let mut bytes = format!("{AT} ").into_bytes();
        bytes.extend([0xff, 0x00, b'a', b'\n']);
        assembler.push(LogFrame { stream: LogStream::Stdout, bytes: bytes.into() });
        assert_eq!(texts(&mut assembler), ["\u{fffd}\u{0}a"]);
    }

    #[test]
    fn moments() {
        let at = Moment::parse(AT).unwrap();
        assert_eq!(at.for_engine(), "1769848200.123456789");
        assert_eq!(Moment::parse("1769848200.123456789"), Some(at));
        assert_eq!(Moment::parse("1769848200").unwrap().for_engine(), "1769848200.000000000");
        assert_eq!(Moment::parse("1.5").unwrap().for_engine(), "1.500000000");
        for bad in ["", "yesterday", "-5", "1.2.3", "1.-2"] {
            assert!(Moment::parse(bad).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn who_resumes_does_not_get_the_last_line_again() {
        let frames = vec![
            Ok(frame(LogStream::Stdout, &format!("{AT} seen\n"))),
            Ok(frame(LogStream::Stdout, &format!("{LATER} new\n"))),
        ];
        let mut lines = Lines {
            frames: futures_util::stream::iter(frames).boxed(),
            assembler: Assembler::new(false),
            since: Moment::parse(AT),
            ready: VecDeque::new(),
            ended: false,
        };
        let batch = lines.next(10).await.unwrap().unwrap();
        assert_eq!(batch.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["new"]);
        assert!(lines.next(10).await.unwrap().is_none());
    }
}
