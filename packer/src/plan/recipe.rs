//! From a Containerfile to a plan.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Bundle, Error, Plan, Request, Targets};
use crate::image::{Platform, annotation};
use crate::package::{System, legal_name};
use crate::progress::Progress;
use crate::stages::{Build, Recipe};

impl Bundle {
    /// Carries a Containerfile out for each target of `request`, of which only what has nothing to
    /// do with a package matters. Without a name, the image is called as the context's folder is.
    ///
    /// # Errors
    /// [`Error`]; nothing was written then.
    pub fn of_recipe(
        recipe: &Recipe,
        request: &Request,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let build = Build::open(recipe, &request.registries)?;
        let title = match &request.name {
            Some(name) => legal_name(name)?,
            None => title(&recipe.context)?,
        };
        let platforms = match &request.targets {
            Targets::Listed(systems) => systems.iter().copied().map(System::platform).collect(),
            Targets::Host | Targets::All => vec![Platform::host()],
        };
        let mut plans: Vec<Plan> = Vec::new();
        for platform in platforms {
            let built = build.execute(&platform, progress)?;
            let mut annotations = BTreeMap::new();
            if let Some(base) = &built.base {
                annotations.extend(super::onto::annotations(base));
            }
            let mut config = built.config;
            if let Some(epoch) = request.epoch {
                config.created = Some(epoch.to_string());
                annotations.insert(annotation("created"), epoch.to_string());
            }
            plans.push(Plan {
                title: title.clone(),
                parts: Vec::new(),
                base: built.base,
                tree: built.tree,
                config,
                annotations,
                names: match request.tags.as_slice() {
                    [] => vec![title.parse()?],
                    tags => tags.to_vec(),
                },
                compression: request.compression.unwrap_or_default(),
                epoch: request.epoch,
                _files: Some(built.files),
            });
        }
        plans.dedup_by(|one, other| one.config == other.config && one.tree == other.tree);
        Ok(Self { plans })
    }
}

fn title(context: &Path) -> Result<String, Error> {
    let folder = context
        .canonicalize()
        .unwrap_or_else(|_| context.to_owned());
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    Ok(legal_name(&name).or_else(|_| legal_name("image"))?)
}
