//! Where a PostgreSQL database is. Its password is in here and comes out nowhere.

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// The parameters of an address.
const KNOWN: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The address of a PostgreSQL database: `postgres://user@host:port/database`. Shown without its password.
#[derive(Clone)]
pub struct Address {
    options: PgConnectOptions,
    has_password: bool,
}

impl Address {
    /// Whether the address has a password in it.
    pub fn has_password(&self) -> bool {
        self.has_password
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        // What is wrong is said without the text: it may hold a password.
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let Some(rest) = rest else {
            return Err("a database is written postgres://user@host:port/database".to_string());
        };
        let options = PgConnectOptions::from_str(text).map_err(|_| {
            "the database's address cannot be read: it is written postgres://user@host:port/database, with %-codes for special characters".to_string()
        })?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err("the address names no database: postgres://user@host:port/database".to_string());
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        if let Some(unknown) = query.split('&').map(key).find(|key| !key.is_empty() && !is_known(key)) {
            let shown: String = unknown.chars().take(40).collect();
            return Err(format!("the database's address has a parameter that is not known: {shown:?}"));
        }
        let in_query = query.split('&').any(|pair| pair.starts_with("password="));
        Ok(Address { options, has_password: user.contains(':') || in_query })
    }
}

/// The key of a parameter. Its value may be a password.
fn key(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

/// Whether the library heeds a parameter: it passes over the others with a warning, one misspelt included.
fn is_known(key: &str) -> bool {
    // What is escaped is the library's to read.
    key.contains('%') || key.starts_with("options[") || KNOWN.contains(&key)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self.options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", self.options.get_host(), self.options.get_port()),
        };
        let (user, database) = (self.options.get_username(), self.options.get_database().unwrap_or_default());
        write!(f, "postgres://{user}@{at}/{database}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_used_and_never_shown() {
        for text in [
            "postgres://ada:s3cret@db.local:5433/slipway",
            "postgresql://ada:s3cret@db.local:5433/slipway?sslmode=require",
            "postgres://ada@db.local:5433/slipway?password=s3cret",
        ] {
            let address: Address = text.parse().unwrap();
            assert!(address.has_password(), "{text}");
            assert_eq!(address.to_string(), "postgres://ada@db.local:5433/slipway");
            assert!(!format!("{address:?}").contains("s3cret"));
        }
        let plain: Address = "postgres://ada@db.local/slipway".parse().unwrap();
        assert!(!plain.has_password());
        let misspelt = "postgres://ada@db.local/slipway?sslmod=s3cret".parse::<Address>().unwrap_err();
        assert!(misspelt.contains("\"sslmod\"") && !misspelt.contains("s3cret"), "{misspelt}");
        let set =
            "postgres://ada@db.local/slipway?sslmode=disable&options[search_path]=x&host=%2Frun&connect_timeout=1";
        assert!(set.parse::<Address>().unwrap_err().contains("connect_timeout"), "heeded by psql alone");
        set.replace("&connect_timeout=1", "").parse::<Address>().unwrap();
        for wrong in
            ["mysql://ada:s3cret@db/x", "postgres://ada:s3cret@db:port/x", "postgres://ada:s3cret@db", "s3cret"]
        {
            let why = wrong.parse::<Address>().unwrap_err();
            assert!(!why.contains("s3cret"), "{why}");
        }
    }
}
