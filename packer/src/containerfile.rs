//! Containerfiles: text → typed instructions, each with its position.
//!
//! This room is pure: it reads no file, knows no image, and replaces no variable, because what a
//! variable means shows only while the instructions are carried out ([`expand`] does it then). Who
//! carries them out decides what it can do: [`crate::stages`] starts no process, so it refuses `RUN`,
//! which is parsed here like everything else.
//!
//! Source: docker's Dockerfile reference and the parser of buildkit; Containerfile(5).

use std::fmt;

mod expand;
mod instruction;
mod lines;
mod words;

pub use expand::{expand, expand_raw};
pub use instruction::{Argument, Copy, CopySource, Flag, Instruction};
pub use lines::Heredoc;

use instruction::From;
use lines::Line;

/// Where an instruction begins: line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// What is wrong in a Containerfile, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct Fault {
    /// Where.
    pub position: Position,
    /// What, and what to do.
    pub message: String,
}

/// An instruction where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Where it begins.
    pub position: Position,
    /// What it is.
    pub instruction: Instruction,
}

/// One stage: a `FROM` with what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Where its `FROM` begins.
    pub position: Position,
    /// What it stands on: `scratch`, an earlier stage or an image, with variables.
    pub image: String,
    /// `--platform`, with variables.
    pub platform: Option<String>,
    /// The name behind `AS`, in lower case.
    pub name: Option<String>,
    /// What is done in it.
    pub instructions: Vec<Located>,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Containerfile {
    /// What takes the meaning from the character behind it: `\` unless a directive says otherwise.
    pub escape: char,
    /// The `ARG`s before the first `FROM`.
    pub arguments: Vec<(Position, Vec<Argument>)>,
    /// The stages; at least one.
    pub stages: Vec<Stage>,
}

impl Containerfile {
    /// Parses a file.
    ///
    /// # Errors
    /// [`Fault`]: the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let (escape, lines) = lines::split(text)?;
        let mut file = Self {
            escape,
            arguments: Vec::new(),
            stages: Vec::new(),
        };
        for line in lines {
            file.add(&line)?;
        }
        match file.stages.is_empty() {
            true => Err(Fault {
                position: Position { line: 1, column: 1 },
                message:
                    "there is no FROM in it: the first instruction says what the image stands \
                          on, FROM scratch if on nothing"
                        .to_owned(),
            }),
            false => Ok(file),
        }
    }

    fn add(&mut self, line: &Line) -> Result<(), Fault> {
        let position = line.position;
        let refuse = |message: String| Fault { position, message };
        if let Some(from) = From::parse(line, self.escape).map_err(refuse)? {
            self.stages.push(Stage {
                position,
                image: from.image,
                platform: from.platform,
                name: from.name,
                instructions: Vec::new(),
            });
            return Ok(());
        }
        let instruction = Instruction::parse(line, self.escape).map_err(refuse)?;
        match (self.stages.last_mut(), instruction) {
            (Some(stage), instruction) => stage.instructions.push(Located {
                position,
                instruction,
            }),
            (None, Instruction::Arg(arguments)) => self.arguments.push((position, arguments)),
            (None, _) => {
                let message = "only ARG may stand before the first FROM".to_owned();
                return Err(refuse(message));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests;
