//! Reads a kubeconfig that somebody pastes or uploads: contexts to choose from, each with what
//! keeps it from being used here, in words. Pure; nothing is connected to.
//!
//! Format: <https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/>

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::access::{Access, Basic, ClientCertificate, Credentials};

/// Longer texts are not read.
pub const MOST_BYTES: usize = 1 << 20;
/// More contexts than this are not read.
pub const MOST_CONTEXTS: usize = 1000;

/// What to do where a kubeconfig logs in by a program or an identity provider of its own.
const USE_A_TOKEN: &str = "Make a service account with a token for Drover instead, and use that: \
`kubectl create serviceaccount drover -n kube-system`, then \
`kubectl create clusterrolebinding drover --clusterrole=cluster-admin --serviceaccount=kube-system:drover`, then \
`kubectl create token drover -n kube-system --duration=8760h`. Or import the cluster with the agent.";
/// What to do where a kubeconfig names files.
const FLATTEN: &str = "The server does not have that file. Put it into the kubeconfig with \
`kubectl config view --raw --flatten --minify` and use what that prints.";

/// A kubeconfig that could be read. It holds secrets, and shows none.
#[derive(Debug)]
pub struct Kubeconfig {
    raw: Raw,
}

/// A context to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// The API server's address; empty where the cluster is not in the file.
    pub server: String,
    /// The name of its user.
    pub user: String,
    /// The namespace that it works in; empty for none.
    pub namespace: String,
    /// True for the one that `kubectl` would use.
    pub current: bool,
    /// True when the server's certificate is not checked.
    pub insecure: bool,
    /// Why it cannot be used, each with what to do; empty when it can.
    pub problems: Vec<String>,
}

impl Kubeconfig {
    /// Reads the text.
    ///
    /// # Errors
    /// A sentence, when it is no kubeconfig or too large.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > MOST_BYTES {
            return Err("The kubeconfig is larger than 1 MiB. Give only the context that you want: `kubectl config view --raw --flatten --minify`.".into());
        }
        let raw: Raw = serde_norway::from_str(text).map_err(|error| {
            let place = error
                .location()
                .map(|at| format!(" (line {}, column {})", at.line(), at.column()))
                .unwrap_or_default();
            // The error's text may quote what stands there, which may be a secret.
            format!("This is not a kubeconfig{place}. Paste the whole of what `kubectl config view --raw --flatten --minify` prints.")
        })?;
        if raw.kind.as_deref().is_some_and(|kind| kind != "Config") {
            return Err(format!(
                "This is a {}, not a kubeconfig. Paste what `kubectl config view --raw --flatten --minify` prints.",
                raw.kind.as_deref().unwrap_or_default()
            ));
        }
        if raw.contexts.is_empty() {
            return Err("The kubeconfig has no context. Paste what `kubectl config view --raw --flatten --minify` prints.".into());
        }
        if raw.contexts.len() > MOST_CONTEXTS {
            return Err(format!(
                "The kubeconfig has more than {MOST_CONTEXTS} contexts. Give only the one that you want: `kubectl config view --raw --flatten --minify`."
            ));
        }
        Ok(Self { raw })
    }

    /// All contexts, in the file's order.
    pub fn contexts(&self) -> Vec<Context> {
        self.raw
            .contexts
            .iter()
            .map(|named| {
                let cluster = self.cluster_of(&named.context);
                Context {
                    name: named.name.clone(),
                    server: cluster.and_then(|c| c.server.clone()).unwrap_or_default(),
                    user: named.context.user.clone(),
                    namespace: named.context.namespace.clone().unwrap_or_default(),
                    current: self.raw.current_context.as_deref() == Some(&named.name),
                    insecure: cluster.is_some_and(|cluster| cluster.insecure),
                    problems: self.access_of(named).err().unwrap_or_default(),
                }
            })
            .collect()
    }

    /// What the chosen context has to say; without a name, the current context, or the only one.
    ///
    /// # Errors
    /// Sentences.
    pub fn choose(&self, name: Option<&str>) -> Result<Access, Vec<String>> {
        let contexts = &self.raw.contexts;
        let wanted = name.or(self.raw.current_context.as_deref().filter(|name| !name.is_empty()));
        let found = match wanted {
            Some(name) => contexts.iter().find(|named| named.name == name),
            None if contexts.len() == 1 => contexts.first(),
            None => return Err(vec!["Choose one of the contexts.".into()]),
        };
        let missing =
            || vec![format!("The kubeconfig has no context `{}`.", wanted.unwrap_or_default())];
        self.access_of(found.ok_or_else(missing)?)
    }

    fn cluster_of(&self, context: &RawContext) -> Option<&RawCluster> {
        self.raw.clusters.iter().find(|c| c.name == context.cluster).map(|c| &c.cluster)
    }

    fn access_of(&self, named: &NamedContext) -> Result<Access, Vec<String>> {
        let context = &named.context;
        let mut problems = Vec::new();
        let Some(cluster) = self.cluster_of(context) else {
            return Err(vec![format!(
                "The cluster `{}` of this context is not in the kubeconfig.",
                context.cluster
            )]);
        };
        let user = self.raw.users.iter().find(|u| u.name == context.user).map(|u| &u.user);
        if user.is_none() && !context.user.is_empty() {
            problems.push(format!(
                "The user `{}` of this context is not in the kubeconfig.",
                context.user
            ));
        }
        let server = cluster.server.clone().unwrap_or_default();
        if let Err(problem) = super::access::check_server(&server) {
            problems.push(problem);
        }
        if cluster.proxy_url.as_deref().is_some_and(|url| !url.is_empty()) {
            problems.push("The cluster is behind a proxy (`proxy-url`), which Drover does not use. Import it with the agent, which dials out from the cluster.".into());
        }
        let ca_pem = match (&cluster.ca_data, &cluster.ca_file) {
            (Some(data), _) if !data.is_empty() => {
                take(&mut problems, pem("certificate-authority-data", data, check_certificates))
            }
            (_, Some(file)) if !file.is_empty() => {
                problems.push(format!("`certificate-authority` names the file {file}. {FLATTEN}"));
                None
            }
            _ => None,
        };
        let credentials = user.map(|user| credentials(user, &mut problems)).unwrap_or_default();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Access {
            server,
            ca_pem,
            tls_server_name: cluster.tls_server_name.clone().filter(|name| !name.is_empty()),
            insecure: cluster.insecure,
            credentials,
            namespace: context.namespace.clone().filter(|namespace| !namespace.is_empty()),
        })
    }
}

fn credentials(user: &RawUser, problems: &mut Vec<String>) -> Credentials {
    if let Some(exec) = &user.exec {
        let command = exec.command.as_deref().unwrap_or("a program");
        problems.push(format!("This user logs in by running `{command}` (an exec plug-in), which the server does not do. {USE_A_TOKEN}"));
    }
    if let Some(provider) = &user.auth_provider {
        let name = provider.name.as_deref().unwrap_or("unknown");
        problems.push(format!("This user logs in by the auth provider `{name}`, which is not supported (nor by Kubernetes since 1.26). {USE_A_TOKEN}"));
    }
    if user.impersonates() {
        problems.push("This user acts as another one (`as`, `as-groups`), and Drover acts as its users itself. Take these lines out, and use an account that may impersonate.".into());
    }
    for (field, file, data) in [
        ("client-certificate", &user.certificate_file, user.certificate_data.is_some()),
        ("client-key", &user.key_file, user.key_data.is_some()),
        ("tokenFile", &user.token_file, user.token.is_some()),
    ] {
        if let Some(file) = file.as_deref().filter(|file| !file.is_empty() && !data) {
            problems.push(format!("`{field}` names the file {file}. {FLATTEN}"));
        }
    }
    let certificate = match (&user.certificate_data, &user.key_data) {
        (Some(certificate), Some(key)) => {
            let certificate = pem("client-certificate-data", certificate, check_certificates);
            let key = pem("client-key-data", key.expose_secret(), check_key);
            let certificate = take(problems, certificate);
            take(problems, key)
                .zip(certificate)
                .map(|(key, certificate)| ClientCertificate { certificate, key: key.into() })
        }
        (None, None) => None,
        (Some(_), None) if user.key_file.is_none() => {
            problems
                .push("There is a client certificate without its key (`client-key-data`).".into());
            None
        }
        (None, Some(_)) if user.certificate_file.is_none() => {
            problems.push(
                "There is a client key without its certificate (`client-certificate-data`).".into(),
            );
            None
        }
        _ => None,
    };
    let token = user.token.clone().filter(|token| !token.expose_secret().trim().is_empty());
    if token.as_ref().is_some_and(|token| !is_header_value(token.expose_secret().trim())) {
        problems.push("The token has characters that no token has. Copy it again.".into());
    }
    let basic = match (&user.username, &user.password) {
        (Some(user), Some(password)) if !user.is_empty() => {
            Some(Basic { user: user.clone(), password: password.clone() })
        }
        _ => None,
    };
    let credentials = Credentials {
        token: token.map(|token| token.expose_secret().trim().to_owned().into()),
        certificate,
        basic,
    };
    if credentials.is_empty() && problems.is_empty() {
        problems.push(format!("This user has no credentials. {USE_A_TOKEN}"));
    }
    credentials
}

fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn take<T>(problems: &mut Vec<String>, found: Result<T, String>) -> Option<T> {
    found.map_err(|problem| problems.push(problem)).ok()
}

/// Decodes base64 of PEM text.
fn pem(field: &str, data: &str, check: fn(&str) -> Result<(), String>) -> Result<String, String> {
    let data: String = data.split_ascii_whitespace().collect();
    let bytes = BASE64_STANDARD
        .decode(data)
        .map_err(|_| format!("`{field}` is not base64. Copy the kubeconfig again."))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("`{field}` is not PEM text."))?;
    check(&text).map_err(|why| format!("`{field}` cannot be used: {why}."))?;
    Ok(text)
}

fn check_certificates(text: &str) -> Result<(), String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if found.is_empty() { Err("it holds no PEM certificate".into()) } else { Ok(()) }
}

fn check_key(text: &str) -> Result<(), String> {
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map(|_| ())
        .map_err(|_| "it holds no PEM private key".into())
}

#[derive(Debug, Deserialize)]
struct Raw {
    kind: Option<String>,
    #[serde(default, rename = "current-context")]
    current_context: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    contexts: Vec<NamedContext>,
    #[serde(default, deserialize_with = "null_is_empty")]
    clusters: Vec<NamedCluster>,
    #[serde(default, deserialize_with = "null_is_empty")]
    users: Vec<NamedUser>,
}

#[derive(Debug, Deserialize)]
struct NamedContext {
    name: String,
    #[serde(default)]
    context: RawContext,
}

#[derive(Debug, Default, Deserialize)]
struct RawContext {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    user: String,
    namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: RawCluster,
}

#[derive(Debug, Deserialize)]
struct RawCluster {
    server: Option<String>,
    #[serde(default, rename = "insecure-skip-tls-verify")]
    insecure: bool,
    #[serde(rename = "certificate-authority")]
    ca_file: Option<String>,
    #[serde(rename = "certificate-authority-data")]
    ca_data: Option<String>,
    #[serde(rename = "proxy-url")]
    proxy_url: Option<String>,
    #[serde(rename = "tls-server-name")]
    tls_server_name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    user: RawUser,
}

#[derive(Debug, Default, Deserialize)]
struct RawUser {
    #[serde(rename = "client-certificate")]
    certificate_file: Option<String>,
    #[serde(rename = "client-certificate-data")]
    certificate_data: Option<String>,
    #[serde(rename = "client-key")]
    key_file: Option<String>,
    #[serde(rename = "client-key-data")]
    key_data: Option<SecretString>,
    token: Option<SecretString>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    username: Option<String>,
    password: Option<SecretString>,
    exec: Option<RawExec>,
    #[serde(rename = "auth-provider")]
    auth_provider: Option<RawProvider>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
    #[serde(default, rename = "as-groups", deserialize_with = "null_is_empty")]
    impersonate_groups: Vec<String>,
    #[serde(rename = "as-uid")]
    impersonate_uid: Option<String>,
}

impl RawUser {
    fn impersonates(&self) -> bool {
        let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        set(&self.impersonate) || set(&self.impersonate_uid) || !self.impersonate_groups.is_empty()
    }
}

#[derive(Debug, Deserialize)]
struct RawExec {
    command: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RawProvider {
    name: Option<String>,
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str =
        "-----BEGIN CERTIFICATE-----\nMIIBAjCBqqADAgECAhQ=\n-----END CERTIFICATE-----\n";
    const KEY: &str =
        "-----BEGIN PRIVATE KEY-----\nMIIBAjCBqqADAgECAhQ=\n-----END PRIVATE KEY-----\n";

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: one\ncontexts:\n- name: one\n  context: {{cluster: c, user: u, namespace: team}}\nclusters:\n- name: c\n  cluster: {{server: \"https://k8s.test:6443\"{cluster}}}\nusers:\n- name: u\n  user: {{{user}}}\npreferences: {{}}\n"
        )
    }

    fn problems(cluster: &str, user: &str) -> Vec<String> {
        let kubeconfig = Kubeconfig::read(&kubeconfig(cluster, user)).unwrap();
        let context = kubeconfig.contexts().remove(0);
        assert_eq!(kubeconfig.choose(None).is_err(), !context.problems.is_empty());
        context.problems
    }

    fn encoded(text: &str) -> String {
        BASE64_STANDARD.encode(text)
    }

    #[test]
    fn a_token_is_taken() {
        let text = kubeconfig(
            &format!(", certificate-authority-data: {}", encoded(CA)),
            "token: \" abc.def \"",
        );
        let access = Kubeconfig::read(&text).unwrap().choose(Some("one")).unwrap();
        assert_eq!(access.server, "https://k8s.test:6443");
        assert_eq!(access.ca_pem.as_deref(), Some(CA));
        assert_eq!(access.namespace.as_deref(), Some("team"));
        assert_eq!(access.credentials.token.unwrap().expose_secret(), "abc.def");
    }

    #[test]
    fn a_certificate_is_taken_whole_or_not_at_all() {
        let certificate = format!("client-certificate-data: {}", encoded(CA));
        let both = format!("{certificate}, client-key-data: {}", encoded(KEY));
        assert_eq!(problems("", &both), Vec::<String>::new());
        assert!(problems("", &certificate)[0].contains("without its key"));
        let wrong = format!("{certificate}, client-key-data: {}", encoded("nothing"));
        assert!(problems("", &wrong)[0].contains("client-key-data"));
        assert!(
            problems("", "client-certificate-data: '%%', client-key-data: eA==")[0]
                .contains("base64")
        );
    }

    #[test]
    fn what_is_not_supported_says_what_to_do() {
        for (cluster, user, says) in [
            ("", "exec: {command: aws, apiVersion: v1}", "kubectl create token drover"),
            ("", "auth-provider: {name: gcp}", "service account"),
            ("", "token: x, as: admin", "impersonate"),
            ("", "tokenFile: /run/token", "--flatten"),
            ("", "client-certificate: /a.crt, client-key: /a.key", "--flatten"),
            (", certificate-authority: /ca.crt", "token: x", "--flatten"),
            (", proxy-url: 'http://proxy.test:1'", "token: x", "agent"),
            ("", "{}", "not a kubeconfig"),
            ("", "", "no credentials"),
            ("", "token: \"a\\nb\"", "characters"),
        ] {
            let found = match Kubeconfig::read(&kubeconfig(cluster, user)) {
                Ok(_) => problems(cluster, user),
                Err(problem) => vec![problem],
            };
            assert!(found.iter().any(|problem| problem.contains(says)), "{user}: {found:?}");
        }
    }

    #[test]
    fn other_texts_are_refused_without_quoting_them() {
        for text in ["", "token: [", "kind: Pod\n", "contexts: []", "- 1", "users: secret-text"] {
            let problem = Kubeconfig::read(text).unwrap_err();
            assert!(
                problem.contains("kubectl config view") && !problem.contains("secret-text"),
                "{problem}"
            );
        }
        assert!(Kubeconfig::read(&" ".repeat(MOST_BYTES + 1)).unwrap_err().contains("1 MiB"));
    }

    #[test]
    fn aliases_do_not_explode() {
        let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
        for (name, of) in ('b'..='k').zip('a'..) {
            text += &format!(
                "{name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]\n"
            );
        }
        assert!(Kubeconfig::read(&text).is_err());
    }

    #[test]
    fn no_secret_is_shown() {
        let text = kubeconfig("", "token: hidden-token, username: u, password: hidden-word");
        let kubeconfig = Kubeconfig::read(&text).unwrap();
        let shown = format!("{kubeconfig:?} {:?}", kubeconfig.choose(None).unwrap());
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
