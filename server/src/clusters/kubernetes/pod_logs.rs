//! Logs of pods: of one container, or of all containers of all pods of a workload together, in
//! bounded memory. A kubelet is read only as fast as the lines are taken.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, BytesMut};
use drover_api::PodLogLine;
use drover_kubernetes::{
    client::{Body, Cluster, Failure, FailureKind, Identity, Impersonation, Result, empty},
    facts::Facts,
    index::{Row, Scope, Selector},
};
use http::{Method, Request};
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::live::Live;
use crate::hosts::logs::Moment;

/// A longer line is cut into several.
const LONGEST_LINE: usize = 64 << 10;
/// The most lines in one message.
pub(super) const BATCH: usize = 500;
/// The most containers that are read at once.
const MOST_SOURCES: usize = 100;
/// Lines that come together are put in order: so long is waited for others.
const TOGETHER: Duration = Duration::from_millis(60);
/// After so long a container that has ended, or has not begun, is asked for again.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_LATER: Duration = Duration::from_millis(1500);
/// How long a log of what has been may be silent before it ends.
const SILENCE: Duration = Duration::from_secs(60);

/// Which part of a log is wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    /// Go on as the containers write.
    pub follow: bool,
    /// After this moment.
    pub since: Option<Moment>,
    /// The last lines only, of each container.
    pub tail: Option<u32>,
    /// Of one container only.
    pub container: Option<String>,
    /// Of the container before its last restart.
    pub previous: bool,
}

/// A container whose log is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Source {
    namespace: String,
    pod: String,
    container: String,
}

/// Makes lines of bytes.
#[derive(Default)]
struct Lines {
    rest: BytesMut,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut take: impl FnMut(&str, &str)) {
        self.rest.extend_from_slice(bytes);
        loop {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let (length, skip) = match end {
                Some(end) if end <= LONGEST_LINE => (end, end + 1),
                _ if self.rest.len() > LONGEST_LINE => (LONGEST_LINE, LONGEST_LINE),
                _ => return,
            };
            line(&self.rest[..length], &mut take);
            self.rest.advance(skip);
        }
    }

    fn finish(&mut self, mut take: impl FnMut(&str, &str)) {
        if !self.rest.is_empty() {
            line(&self.rest, &mut take);
            self.rest.clear();
        }
    }
}

fn line(bytes: &[u8], take: &mut impl FnMut(&str, &str)) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_suffix('\r').unwrap_or(&text);
    match text.split_once(' ') {
        Some((at, rest)) if Moment::parse(at).is_some() => take(at, rest),
        // An empty line has nothing behind its time.
        None if Moment::parse(text).is_some() => take(text, ""),
        _ => take("", text),
    }
}

/// The path of a container's log.
fn path(source: &Source, part: &Part, since: Option<&str>) -> Result<String> {
    let mut query = vec![
        ("container", source.container.clone()),
        ("timestamps", "true".to_owned()),
        ("follow", (part.follow && !part.previous).to_string()),
        ("previous", part.previous.to_string()),
    ];
    if let Some(tail) = part.tail {
        query.push(("tailLines", tail.to_string()));
    }
    if let Some(since) = since {
        query.push(("sinceTime", since.to_owned()));
    }
    let query = serde_urlencoded::to_string(query)
        .map_err(|error| Failure::new(FailureKind::BadRequest, error.to_string()))?;
    let Source { namespace, pod, .. } = source;
    Ok(format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?{query}"))
}

async fn open(cluster: &Cluster, user: &Impersonation, path: &str) -> Result<Body> {
    let request = Request::builder().method(Method::GET).uri(path).body(empty());
    let request = request.map_err(|_| Failure::new(FailureKind::BadRequest, "That is no path."))?;
    Ok(cluster.request(request, Identity::User(user)).await?.into_body())
}

/// What a reader of one container tells.
enum Told {
    Lines(Vec<PodLogLine>),
    /// It has no more, and why when that was no good end.
    Ended(Source, Option<Failure>),
}

struct Reader {
    live: Arc<Live>,
    user: Impersonation,
    part: Part,
    source: Source,
    to: mpsc::Sender<Told>,
    /// Of the last line.
    last: Option<Moment>,
    last_text: Option<String>,
}

impl Reader {
    async fn run(mut self) {
        let failure = loop {
            match self.read().await {
                // The one who reads has gone.
                Ok(false) => return,
                Ok(true) if !self.part.follow || self.part.previous => break None,
                Ok(true) => {
                    if self.has_ended().await {
                        break None;
                    }
                    sleep(AGAIN).await;
                }
                // A container that has not started has no log yet.
                Err(failure)
                    if self.part.follow
                        && !self.part.previous
                        && (failure.is_transient()
                            || failure.kind() == FailureKind::BadRequest) =>
                {
                    if self.has_ended().await {
                        break None;
                    }
                    sleep(AGAIN_LATER).await;
                }
                Err(failure) => break Some(failure),
            }
            // What was read is not read again.
            self.part.tail = if self.last.is_some() { None } else { self.part.tail };
        };
        let _ = self.to.send(Told::Ended(self.source, failure)).await;
    }

    /// Whether the pod will write no more.
    async fn has_ended(&self) -> bool {
        let Some(pods) = self.live.index.opened("pods") else { return false };
        match pods.get(&Scope::all(), &self.source.namespace, &self.source.pod) {
            None => true,
            Some(row) => match &row.facts {
                Facts::Pod(pod) => matches!(&*pod.phase, "Succeeded" | "Failed"),
                _ => false,
            },
        }
    }

    /// Reads until the log ends; false when nobody reads any more.
    async fn read(&mut self) -> Result<bool> {
        let since = self.last_text.clone().or_else(|| self.part.since.map(Moment::to_rfc3339));
        let path = path(&self.source, &self.part, since.as_deref())?;
        let mut body = open(&self.live.cluster, &self.user, &path).await?;
        let mut lines = Lines::default();
        loop {
            let frame = if self.part.follow {
                body.frame().await
            } else {
                timeout(SILENCE, body.frame())
                    .await
                    .map_err(|_| Failure::away("The log did not come to its end in time."))?
            };
            let mut found = Vec::new();
            let ended = match frame {
                Some(frame) => {
                    let frame = frame.map_err(Failure::from)?;
                    if let Some(bytes) = frame.data_ref() {
                        lines.push(bytes, |at, text| found.push((at.to_owned(), text.to_owned())));
                    }
                    false
                }
                None => {
                    lines.finish(|at, text| found.push((at.to_owned(), text.to_owned())));
                    true
                }
            };
            if !self.tell(found).await {
                return Ok(false);
            }
            if ended {
                return Ok(true);
            }
        }
    }

    async fn tell(&mut self, found: Vec<(String, String)>) -> bool {
        let mut batch = Vec::new();
        for (at, text) in found {
            let moment = Moment::parse(&at);
            // The cluster cuts by whole seconds; who resumes has the line at that moment.
            let known = self.last.or(self.part.since);
            if let (Some(moment), Some(known)) = (moment, known)
                && moment <= known
            {
                continue;
            }
            if moment.is_some() {
                self.last = moment;
                self.last_text = Some(at.clone());
            }
            batch.push(PodLogLine {
                at,
                pod: self.source.pod.clone(),
                container: self.source.container.clone(),
                text,
            });
        }
        batch.is_empty() || self.to.send(Told::Lines(batch)).await.is_ok()
    }
}

/// Which pods' logs are read.
#[derive(Debug, Clone)]
pub(super) enum Of {
    /// One pod.
    Pod(String),
    /// The pods with these labels.
    Pods(Selector),
}

/// The log of several containers, merged.
pub(super) struct Merged {
    live: Arc<Live>,
    user: Impersonation,
    namespace: String,
    of: Of,
    part: Part,
    readers: HashMap<Source, AbortOnDropHandle<()>>,
    ended: HashSet<Source>,
    from: mpsc::Receiver<Told>,
    to: mpsc::Sender<Told>,
    changes: tokio::sync::broadcast::Receiver<Arc<drover_kubernetes::index::Changes>>,
    ready: Vec<PodLogLine>,
    /// Of logs that are read to their ends: the lines of each, not told yet.
    queues: Queues,
    failure: Option<Failure>,
    looked: Instant,
}

impl Merged {
    /// Opens the logs.
    ///
    /// # Errors
    /// When there is no such pod, or the cluster does not let the user read its log.
    pub async fn open(
        live: Arc<Live>,
        user: Impersonation,
        namespace: &str,
        of: Of,
        part: Part,
    ) -> Result<Self> {
        // Pods are always kept: their containers' names are asked for as they are now.
        live.index.open("pods").await?;
        let (to, from) = mpsc::channel(16);
        let mut merged = Self {
            changes: live.index.changes(),
            live,
            user,
            namespace: namespace.to_owned(),
            of,
            part,
            readers: HashMap::new(),
            ended: HashSet::new(),
            from,
            to,
            ready: Vec::new(),
            queues: Queues::default(),
            failure: None,
            looked: Instant::now(),
        };
        merged.look().await?;
        Ok(merged)
    }

    fn pods(&self) -> Vec<Arc<Row>> {
        let Some(pods) = self.live.index.opened("pods") else { return Vec::new() };
        let scope = Scope::namespaces([self.namespace.as_str()]);
        match &self.of {
            Of::Pod(name) => pods.get(&scope, &self.namespace, name).into_iter().collect(),
            Of::Pods(selector) => pods.select(&scope, |row| selector.matches(&row.labels)),
        }
    }

    /// Starts to read what is new.
    async fn look(&mut self) -> Result<()> {
        self.looked = Instant::now();
        let pods = self.pods();
        if let (Of::Pod(_), true) = (&self.of, pods.is_empty()) {
            return Err(Failure::new(FailureKind::NotFound, "There is no such pod any more."));
        }
        for row in pods {
            let known = |source: &Source| source.pod == *row.name;
            if self.readers.keys().any(known) || self.ended.iter().any(known) {
                continue;
            }
            if matches!(&row.facts, Facts::Pod(pod) if pod.node.is_none()) {
                continue;
            }
            for container in self.containers(&row.name).await? {
                if self.readers.len() >= MOST_SOURCES {
                    break;
                }
                self.start(Source {
                    namespace: self.namespace.clone(),
                    pod: row.name.to_string(),
                    container,
                });
            }
        }
        Ok(())
    }

    fn start(&mut self, source: Source) {
        // What is followed comes as it comes; logs that are read to their ends wait for each other.
        let to = match self.part.follow {
            true => self.to.clone(),
            false => self.queues.open(),
        };
        let reader = Reader {
            live: self.live.clone(),
            user: self.user.clone(),
            part: self.part.clone(),
            source: source.clone(),
            to,
            last: None,
            last_text: None,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(reader.run()));
        self.readers.insert(source, task);
    }

    /// The containers of a pod whose log is wanted.
    async fn containers(&self, pod: &str) -> Result<Vec<String>> {
        if let Some(container) = &self.part.container {
            return Ok(vec![container.clone()]);
        }
        let path = format!("/api/v1/namespaces/{}/pods/{pod}", self.namespace);
        let answer =
            self.live.cluster.call(Method::GET, &path, None, Identity::User(&self.user)).await;
        let pod = match answer {
            Ok(answer) => answer.value,
            Err(failure) if failure.is_not_found() => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        };
        let fields = ["initContainers", "containers", "ephemeralContainers"];
        let all = fields.iter().filter_map(|field| pod["spec"][field].as_array()).flatten();
        Ok(all.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect())
    }

    /// The next lines; `None` after the last. They are in order of time: of what is followed, as
    /// far as they came together; of logs that are read to their ends, all of them.
    pub async fn next(&mut self) -> Result<Option<Vec<PodLogLine>>> {
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if !self.part.follow {
                let (lines, ended) = self.queues.next().await;
                ended.into_iter().for_each(|told| self.take(Some(told)));
                if !lines.is_empty() {
                    return Ok(Some(lines));
                }
                if self.queues.is_over() && self.failure.is_none() {
                    return Ok(None);
                }
                continue;
            }
            if self.is_over() && self.ready.is_empty() {
                return Ok(None);
            }
            if !self.ready.is_empty() {
                return Ok(Some(self.collect().await));
            }
            tokio::select! {
                told = self.from.recv() => self.take(told),
                changed = self.changes.recv(), if self.part.follow => {
                    let of_pods = changed.as_ref().is_ok_and(|changed| {
                        &*changed.resource.name == "pods"
                    });
                    // Too many changes to follow: look whether a pod is new.
                    if of_pods || changed.is_err() {
                        self.look_again().await;
                    }
                }
            }
        }
    }

    async fn look_again(&mut self) {
        if self.looked.elapsed() < Duration::from_millis(300) {
            sleep(Duration::from_millis(300)).await;
        }
        if let Err(failure) = self.look().await {
            // A pod that has gone ends by its reader; what cannot be asked now may be later.
            if failure.kind() == FailureKind::Forbidden {
                self.failure = Some(failure);
            }
        }
    }

    /// Whether nothing comes any more.
    fn is_over(&self) -> bool {
        self.readers.is_empty() && (!self.part.follow || matches!(self.of, Of::Pod(_)))
    }

    fn take(&mut self, told: Option<Told>) {
        match told {
            Some(Told::Lines(lines)) => self.ready.extend(lines),
            Some(Told::Ended(source, failure)) => {
                self.readers.remove(&source);
                self.ended.insert(source);
                // Of many, one that cannot be read spoils nothing.
                if let Some(failure) = failure.filter(|failure| !failure.is_not_found())
                    && (self.readers.is_empty() && self.ended.len() == 1
                        || failure.kind() == FailureKind::Forbidden)
                {
                    self.failure = Some(failure);
                }
            }
            None => {}
        }
    }

    /// What has come, and what comes within a moment, in order.
    async fn collect(&mut self) -> Vec<PodLogLine> {
        let until = Instant::now() + TOGETHER;
        let several = self.readers.len() > 1;
        while self.ready.len() < BATCH {
            let told = if several {
                match tokio::time::timeout_at(until, self.from.recv()).await {
                    Ok(told) => told,
                    Err(_) => break,
                }
            } else {
                match self.from.try_recv() {
                    Ok(told) => Some(told),
                    Err(_) => break,
                }
            };
            self.take(told);
            if self.readers.is_empty() {
                break;
            }
        }
        let mut lines = std::mem::take(&mut self.ready);
        in_order(&mut lines);
        lines
    }
}

/// The lines of several logs, each in order of time in itself. A line is told when no other log can
/// have an earlier one any more; logs that run ahead wait meanwhile, so that little is in memory.
#[derive(Default)]
struct Queues(Vec<Queue>);

struct Queue {
    from: mpsc::Receiver<Told>,
    lines: VecDeque<(Option<Moment>, PodLogLine)>,
    /// Of the newest line: one without a time of its own stands behind it.
    last: Option<Moment>,
    over: bool,
}

impl Queues {
    fn open(&mut self) -> mpsc::Sender<Told> {
        let (to, from) = mpsc::channel(1);
        self.0.push(Queue { from, lines: VecDeque::new(), last: None, over: false });
        to
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next lines in order, and what has been told of logs that have ended.
    async fn next(&mut self) -> (Vec<PodLogLine>, Vec<Told>) {
        let (mut lines, mut ended) = (Vec::new(), Vec::new());
        while lines.len() < BATCH {
            for queue in &mut self.0 {
                ended.extend(queue.fill().await);
            }
            self.0.retain(|queue| !queue.lines.is_empty() || !queue.over);
            let first = self.0.iter_mut().min_by_key(|queue| queue.lines.front().map(|one| one.0));
            match first.and_then(|queue| queue.lines.pop_front()) {
                Some((_, line)) => lines.push(line),
                None => break,
            }
        }
        (lines, ended)
    }
}

impl Queue {
    /// Waits until there is a line, or the end.
    async fn fill(&mut self) -> Option<Told> {
        while self.lines.is_empty() && !self.over {
            match self.from.recv().await {
                Some(Told::Lines(new)) => {
                    for line in new {
                        self.last = Moment::parse(&line.at).or(self.last);
                        self.lines.push_back((self.last, line));
                    }
                }
                told => {
                    self.over = true;
                    return told;
                }
            }
        }
        None
    }
}

/// Puts lines in order of time. As texts they are not: kubelets leave out zeros at the end.
pub(super) fn in_order(lines: &mut [PodLogLine]) {
    lines.sort_by_cached_key(|line| Moment::parse(&line.at));
}

/// A line of a download.
pub(super) fn as_text(line: &PodLogLine, many: bool, timestamps: bool, out: &mut String) {
    if many {
        out.push_str(&line.pod);
        out.push('/');
        out.push_str(&line.container);
        out.push(' ');
    }
    if timestamps && !line.at.is_empty() {
        out.push_str(&line.at);
        out.push(' ');
    }
    out.push_str(&line.text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_times() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut push = |bytes: &[u8]| {
            lines.push(bytes, |at, text| found.push((at.to_owned(), text.to_owned())));
        };
        push(b"2026-01-31T08:30:00.1Z hel");
        push(b"lo\n2026-01-31T08:30:01Z\nfailed to open\n");
        lines.finish(|at, text| found.push((at.to_owned(), text.to_owned())));
        let expected = [
            ("2026-01-31T08:30:00.1Z", "hello"),
            ("2026-01-31T08:30:01Z", ""),
            ("", "failed to open"),
        ];
        assert_eq!(found, expected.map(|(at, text)| (at.to_owned(), text.to_owned())));
    }

    #[test]
    fn lines_without_an_end_do_not_pile_up() {
        let mut lines = Lines::default();
        let mut count = 0;
        for _ in 0..100 {
            lines.push(&[b'a'; 10_000], |_, _| count += 1);
        }
        assert!(count >= 15 && lines.rest.len() <= LONGEST_LINE, "{count}");
    }

    #[test]
    fn the_log_of_a_container_before_its_restart_is_not_followed() {
        let source = Source { namespace: "a".into(), pod: "b".into(), container: "c".into() };
        let part = Part { follow: true, previous: true, tail: Some(5), ..Part::default() };
        let path = path(&source, &part, Some("2026-01-31T08:30:00Z")).unwrap_or_default();
        assert!(path.contains("follow=false&previous=true&tailLines=5"), "{path}");
    }

    #[tokio::test]
    async fn logs_that_are_read_to_their_ends_are_told_in_order() {
        let line = |at: &str, pod: &str| PodLogLine {
            at: at.to_owned(),
            pod: pod.to_owned(),
            container: "c".to_owned(),
            text: String::new(),
        };
        let mut queues = Queues::default();
        let logs: [&[&[&str]]; 3] = [
            &[&["2026-01-31T08:30:00Z", "", "2026-01-31T08:30:05Z"], &["2026-01-31T08:30:06.5Z"]],
            // One that comes late, and has the earliest line.
            &[&["2026-01-31T08:29:00Z"], &["2026-01-31T08:30:06.25Z"]],
            &[],
        ];
        for (number, batches) in logs.into_iter().enumerate() {
            let to = queues.open();
            let pod = number.to_string();
            let batches: Vec<Vec<PodLogLine>> = batches
                .iter()
                .map(|batch| batch.iter().map(|at| line(at, &pod)).collect())
                .collect();
            tokio::spawn(async move {
                for batch in batches {
                    sleep(Duration::from_millis(20 * number as u64)).await;
                    assert!(to.send(Told::Lines(batch)).await.is_ok());
                }
                let source = Source { namespace: "a".into(), pod, container: "c".into() };
                assert!(to.send(Told::Ended(source, None)).await.is_ok());
            });
        }
        let (mut told, mut ends) = (Vec::new(), 0);
        while !queues.is_over() {
            let (lines, ended) = queues.next().await;
            told.extend(lines.into_iter().map(|line| format!("{} {}", line.pod, line.at)));
            ends += ended.len();
        }
        let expected = [
            "1 2026-01-31T08:29:00Z",
            "0 2026-01-31T08:30:00Z",
            "0 ",
            "0 2026-01-31T08:30:05Z",
            "1 2026-01-31T08:30:06.25Z",
            "0 2026-01-31T08:30:06.5Z",
        ];
        assert_eq!((told, ends), (expected.map(str::to_owned).to_vec(), 3));
    }
}
