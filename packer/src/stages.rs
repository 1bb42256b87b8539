//! Carrying out a Containerfile without starting a process: base images are found, files are copied,
//! the config is written. Whatever needs a process (`RUN`) is refused where it stands.
//!
//! The parser ([`crate::containerfile`]) knows nothing of this room, so another one could carry out
//! the same instructions and run commands too.
//!
//! Only stages that the last one, or the one that was asked for, is made of are carried out. All that a
//! build copies ends in one layer on top of the base's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::Base;
use crate::containerfile::{Containerfile, CopySource, Fault, Instruction, Stage, expand};
use crate::image::{ImageConfig, Platform};
use crate::progress::Progress;
use crate::registry::{self, Access};
use crate::rootfs::Tree;
use crate::scratch::Scratch;

mod arguments;
mod copying;
mod execute;
mod forest;
mod ignore;
mod state;
mod unpack;

use forest::Forest;
use ignore::Ignore;
pub use ignore::IgnoreError;
use state::State;

/// A Containerfile of more than this is none that anybody wrote, in bytes.
const MOST_TEXT: u64 = 4 << 20;

/// What is built.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The Containerfile.
    pub file: PathBuf,
    /// The folder that it copies from.
    pub context: PathBuf,
    /// `--build-arg`: names and values.
    pub arguments: BTreeMap<String, String>,
    /// The stage that is wanted, and not the last one.
    pub stage: Option<String>,
}

/// Why a Containerfile was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// It or its context cannot be read.
    #[error("{} cannot be read: {cause}", .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// An instruction that is wrong or cannot be carried out here.
    #[error("{}:{fault}", .file.display())]
    Fault {
        /// The Containerfile.
        file: PathBuf,
        /// Where, and what.
        fault: Fault,
    },
    /// The patterns of what is left out.
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
    /// The configuration of registries.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// There is no such stage.
    #[error("{} has no stage \"{}\"", .file.display(), .stage.escape_debug())]
    NoStage {
        /// The Containerfile.
        file: PathBuf,
        /// What was asked for.
        stage: String,
    },
}

/// A Containerfile that was read, with the names of what is in its context.
#[derive(Debug)]
pub(crate) struct Build {
    recipe: Recipe,
    file: Containerfile,
    context: Forest,
    access: Access,
    /// What is taken out of images and archives.
    files: Arc<Scratch>,
}

/// What came of it.
pub(crate) struct Built {
    pub(crate) base: Option<Arc<Base>>,
    pub(crate) tree: Tree,
    pub(crate) config: ImageConfig,
    /// Where files of the tree are, as long as this lives.
    pub(crate) files: Arc<Scratch>,
}

impl Build {
    /// Reads the Containerfile and the names of what is in its context.
    pub(crate) fn open(recipe: &Recipe, options: &registry::Options) -> Result<Self, StageError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |cause| StageError::Unreadable { path, cause }
        };
        let text = read_text(&recipe.file).map_err(unreadable(&recipe.file))?;
        let file = Containerfile::parse(&text).map_err(|fault| StageError::Fault {
            file: recipe.file.clone(),
            fault,
        })?;
        let ignore = Ignore::find(&recipe.file, &recipe.context)?;
        let context = Forest::of_context(&recipe.context, &ignore);
        Ok(Self {
            recipe: recipe.clone(),
            file,
            context: context.map_err(unreadable(&recipe.context))?,
            access: Access::new(options.clone())?,
            files: Arc::new(Scratch::new().map_err(unreadable(&std::env::temp_dir()))?),
        })
    }

    /// Carries it out for a platform.
    pub(crate) fn execute(
        &self,
        platform: &Platform,
        progress: &dyn Progress,
    ) -> Result<Built, StageError> {
        let wanted = self.wanted()?;
        let located = |fault| StageError::Fault {
            file: self.recipe.file.clone(),
            fault,
        };
        let global = arguments::Global::of(&self.file, &self.recipe.arguments, platform);
        let mut execution = Execution {
            build: self,
            global: global.map_err(located)?,
            platform,
            progress,
            done: BTreeMap::new(),
            images: BTreeMap::new(),
        };
        for number in self.needed(wanted, &execution.global).map_err(located)? {
            let state = execution.stage(number).map_err(located)?;
            execution.done.insert(number, state);
        }
        for name in execution.global.unused() {
            progress.note(&format!("no ARG takes the argument {name}"));
        }
        let state = execution.done.remove(&wanted).unwrap_or_default();
        Ok(Built {
            base: state.base,
            tree: state.tree,
            config: state.config,
            files: Arc::clone(&self.files),
        })
    }

    fn wanted(&self) -> Result<usize, StageError> {
        let last = self.file.stages.len() - 1;
        let Some(name) = &self.recipe.stage else {
            return Ok(last);
        };
        self.earlier(name, last + 1)
            .ok_or_else(|| StageError::NoStage {
                file: self.recipe.file.clone(),
                stage: name.clone(),
            })
    }

    /// The stage before `end` that a name or a number means.
    fn earlier(&self, name: &str, end: usize) -> Option<usize> {
        let named = |stage: &Stage| stage.name.as_deref() == Some(&name.to_lowercase());
        let number = || name.parse().ok().filter(|number| *number < end);
        self.file.stages[..end]
            .iter()
            .rposition(named)
            .or_else(number)
    }

    /// The stage that a `FROM` means; numbers are no names there.
    fn stage_of_from(&self, image: &str, end: usize) -> Option<usize> {
        self.earlier(image, end)
            .filter(|_| image.parse::<usize>().is_err())
    }

    /// The stages that `wanted` is made of, in their order.
    fn needed(&self, wanted: usize, global: &arguments::Global) -> Result<BTreeSet<usize>, Fault> {
        let mut needed = BTreeSet::from([wanted]);
        for number in (0..=wanted).rev() {
            if !needed.contains(&number) {
                continue;
            }
            let stage = &self.file.stages[number];
            let image = self.expand_from(stage, &stage.image, global)?;
            needed.extend(self.stage_of_from(&image, number));
            for located in &stage.instructions {
                if let Instruction::Copy(copy) = &located.instruction
                    && let Some(from) = &copy.from
                {
                    needed.extend(self.earlier(from, number));
                }
            }
        }
        Ok(needed)
    }

    fn expand_from(
        &self,
        stage: &Stage,
        text: &str,
        global: &arguments::Global,
    ) -> Result<String, Fault> {
        let lookup = |name: &str| global.get(name);
        expand(text, self.file.escape, &lookup).map_err(|message| Fault {
            position: stage.position,
            message,
        })
    }
}

/// One run through a Containerfile.
struct Execution<'a> {
    build: &'a Build,
    global: arguments::Global,
    platform: &'a Platform,
    progress: &'a dyn Progress,
    /// The stages that are there.
    done: BTreeMap<usize, State>,
    /// The images that files were copied from.
    images: BTreeMap<String, Arc<Base>>,
}

/// Whether a source is what `ADD` would fetch.
fn is_remote(source: &CopySource) -> bool {
    let starts = ["http://", "https://", "git://", "git@", "ssh://"];
    matches!(source, CopySource::Path(path) if starts.iter().any(|start| path.starts_with(start)))
}

fn read_text(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if metadata.len() > MOST_TEXT {
        let message = format!("it has more than {} MiB", MOST_TEXT >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    fs::read_to_string(path)
}
