//! Whom a program runs as: numbers, so that a cluster can see that it is not root.

use std::fmt;
use std::str::FromStr;

/// Whom a program runs as, by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Default for User {
    /// The number that "nonroot" images agree on.
    fn default() -> Self {
        Self {
            uid: 65532,
            gid: 65532,
        }
    }
}

/// A text that is no numeric user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no numeric user: UID or UID:GID is expected", .0.escape_debug())]
pub struct InvalidUser(String);

impl FromStr for User {
    type Err = InvalidUser;

    /// Reads `UID:GID`, or `UID` for a group of the same number.
    fn from_str(text: &str) -> Result<Self, InvalidUser> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        match (uid.parse(), gid.parse()) {
            // 2^32-1 means "no user" to the kernel.
            (Ok(uid), Ok(gid)) if uid != u32::MAX && gid != u32::MAX => Ok(Self { uid, gid }),
            _ => Err(InvalidUser(text.to_owned())),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.uid, self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_or_two() {
        assert_eq!("7".parse(), Ok(User { uid: 7, gid: 7 }));
        assert_eq!("7:8".parse(), Ok(User { uid: 7, gid: 8 }));
        for text in ["", "root", "1:", ":1", "-1", "4294967295", "1:2:3"] {
            assert!(text.parse::<User>().is_err(), "{text}");
        }
    }
}
