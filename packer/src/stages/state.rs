//! What a stage is at one moment: files, config, variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::Base;
use crate::containerfile::expand;
use crate::image::{ImageConfig, PATH, Platform, RootFs, RunConfig};
use crate::package::Command;
use crate::rootfs::{Tree, plain};

/// What a command's line is given to when nobody says otherwise.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// A stage.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) base: Option<Arc<Base>>,
    pub(super) tree: Tree,
    /// Without the layer of its own.
    pub(super) config: ImageConfig,
    /// The arguments that were declared in it.
    pub(super) arguments: BTreeMap<String, String>,
    /// Whether `CMD` was said in it, and is not the base's.
    pub(super) has_command: bool,
}

impl State {
    /// On nothing.
    pub(super) fn scratch(platform: &Platform) -> Self {
        Self {
            config: ImageConfig {
                architecture: platform.architecture.clone(),
                os: platform.os.clone(),
                variant: platform.variant.clone(),
                config: RunConfig {
                    env: vec![PATH.to_owned()],
                    ..RunConfig::default()
                },
                rootfs: RootFs {
                    kind: "layers".to_owned(),
                    diff_ids: Vec::new(),
                },
                ..ImageConfig::default()
            },
            ..Self::default()
        }
    }

    /// On an image.
    pub(super) fn on(base: Arc<Base>) -> Self {
        let mut config = base.image().config.clone();
        config.created = None;
        if !config
            .config
            .env
            .iter()
            .any(|line| line.starts_with("PATH="))
        {
            config.config.env.insert(0, PATH.to_owned());
        }
        Self {
            tree: Tree::on(Arc::clone(base.contents())),
            config,
            base: Some(base),
            ..Self::default()
        }
    }

    /// On what an earlier stage has become; its arguments are its own.
    pub(super) fn after(earlier: &Self) -> Self {
        Self {
            arguments: BTreeMap::new(),
            has_command: false,
            ..earlier.clone()
        }
    }

    /// The value of a variable: what `ENV` says goes before what `ARG` says.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let environment = self.config.config.env.iter();
        let set = environment
            .filter_map(|line| line.split_once('='))
            .find(|(known, _)| *known == name);
        match set {
            Some((_, value)) => Some(value.to_owned()),
            None => self.arguments.get(name).cloned(),
        }
    }

    pub(super) fn expand(&self, text: &str, escape: char) -> Result<String, String> {
        expand(text, escape, &|name| self.variable(name))
    }

    /// A path of an instruction as seen from the root: relative ones begin in the working folder.
    pub(super) fn absolute(&self, text: &str) -> PathBuf {
        let folder = Path::new("/").join(&self.config.config.working_dir);
        plain(&folder.join(text))
    }

    /// The words of a command in the config.
    pub(super) fn command(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Words(words) => words.clone(),
            Command::Line(line) => {
                let shell = match self.config.config.shell.as_slice() {
                    [] => SHELL.map(ToOwned::to_owned).to_vec(),
                    words => words.to_vec(),
                };
                [shell.as_slice(), std::slice::from_ref(line)].concat()
            }
        }
    }
}
