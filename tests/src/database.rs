//! A database of the test's own, dropped at its end.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::setting;

/// An empty database on the tests' PostgreSQL.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Creates it.
    pub async fn create() -> Self {
        let server = setting("DROVER_TEST_POSTGRES");
        let name = format!("test_{}", Uuid::new_v4().simple());
        let database = Self { server, name };
        execute(&database.server, &format!("CREATE DATABASE {}", database.name)).await;
        database
    }

    /// Its `postgres://` address.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// The host and port of its server.
    pub fn server_address(&self) -> String {
        let (_, host) = self.server.rsplit_once('@').unwrap();
        host.to_owned()
    }

    /// The address of the same database behind another host and port.
    pub fn url_through(&self, address: std::net::SocketAddr) -> String {
        let (user, _) = self.server.rsplit_once('@').unwrap();
        format!("{user}@{address}/{}", self.name)
    }

    /// A connection, for what no route tells.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    /// Everything in it as text, to look for what must not be there.
    pub async fn dump(&self) -> String {
        let mut connection = self.connect().await;
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        let mut text = String::new();
        for table in tables {
            let query =
                format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM \"{table}\" t");
            let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .fetch_one(&mut connection)
                .await
                .unwrap();
            text += &rows;
            text.push('\n');
        }
        text
    }
}

async fn execute(server: &str, statement: &str) {
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
}

impl Drop for Database {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // The test's own runtime cannot wait here.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(execute(&server, &statement));
        });
        if dropped.join().is_err() {
            eprintln!("the database {} stays", self.name);
        }
    }
}
