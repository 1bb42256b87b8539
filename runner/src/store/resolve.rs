//! From what was typed to the image that is meant, as podman finds it.
//!
//! Names come before ids: `cafe` is `localhost/cafe:latest` if there is one, unless `registries.conf`
//! has an alias of this name whose image is here.

use packer::reference::Reference;
use packer::registries::{How, Registries};
use packer::{Digest, ImageName, name};

use super::{Store, StoreError, StoredImage, list};

/// What a text meant.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The image.
    pub image: StoredImage,
    /// The name by which it was found; `None` when it was an id or a digest that is no name.
    pub name: Option<Reference>,
}

impl Store {
    /// Finds the image that `text` means: a name, complete or short (`server`, `team/server:1`), an
    /// image id or the unique beginning of one, `sha256:` and an id or the
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
            let digest = digest.parse().map_err(|_| unknown())?;
            let found = self.in_repository(text, &repository, digest)?;
            return found.ok_or_else(unknown);
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
        for meant in meanings(text, complete) {
            let name = meant.name().as_ref().map(Reference::from);
            if let Some(found) = self.by_reference(name.unwrap_or(meant))? {
                return Ok(Some(found));
            }
        }
        if !is_short(text, complete) {
            return Ok(None);
        }
        let path = format!("{}:{}", complete.repository(), complete.tag());
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
                    name: Some(name.into()),
                }))
            }
            _ => Err(StoreError::Ambiguous {
                text: text.to_owned(),
                found: fitting.iter().map(|(name, _)| name.to_string()).collect(),
            }),
        }
    }

    fn by_reference(&self, name: Reference) -> Result<Option<Resolved>, StoreError> {
        let image = self.named(&name)?;
        let name = Some(name);
        Ok(image.map(|image| Resolved { image, name }))
    }

    /// The image of a repository that has this digest, or is in an index that has it.
    fn in_repository(
        &self,
        text: &str,
        repository: &ImageName,
        digest: Digest,
    ) -> Result<Option<Resolved>, StoreError> {
        let meant = meanings(text, repository);
        for one in &meant {
            if let Some(found) = self.by_reference(one.with_digest(digest))? {
                return Ok(Some(found));
            }
        }
        let short = is_short(text, repository).then(|| format!("/{}", repository.repository()));
        let fits = |name: &Reference| {
            let found = name.untagged();
            meant.iter().any(|one| one.untagged() == found)
                || short.as_ref().is_some_and(|end| found.ends_with(end))
        };
        let mut names = self.all_names()?;
        names.retain(|name, _| fits(name));
        if let Some(pinned) = names.keys().find(|name| name.digest() == Some(digest)) {
            return self.by_reference(pinned.clone());
        }
        for id in names.values() {
            if let Some(image) = self.image(id)?
                && image.digests().any(|known| *known == digest)
            {
                return Ok(Some(Resolved { image, name: None }));
            }
        }
        Ok(None)
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

/// The references that a name may mean, in podman's order: an alias, this machine, the registries that
/// are searched.
fn meanings(text: &str, complete: &ImageName) -> Vec<Reference> {
    let own = Reference::from(complete);
    if !is_short(text, complete) {
        return vec![own];
    }
    let mut all = vec![own];
    // What is wrong with the configuration is told when a registry has to be asked.
    if let Ok(meaning) = Registries::load().and_then(|registries| registries.meaning(text)) {
        let at = match meaning.how {
            How::Alias(_) => 0,
            How::Complete | How::Search(_) => all.len(),
        };
        all.splice(at..at, meaning.candidates);
    }
    let hub = format!("docker.io/{}:{}", complete.repository(), complete.tag());
    all.extend(hub.parse::<Reference>());
    all
}

/// Whether a name may mean an image of a registry that it does not name.
fn is_short(text: &str, complete: &ImageName) -> bool {
    complete.registry() == "localhost" && !text.starts_with("localhost/")
}
