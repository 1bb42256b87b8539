//! A list of packages in a file, for `packer build -m`, as `guix pack -m` takes one.
//!
//! ```toml
//! packages = ["server", "./tool"]      # several programs in one image: the first one runs
//! ```
//!
//! or several images in one archive:
//!
//! ```toml
//! [[image]]
//! packages = ["server"]
//!
//! [[image]]
//! name = "tools"
//! packages = ["tool", "other"]
//! tags = ["localhost/tools:1"]
//! ```

use std::path::Path;

use super::document::{Document, Table};
use super::invalid::{Fault, InvalidDefinition};
use super::{PackageError, load};
use crate::name::ImageName;

const KEYS: [&str; 3] = ["name", "packages", "tags"];

/// One image of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What the image is called when it has no tags; else as its first package.
    pub name: Option<String>,
    /// The packages, each as a word for [`super::Package::named`]; at least one.
    pub packages: Vec<String>,
    /// The full names that the image gets.
    pub tags: Vec<ImageName>,
}

impl Listed {
    /// Reads a list.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn in_file(file: &Path) -> Result<Vec<Self>, PackageError> {
        let text = load::read(file)?;
        let document = Document::parse(file, &text)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        Ok(read(&document.root(), folder)?)
    }
}

fn read(root: &Table<'_>, folder: &Path) -> Result<Vec<Listed>, InvalidDefinition> {
    let Some(images) = root.get("image") else {
        return Ok(vec![image(root, folder)?]);
    };
    root.allow(&["image"])?;
    let images = images.list()?;
    images
        .iter()
        .map(|value| image(&value.table()?, folder))
        .collect()
}

fn image(table: &Table<'_>, folder: &Path) -> Result<Listed, InvalidDefinition> {
    table.allow(&KEYS)?;
    let packages = table.texts("packages")?.unwrap_or_default();
    if packages.is_empty() {
        let what = "an image needs packages: [\"NAME\", \"./folder\"]";
        return Err(table.refuse(Fault::Missing(what)));
    }
    let tags = table.list("tags")?;
    Ok(Listed {
        name: table.text("name")?,
        packages: packages.iter().map(|word| from(folder, word)).collect(),
        tags: tags
            .iter()
            .map(|tag| tag.parsed())
            .collect::<Result<_, _>>()?,
    })
}

/// A path is one from the list's folder.
fn from(folder: &Path, word: &str) -> String {
    match word.contains('/') || word.starts_with('.') {
        true => folder.join(word).to_string_lossy().into_owned(),
        false => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Result<Vec<Listed>, String> {
        let document = Document::parse(Path::new("list.toml"), text).unwrap();
        read(&document.root(), Path::new("/here")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_is_one_image_or_several() {
        let one = listed("packages = [\"a\", \"./b\"]").unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].packages, ["a", "/here/./b"]);
        let several = "[[image]]\npackages = [\"a\"]\n[[image]]\nname = \"x\"\npackages = [\"b\"]";
        let several = listed(several).unwrap();
        assert_eq!(several.len(), 2);
        assert_eq!(several[1].name.as_deref(), Some("x"));
    }

    #[test]
    fn a_wrong_list_is_refused_with_its_place() {
        for text in [
            "",
            "packages = []",
            "[[image]]\nname = \"x\"",
            "package = [\"a\"]",
        ] {
            let error = listed(text).unwrap_err();
            assert!(error.starts_with("list.toml:"), "{error}");
        }
    }
}
