//! From what was typed to the image that is meant, as podman finds it.
//!
//! Names come before ids: `cafe` is `localhost/cafe:latest` if there is one.

use packer::{Digest, ImageName, name};

use super::{Store, StoreError, StoredImage, list};

/// What a text meant.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The image.
    pub image: StoredImage,
    /// The name by which it was found; `None` when it was an id or a digest.
    pub name: Option<ImageName>,
}

impl Store {
    /// Finds the image that `text` means: a name, complete or short (`server`, `team/server:1`), an
    /// image id or the unique beginning of one (3 digits or more), `sha256:` and an id or the
    /// digest of a manifest, or a name with such a digest (`server@sha256:…`).
    ///
    /// # Errors
    /// [`StoreError::UnknownImage`], [`StoreError::Ambiguous`], [`StoreError::InvalidName`].
    pub fn resolve(&self, text: &str) -> Result<Resolved, StoreError> {
        let unknown = || StoreError::UnknownImage(text.escape_debug().to_string());
        if let Ok(digest) = text.parse() {
            let image = self.by_digest(&digest)?.ok_or_else(unknown)?;
            return Ok(Resolved { image, name: None });
        }
        if let Some((repository, digest)) = text.split_once('@') {
            let repository: ImageName = repository.parse()?;
            let image = match digest.parse() {
                Ok(digest) => self.by_digest(&digest)?.ok_or_else(unknown)?,
                Err(_) => return Err(unknown()),
            };
            let mut names = self.names_of(&image.id)?.into_iter();
            return match names.any(|name| name.untagged() == repository.untagged()) {
                true => Ok(Resolved { image, name: None }),
                false => Err(unknown()),
            };
        }
        let parsed = text.parse::<ImageName>();
        if let Ok(name) = &parsed
            && let Some(found) = self.by_name(text, name)?
        {
            return Ok(found);
        }
        if name::is_short_id(text)
            && let Some(image) = self.by_short_id(text)?
        {
            return Ok(Resolved { image, name: None });
        }
        parsed?;
        Err(unknown())
    }

    fn by_name(&self, text: &str, complete: &ImageName) -> Result<Option<Resolved>, StoreError> {
        let found = |image, name| {
            Ok(Some(Resolved {
                image,
                name: Some(name),
            }))
        };
        if let Some(image) = self.named(complete)? {
            return found(image, complete.clone());
        }
        // Only a short name may mean an image of a registry.
        if complete.registry() != "localhost" || text.starts_with("localhost/") {
            return Ok(None);
        }
        let path = format!("{}:{}", complete.repository(), complete.tag());
        if let Ok(name) = format!("docker.io/{path}").parse()
            && let Some(image) = self.named(&name)?
        {
            return found(image, name);
        }
        let end = format!("/{path}");
        let names = self.names()?;
        let fitting: Vec<_> = names
            .iter()
            .filter(|(name, _)| name.to_string().ends_with(&end))
            .collect();
        match fitting[..] {
            [] => Ok(None),
            [(name, id), ref others @ ..] if others.iter().all(|(_, other)| *other == id) => {
                let image = self.image(id)?;
                Ok(image.map(|image| Resolved {
                    image,
                    name: Some(name.clone()),
                }))
            }
            _ => Err(StoreError::Ambiguous {
                text: text.to_owned(),
                found: fitting.iter().map(|(name, _)| name.to_string()).collect(),
            }),
        }
    }

    fn by_digest(&self, digest: &Digest) -> Result<Option<StoredImage>, StoreError> {
        if let Some(image) = self.image(digest)? {
            return Ok(Some(image));
        }
        for id in list(&self.images)? {
            if let Ok(id) = Digest::from_hex(&id)
                && let Some(image) = self.image(&id)?
                && image.digest == *digest
            {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    fn by_short_id(&self, text: &str) -> Result<Option<StoredImage>, StoreError> {
        let mut ids = list(&self.images)?;
        ids.retain(|id| id.starts_with(text));
        ids.sort();
        match &ids[..] {
            [] => Ok(None),
            [id] => match Digest::from_hex(id) {
                Ok(id) => self.image(&id),
                Err(_) => Ok(None),
            },
            _ => Err(StoreError::Ambiguous {
                text: text.to_owned(),
                found: ids
                    .iter()
                    .map(|id| id[..12.min(id.len())].to_owned())
                    .collect(),
            }),
        }
    }
}
