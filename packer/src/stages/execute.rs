//! One instruction after the other.

use std::sync::Arc;

use super::state::State;
use super::{Execution, is_remote};
use crate::base::{Base, BaseName};
use crate::containerfile::{Containerfile, Fault, Instruction, Stage};
use crate::image::{Empty, Healthcheck, Platform, healthcheck, set_variable};
use crate::package::{HealthCheck, Port, StopSignal};

impl Execution<'_> {
    /// Carries out one stage; those that it is made of are there.
    pub(super) fn stage(&mut self, number: usize) -> Result<State, Fault> {
        let stage = &self.build.file.stages[number];
        let fault = |message| Fault {
            position: stage.position,
            message,
        };
        let mut state = self.from(stage, number)?;
        // What the base wants done on whoever stands on it.
        for trigger in std::mem::take(&mut state.config.config.on_build) {
            let text = format!("FROM scratch\n{trigger}");
            let instruction = Containerfile::parse(&text)
                .ok()
                .and_then(|mut file| file.stages.pop()?.instructions.pop());
            let said = |message| {
                fault(format!(
                    "ONBUILD {trigger}, which the base asks for: {message}"
                ))
            };
            let instruction = instruction.ok_or_else(|| said("it is no instruction".to_owned()))?;
            self.instruction(&mut state, &instruction.instruction, number)
                .map_err(said)?;
        }
        for located in &stage.instructions {
            let fault = |message| Fault {
                position: located.position,
                message,
            };
            self.instruction(&mut state, &located.instruction, number)
                .map_err(fault)?;
        }
        Ok(state)
    }

    fn from(&mut self, stage: &Stage, number: usize) -> Result<State, Fault> {
        let fault = |message| Fault {
            position: stage.position,
            message,
        };
        let image = self.build.expand_from(stage, &stage.image, &self.global)?;
        if let Some(earlier) = self.build.stage_of_from(&image, number) {
            return Ok(State::after(&self.done[&earlier]));
        }
        let platform = match &stage.platform {
            None => self.platform.clone(),
            Some(text) => {
                let text = self.build.expand_from(stage, text, &self.global)?;
                Platform::parse(&text).map_err(fault)?
            }
        };
        match image.as_str() {
            "" => Err(fault(format!("the image {} is not set", stage.image))),
            "scratch" => Ok(State::scratch(&platform)),
            image => self.image(image, &platform).map(State::on).map_err(fault),
        }
    }

    /// An image by its name.
    pub(super) fn image(&mut self, name: &str, platform: &Platform) -> Result<Arc<Base>, String> {
        let key = format!("{name} {platform}");
        if let Some(known) = self.images.get(&key) {
            return Ok(Arc::clone(known));
        }
        let parsed = BaseName::of_from(name, &self.build.recipe.context);
        let parsed = parsed.map_err(|error| error.to_string())?;
        let base = Base::find(&parsed, platform, &self.build.access, self.progress);
        let base = Arc::new(base.map_err(|error| error.to_string())?);
        self.images.insert(key, Arc::clone(&base));
        Ok(base)
    }

    fn instruction(
        &mut self,
        state: &mut State,
        instruction: &Instruction,
        number: usize,
    ) -> Result<(), String> {
        let escape = self.build.file.escape;
        let run = &mut state.config.config;
        match instruction {
            Instruction::Run { .. } => {
                return Err("RUN needs a process, and this build starts none: run the command before, and COPY \
                            what it makes, or build this file with `podman build`"
                    .to_owned());
            }
            Instruction::Add(copy) if copy.sources.iter().any(is_remote) => {
                return Err(
                    "ADD fetches nothing here: download it before, check it, and COPY it"
                        .to_owned(),
                );
            }
            Instruction::Add(copy) => self.copy(state, copy, true, number)?,
            Instruction::Copy(copy) => self.copy(state, copy, false, number)?,
            Instruction::Arg(arguments) => {
                for argument in arguments {
                    let lookup = |name: &str| state.variable(name);
                    if let Some(value) = self.global.value(argument, escape, &lookup)? {
                        state.arguments.insert(argument.name.clone(), value);
                    }
                }
            }
            Instruction::Cmd(command) => {
                state.config.config.cmd = state.command(command);
                state.has_command = true;
            }
            Instruction::Entrypoint(command) => {
                state.config.config.entrypoint = state.command(command);
                // The arguments of the base are for the base's program.
                if !state.has_command {
                    state.config.config.cmd.clear();
                }
            }
            Instruction::Env(pairs) => {
                for (name, value) in expanded(state, pairs, escape)? {
                    set_variable(&mut state.config.config.env, &name, &value);
                }
            }
            Instruction::Expose(texts) => {
                for text in texts {
                    for text in state.expand(text, escape)?.split_whitespace() {
                        let ports = ports(text)?.into_iter();
                        let ports = ports.map(|port| (port.to_string(), Empty {}));
                        state.config.config.exposed_ports.extend(ports);
                    }
                }
            }
            Instruction::Healthcheck(check) => run.healthcheck = Some(health(check.as_ref())),
            Instruction::Label(pairs) => {
                let labels = expanded(state, pairs, escape)?;
                state.config.config.labels.extend(labels);
            }
            Instruction::Maintainer(name) => state.config.author = Some(name.clone()),
            Instruction::Onbuild(text) => run.on_build.push(text.clone()),
            Instruction::Shell(words) => run.shell.clone_from(words),
            Instruction::Stopsignal(text) => {
                let text = state.expand(text, escape)?;
                let signal: StopSignal = text.parse().map_err(|error| format!("{error}"))?;
                state.config.config.stop_signal = signal.to_string();
            }
            Instruction::User(text) => state.config.config.user = state.expand(text, escape)?,
            Instruction::Volume(texts) => {
                for text in texts {
                    let path = state.expand(text, escape)?;
                    state.config.config.volumes.insert(path, Empty {});
                }
            }
            Instruction::Workdir(text) => {
                let path = state.absolute(&state.expand(text, escape)?);
                state.config.config.working_dir = format!("/{}", path.display());
                let made = state.tree.ensure_directory(&path, 0, 0);
                made.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

/// All values are those from before the instruction.
fn expanded(
    state: &State,
    pairs: &[(String, String)],
    escape: char,
) -> Result<Vec<(String, String)>, String> {
    let expand = |text: &String| state.expand(text, escape);
    pairs
        .iter()
        .map(|(name, value)| Ok((expand(name)?, expand(value)?)))
        .collect()
}

/// A port, or a range of them: `8000-8010/tcp`.
fn ports(text: &str) -> Result<Vec<Port>, String> {
    let parse = |text: &str| {
        text.to_ascii_lowercase()
            .parse::<Port>()
            .map_err(|error| error.to_string())
    };
    let (numbers, protocol) = match text.split_once('/') {
        Some((numbers, protocol)) => (numbers, format!("/{protocol}")),
        None => (text, String::new()),
    };
    let Some((first, last)) = numbers.split_once('-') else {
        return Ok(vec![parse(text)?]);
    };
    let (first, last) = (
        parse(&format!("{first}{protocol}"))?,
        parse(&format!("{last}{protocol}"))?,
    );
    match first.number <= last.number {
        true => Ok((first.number..=last.number)
            .map(|number| Port { number, ..first })
            .collect()),
        false => Err(format!("\"{}\" is no range of ports", text.escape_debug())),
    }
}

/// `HEALTHCHECK NONE` takes away the base's check.
fn health(check: Option<&HealthCheck>) -> Healthcheck {
    check.map_or_else(
        || Healthcheck {
            test: vec!["NONE".to_owned()],
            ..Healthcheck::default()
        },
        healthcheck,
    )
}
