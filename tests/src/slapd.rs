//! A real OpenLDAP server of a test's own.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{Certificates, eventually};

/// Everything is under this.
pub const LDAP_SUFFIX: &str = "dc=example,dc=test";
/// The account that may read everything but passwords, and its password.
pub const LDAP_SERVICE: (&str, &str) =
    ("cn=drover,dc=example,dc=test", "service-account-of-the-test");

const ADMIN: (&str, &str) = ("cn=admin,dc=example,dc=test", "admin-of-the-test");

/// Attributes and classes of FreeIPA and 389 Directory Server, as far as the presets name them.
const SCHEMA: &str = "
objectidentifier Test 1.3.6.1.4.1.4203.666.77
attributetype ( Test:1 NAME 'ipaUniqueID' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( Test:2 NAME 'nsUniqueId' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( Test:3 NAME 'nsAccountLock' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( Test:11 NAME 'ipausergroup' SUP top AUXILIARY )
objectclass ( Test:12 NAME 'otherDirectory' SUP top AUXILIARY MAY ( ipaUniqueID $ nsUniqueId $ nsAccountLock ) )
";

/// A running slapd on loopback, with LDAP, StartTLS and LDAPS. It ends with the test.
pub struct Slapd {
    folder: TempDir,
    /// The authorities and certificates that it may use.
    pub certificates: Certificates,
    port: u16,
    tls_port: u16,
    process: Option<Child>,
}

impl Slapd {
    /// Starts one with the service account, `ou=people` and `ou=groups`.
    pub async fn start() -> Self {
        Self::start_with("server", "").await
    }

    /// Starts one with this of the certificates, and these entries besides, written to its database
    /// before it runs.
    pub async fn start_with(certificate: &str, ldif: &str) -> Self {
        let mut slapd = Self {
            folder: TempDir::with_prefix("drover-slapd-").unwrap(),
            certificates: Certificates::make(),
            port: free_port(),
            tls_port: free_port(),
            process: None,
        };
        std::fs::create_dir(slapd.path("data")).unwrap();
        std::fs::write(slapd.path("test.schema"), SCHEMA).unwrap();
        slapd.configure(certificate);
        slapd.load(&format!("{}\n{ldif}", base_entries()));
        slapd.run().await;
        slapd
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `host:port` for LDAP and StartTLS.
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` for LDAPS.
    pub fn tls_server(&self) -> String {
        format!("127.0.0.1:{}", self.tls_port)
    }

    /// The certificate of an authority, in PEM.
    pub fn ca(&self, name: &str) -> String {
        std::fs::read_to_string(self.certificates.path(&format!("{name}.pem"))).unwrap()
    }

    /// Has it use this of the certificates from its next start.
    pub fn configure(&self, certificate: &str) {
        let file = |name: &str| self.path(name).display().to_string();
        let (certificate, key) = (format!("{certificate}.pem"), format!("{certificate}.key"));
        let certificate = self.certificates.path(&certificate).display().to_string();
        let key = self.certificates.path(&key).display().to_string();
        let config = format!(
            "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
include {schema}
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {pid}
threads 4
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSVerifyClient never
# As servers come: no more than 500 at once, more only by pages.
sizelimit size.soft=500 size.hard=500 size.prtotal=unlimited
database mdb
suffix {LDAP_SUFFIX}
rootdn {admin}
rootpw {password}
directory {data}
maxsize 1073741824
dbnosync
overlay memberof
index objectClass eq
index uid,cn,mail eq,sub
index member,uniqueMember,memberUid,gidNumber,entryUUID,ipaUniqueID,nsUniqueId eq
access to attrs=userPassword by anonymous auth
access to * by dn.exact={service} read by * none
",
            schema = file("test.schema"),
            pid = file("pid"),
            admin = ADMIN.0,
            password = ADMIN.1,
            data = file("data"),
            service = LDAP_SERVICE.0,
        );
        std::fs::write(self.path("slapd.conf"), config).unwrap();
    }

    /// Writes entries to the database of a server that does not run.
    fn load(&self, ldif: &str) {
        let config = self.path("slapd.conf").display().to_string();
        pipe(Command::new("/usr/sbin/slapadd").args(["-q", "-f", &config]), ldif);
    }

    /// Starts it (again).
    pub async fn run(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let urls = format!("ldap://{}/ ldaps://{}/", self.server(), self.tls_server());
        let process = Command::new("/usr/sbin/slapd")
            .args(["-d", "0", "-h", &urls, "-f"])
            .arg(self.path("slapd.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        eventually("slapd is up", Duration::from_secs(20), async || {
            std::net::TcpStream::connect(self.tls_server()).ok()
        })
        .await;
    }

    /// Ends it as an administrator of the machine would.
    pub async fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        let _ = Command::new("kill").arg(process.id().to_string()).status();
        eventually("slapd ends", Duration::from_secs(20), async || process.try_wait().unwrap())
            .await;
    }

    /// Holds it where it is: it takes connections and answers nothing, until [`Slapd::go_on`].
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// The reverse of [`Slapd::freeze`].
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// Changes entries by LDIF with `changetype`; entries without one are added.
    pub fn change(&self, ldif: &str) {
        let server = format!("ldap://{}", self.server());
        let mut command = Command::new("ldapmodify");
        command.args(["-a", "-x", "-H", &server, "-D", ADMIN.0, "-w", ADMIN.1]);
        pipe(&mut command, ldif);
    }

    /// Adds somebody with this login and password, and answers the DN.
    pub fn add_user(&self, login: &str, password: &str) -> String {
        self.change(&user_ldif(login, password));
        user_dn(login)
    }

    /// Adds a `groupOfNames` with these DNs as members, and answers its DN.
    pub fn add_group(&self, name: &str, members: &[&str]) -> String {
        self.change(&group_ldif(name, members));
        group_dn(name)
    }

    /// Removes an entry.
    pub fn delete(&self, dn: &str) {
        self.change(&format!("dn: {dn}\nchangetype: delete\n"));
    }

    /// Replaces the values of an attribute; none removes it.
    pub fn replace(&self, dn: &str, attribute: &str, values: &[&str]) {
        let mut ldif = format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n");
        for value in values {
            let _ = writeln!(ldif, "{attribute}: {value}");
        }
        self.change(&ldif);
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The DN of somebody whom [`user_ldif`] makes.
pub fn user_dn(login: &str) -> String {
    format!("uid={login},ou=people,{LDAP_SUFFIX}")
}

/// The DN of a group that [`group_ldif`] makes.
pub fn group_dn(name: &str) -> String {
    format!("cn={name},ou=groups,{LDAP_SUFFIX}")
}

/// Somebody's entry.
pub fn user_ldif(login: &str, password: &str) -> String {
    format!(
        "dn: {}\nobjectClass: inetOrgPerson\nuid: {login}\ncn: {login} Example\nsn: Example\nmail: \
         {login}@example.test\nuserPassword: {password}\n\n",
        user_dn(login)
    )
}

/// A group's entry.
pub fn group_ldif(name: &str, members: &[&str]) -> String {
    let mut ldif = format!("dn: {}\nobjectClass: groupOfNames\ncn: {name}\n", group_dn(name));
    for member in members {
        let _ = writeln!(ldif, "member: {member}");
    }
    ldif.push('\n');
    ldif
}

fn base_entries() -> String {
    let (service, password) = LDAP_SERVICE;
    format!(
        "dn: {LDAP_SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: \
         Example\n\ndn: {service}\nobjectClass: organizationalRole\nobjectClass: \
         simpleSecurityObject\ncn: drover\nuserPassword: {password}\n\ndn: \
         ou=people,{LDAP_SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\ndn: \
         ou=groups,{LDAP_SUFFIX}\nobjectClass: organizationalUnit\nou: groups\n"
    )
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn pipe(command: &mut Command, input: &str) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
}
