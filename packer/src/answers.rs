//! What cargo and rustc were asked, and what they said.
//!
//! Each question costs tens of milliseconds, and a build that has nothing to do costs cargo itself not
//! many more. So an answer is kept with the files that it depends on, and counts as long as none
//! of them has changed, come or gone: the rule by which cargo decides what is fresh, and git what
//! is modified.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::digest::Digest;
use crate::stamp::Stamp;

/// No kept answer is longer, in bytes: the members of a workspace, a thousand bytes each.
const MOST: u64 = 1 << 23;

/// A file that was changed so shortly before could change again without another time.
const SETTLED: Duration = Duration::from_secs(1);

/// A question, with all that the answer depends on beside files.
#[derive(Debug)]
pub(crate) struct Question {
    path: Option<PathBuf>,
    asked: SystemTime,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    sources: Vec<Source>,
    text: String,
}

/// A file or folder as it was.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    path: PathBuf,
    /// An absent one has none.
    stamp: Option<Stamp>,
}

impl Source {
    fn now(path: PathBuf) -> Self {
        let stamp = fs::metadata(&path).ok().as_ref().map(Stamp::of);
        Self { path, stamp }
    }

    fn is_unchanged(&self) -> bool {
        fs::metadata(&self.path).ok().as_ref().map(Stamp::of) == self.stamp
    }
}

impl Question {
    /// A question, made of `words` and of these variables of the environment.
    pub(crate) fn new(words: &[&Path], variables: &[&str]) -> Self {
        let values = variables.iter().map(std::env::var_os);
        let mut text = Vec::new();
        for word in words {
            text.extend_from_slice(word.as_os_str().as_bytes());
            text.push(0);
        }
        for value in values {
            text.extend_from_slice(format!("{value:?}\n").as_bytes());
        }
        let name = Digest::of(&text).hex();
        let folder = cache::folder().ok();
        Self {
            path: folder.map(|folder| folder.join("answers").join(&name[..32])),
            asked: SystemTime::now(),
        }
    }

    /// The answer of last time, if it still holds.
    pub(crate) fn known(&self) -> Option<String> {
        let file = File::open(self.path.as_ref()?).ok()?;
        // In a cache that others can write to, they could tell us anything.
        if file.metadata().ok()?.uid() != geteuid().as_raw() {
            return None;
        }
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text).ok()?;
        let answer: Answer = serde_json::from_slice(&text).ok()?;
        answer
            .sources
            .iter()
            .all(Source::is_unchanged)
            .then_some(answer.text)
    }

    /// Keeps the answer with all that it was read from, absent files too. A cache that cannot be
    /// written is no reason to fail.
    pub(crate) fn keep(&self, text: &str, sources: impl IntoIterator<Item = PathBuf>) {
        let sources: Vec<Source> = sources.into_iter().map(Source::now).collect();
        let settled = self.asked - SETTLED;
        let is_settled = |source: &Source| {
            let stamp = source.stamp.as_ref();
            stamp.is_none_or(|stamp| stamp.is_before(settled))
        };
        if let Some(path) = self
            .path
            .as_ref()
            .filter(|_| sources.iter().all(is_settled))
        {
            let text = text.to_owned();
            let answer = Answer { sources, text };
            let _ = serde_json::to_vec(&answer).map(|bytes| cache::keep(path, &bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question as if it was asked in some seconds, so that what is written now has settled.
    fn question(folder: &Path) -> Question {
        Question {
            path: Some(folder.join("answers/1")),
            asked: SystemTime::now() + Duration::from_secs(5),
        }
    }

    #[test]
    fn an_answer_holds_until_one_of_its_files_changes_comes_or_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (there, absent) = (folder.path().join("there"), folder.path().join("absent"));
        let question = question(folder.path());
        let keep = || question.keep("said", [there.clone(), absent.clone()]);
        let changes: [&dyn Fn(); 4] = [
            &|| fs::write(&there, "b").unwrap(),
            &|| fs::remove_file(&there).unwrap(),
            &|| fs::write(&absent, "").unwrap(),
            &|| fs::rename(&absent, &there).unwrap(),
        ];
        fs::write(&there, "a").unwrap();
        assert_eq!(question.known(), None);
        for change in changes {
            keep();
            assert_eq!(question.known().as_deref(), Some("said"));
            change();
            assert_eq!(question.known(), None);
        }
    }

    #[test]
    fn an_answer_from_a_file_that_was_just_changed_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "a").unwrap();
        let mut question = question(folder.path());
        question.asked = SystemTime::now();
        question.keep("said", [file]);
        assert_eq!(question.known(), None);
    }

    #[test]
    fn a_damaged_answer_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let question = question(folder.path());
        question.keep("said", []);
        fs::write(question.path.as_ref().unwrap(), "{").unwrap();
        assert_eq!(question.known(), None);
    }
}
