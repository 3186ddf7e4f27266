//! The Active Directory domain controller (Samba's) that `scripts/test.sh` starts for all tests.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::setting;

/// The domain controller, as an administrator of its domain `EXAMPLE` (`example.test`).
///
/// All tests share it: take names by [`Samba::name`].
pub struct Samba {
    folder: PathBuf,
    /// Its address on loopback; the ports are the usual ones.
    pub address: String,
    /// The password of [`Samba::ADMIN`].
    pub password: String,
}

impl Samba {
    /// The domain's root.
    pub const BASE: &str = "DC=example,DC=test";
    /// Its administrator.
    pub const ADMIN: &str = "CN=Administrator,CN=Users,DC=example,DC=test";
    /// The short name of the domain.
    pub const DOMAIN: &str = "EXAMPLE";
    /// Its long name.
    pub const DNS_DOMAIN: &str = "example.test";
    /// After so many wrong passwords an account is locked.
    pub const WRONG_PASSWORDS: usize = 3;

    /// The one that runs.
    pub fn new() -> Self {
        let folder = PathBuf::from(setting("DROVER_TEST_SAMBA"));
        let read =
            |name: &str| std::fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
        Self { address: read("address"), password: read("password"), folder }
    }

    /// The authority that its certificate is of, in PEM.
    pub fn ca(&self) -> String {
        std::fs::read_to_string(self.folder.join("ca.pem")).unwrap()
    }

    /// A name that no other test has: `word` and some digits, at most 20 characters for a login.
    pub fn name(&self, word: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        format!("{word}{:05}{:03}", std::process::id() % 100_000, now.subsec_micros() % 1000)
    }

    /// Changes entries by LDIF with `changetype`; entries without one are added.
    pub fn change(&self, ldif: &str) {
        let server = format!("ldaps://{}", self.address);
        let mut child = Command::new("ldapmodify")
            .args(["-a", "-x", "-H", &server, "-D", Self::ADMIN, "-w", &self.password])
            .env("LDAPTLS_CACERT", self.folder.join("ca.pem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(ldif.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}\n{ldif}");
    }

    /// Adds somebody with this login and password, and answers the DN.
    pub fn add_user(&self, login: &str, password: &str) -> String {
        let dn = format!("CN={login},CN=Users,{}", Self::BASE);
        // MS-ADTS, 3.1.1.3.1.5: in quotes, in UTF-16.
        let quoted: Vec<u8> =
            format!("\"{password}\"").encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.change(&format!(
            "dn: {dn}\nobjectClass: user\nsAMAccountName: {login}\nuserPrincipalName: \
             {login}@{}\ndisplayName: {login} Example\nmail: {login}@mail.test\nunicodePwd:: \
             {}\nuserAccountControl: 512\n",
            Self::DNS_DOMAIN,
            STANDARD.encode(quoted),
        ));
        dn
    }

    /// Adds a global security group with these DNs as members, and answers its DN.
    pub fn add_group(&self, name: &str, members: &[&str]) -> String {
        let dn = format!("CN={name},CN=Users,{}", Self::BASE);
        let mut ldif = format!("dn: {dn}\nobjectClass: group\nsAMAccountName: {name}\n");
        for member in members {
            let _ = writeln!(ldif, "member: {member}");
        }
        self.change(&ldif);
        dn
    }

    /// Replaces the values of an attribute; none removes it.
    pub fn replace(&self, dn: &str, attribute: &str, values: &[&str]) {
        let mut ldif = format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n");
        for value in values {
            let _ = writeln!(ldif, "{attribute}: {value}");
        }
        self.change(&ldif);
    }

    /// Adds a value to an attribute.
    pub fn add_value(&self, dn: &str, attribute: &str, value: &str) {
        self.change(&format!(
            "dn: {dn}\nchangetype: modify\nadd: {attribute}\n{attribute}: {value}\n"
        ));
    }

    /// Removes an entry.
    pub fn delete(&self, dn: &str) {
        self.change(&format!("dn: {dn}\nchangetype: delete\n"));
    }
}

impl Default for Samba {
    fn default() -> Self {
        Self::new()
    }
}
