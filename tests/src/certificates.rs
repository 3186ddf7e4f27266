//! Certificates for engines with mutual TLS, and for directories: good ones and bad ones.

use std::{path::PathBuf, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Certificates made by openssl, in a folder that ends with the test.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Two authorities, and what they have signed: `server`, `client`, one for another name
    /// (`misnamed`), and a client of the other authority (`stranger`). For servers that nobody
    /// should trust, see [`Certificates::expired`] and [`Certificates::self_signed`].
    pub fn make() -> Self {
        let this = Self { folder: TempDir::with_prefix("drover-tls-").unwrap() };
        this.authority("ca");
        this.authority("other-ca");
        this.leaf("server", "ca", "serverAuth", "IP:127.0.0.1,DNS:localhost");
        this.leaf("misnamed", "ca", "serverAuth", "DNS:elsewhere.test");
        this.leaf("client", "ca", "clientAuth", "DNS:client");
        this.leaf("stranger", "other-ca", "clientAuth", "DNS:client");
        this
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is in a file.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .current_dir(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes a server's certificate that was good for a day in 2020.
    pub fn expired(&self, name: &str, authority: &str, names: &str) {
        self.leaf(name, authority, "serverAuth", names);
        let config = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\n\
                      default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n";
        std::fs::write(self.path("ca.conf"), config).unwrap();
        std::fs::write(self.path("index"), "").unwrap();
        let file = |extension: &str| format!("{name}.{extension}");
        self.openssl(&[
            "ca",
            "-config",
            "ca.conf",
            "-batch",
            "-notext",
            "-in",
            &file("csr"),
            "-cert",
            &format!("{authority}.pem"),
            "-keyfile",
            &format!("{authority}.key"),
            "-startdate",
            "20200101000000Z",
            "-enddate",
            "20200102000000Z",
            "-extfile",
            "extensions",
            "-out",
            &file("pem"),
        ]);
    }

    /// Makes a server's certificate that no authority has signed.
    pub fn self_signed(&self, name: &str, names: &str) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            &format!("subjectAltName={names}"),
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ]);
    }

    fn authority(&self, name: &str) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        self.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &certificate,
        ]);
    }

    /// Makes a certificate and its key.
    pub fn leaf(&self, name: &str, authority: &str, usage: &str, names: &str) {
        std::fs::write(
            self.path("extensions"),
            format!("subjectAltName={names}\nextendedKeyUsage={usage}\n"),
        )
        .unwrap();
        let file = |extension: &str| format!("{name}.{extension}");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &file("key"),
            "-out",
            &file("csr"),
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            &file("csr"),
            "-CA",
            &format!("{authority}.pem"),
            "-CAkey",
            &format!("{authority}.key"),
            "-CAcreateserial",
            "-extfile",
            "extensions",
            "-out",
            &file("pem"),
        ]);
    }

    /// As the API takes them for a host.
    pub fn credentials(&self, ca: &str, client: &str) -> Value {
        json!({
            "ca": self.read(&format!("{ca}.pem")),
            "certificate": self.read(&format!("{client}.pem")),
            "key": self.read(&format!("{client}.key")),
        })
    }
}
