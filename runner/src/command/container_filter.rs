//! Containers by what they are: `--filter` of the verbs that take one.

use anyhow::{Context as _, bail};

use crate::container::Container;
use crate::container::state::Status;

/// What `--filter` asks for.
pub(super) enum Filter {
    Id(String),
    Name(String),
    Status(String),
    Label(String, Option<String>),
    Ancestor(String),
    Exited(u8),
}

impl Filter {
    /// Every one of them has to fit.
    ///
    /// # Errors
    /// One line for what is no filter.
    pub(super) fn parse_all(texts: &[String]) -> anyhow::Result<Vec<Self>> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let owned = value.to_owned();
        Ok(match key {
            "id" => Self::Id(owned),
            "name" => Self::Name(owned),
            "status" if matches!(value, "created" | "running" | "paused" | "exited") => {
                Self::Status(owned)
            }
            "status" => bail!(
                "\"{}\" is no status: created, running, paused, exited",
                value.escape_debug()
            ),
            "label" => match value.split_once('=') {
                Some((name, value)) => Self::Label(name.to_owned(), Some(value.to_owned())),
                None => Self::Label(owned, None),
            },
            "ancestor" => Self::Ancestor(owned),
            "exited" => Self::Exited(value.parse().with_context(|| {
                let shown = value.escape_debug();
                format!("the filter exited={shown}: an exit code, 0 to 255, is expected")
            })?),
            _ => bail!(
                "\"{}\" is no filter: id, name, status, label, ancestor, exited",
                key.escape_debug()
            ),
        })
    }

    /// Whether the container is one of those.
    pub(super) fn fits(&self, container: &Container, status: &Status) -> bool {
        let record = &container.record;
        match self {
            Self::Id(text) => record.id.as_str().starts_with(text),
            Self::Name(text) => record.name.as_str().contains(text),
            Self::Status(word) => container.word(status) == word,
            Self::Label(name, value) => record
                .labels
                .get(name)
                .is_some_and(|found| value.as_ref().is_none_or(|value| value == found)),
            Self::Ancestor(image) => {
                let untagged = record.image.rsplit_once(':').map_or("", |(name, _)| name);
                record.image == *image
                    || untagged == image
                    || untagged.ends_with(&format!("/{image}"))
                    || record.image_id.hex().starts_with(image)
            }
            Self::Exited(code) => matches!(status, Status::Exited(exit) if exit.code == *code),
        }
    }
}
