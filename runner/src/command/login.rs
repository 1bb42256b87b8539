//! `runner login` and `runner logout`: credentials for registries, in the file that podman uses too.

use std::io::{BufRead, IsTerminal, Read, Write, stderr, stdin, stdout};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use packer::registry::{Access, Realm};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::remote::{self, RegistryArguments};

#[derive(Debug, clap::Args)]
pub(super) struct LoginArguments {
    /// The registry, or a part of it: REGISTRY[/PATH] [default: the first one that is searched]
    #[arg(value_name = "REGISTRY")]
    registry: Option<Realm>,

    /// The user; asked for if it is not given
    #[arg(short, long)]
    username: Option<String>,

    /// The password; everybody on this machine may see it on a command line
    #[arg(short, long, conflicts_with = "password_stdin")]
    password: Option<String>,

    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,

    /// Say which file has the credentials now
    #[arg(short, long)]
    verbose: bool,

    /// Print who is logged in, and do nothing else
    #[arg(long)]
    get_login: bool,

    #[command(flatten)]
    access: RegistryArguments,
}

#[derive(Debug, clap::Args)]
pub(super) struct LogoutArguments {
    /// The registry, or a part of it: REGISTRY[/PATH] [default: the first one that is searched]
    #[arg(value_name = "REGISTRY")]
    registry: Option<Realm>,

    /// Forget all credentials of the file
    #[arg(short, long, conflicts_with = "registry")]
    all: bool,

    /// The file with the credentials
    #[arg(long, value_name = "FILE")]
    authfile: Option<std::path::PathBuf>,
}

pub(super) fn login(arguments: &LoginArguments) -> anyhow::Result<ExitCode> {
    let access = arguments.access.access_for_login()?;
    let registry = &meant(arguments.registry.as_ref(), &access)?;
    let known = access.user(registry)?;
    if arguments.get_login {
        let user = known.with_context(|| format!("not logged into {registry}"))?;
        writeln!(stdout(), "{user}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let nothing_given = arguments.username.is_none() && arguments.password.is_none();
    if nothing_given && known.is_some() && is_still_valid(&access, registry)? {
        return Ok(ExitCode::SUCCESS);
    }
    let user = match &arguments.username {
        Some(user) => user.clone(),
        None => ask_user(known.as_deref())?,
    };
    let password = match &arguments.password {
        Some(password) => password.clone(),
        None if arguments.password_stdin => {
            let mut password = String::new();
            stdin().lock().read_to_string(&mut password)?;
            password.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => ask_password()?,
    };
    ensure!(
        !user.is_empty() && !password.is_empty(),
        "a user and a password are needed"
    );
    access.login(registry, &user, &password)?;
    if arguments.verbose {
        writeln!(stdout(), "Used:  {}", access.keyring().path()?.display())?;
    }
    writeln!(stdout(), "Login Succeeded!")?;
    Ok(ExitCode::SUCCESS)
}

/// The registry that was named, or else the first one that is searched.
fn meant(named: Option<&Realm>, access: &Access) -> anyhow::Result<Realm> {
    if let Some(named) = named {
        return Ok(named.clone());
    }
    let first = access.registries().search().first();
    let first = first.context(
        "name a registry: registries.conf has no unqualified-search-registries, of which the first \
         one would be meant",
    )?;
    Ok(first.parse()?)
}

/// Asks the registry whether it takes the password that is known, and tells what it said.
fn is_still_valid(access: &Access, registry: &Realm) -> anyhow::Result<bool> {
    let mut out = stdout().lock();
    writeln!(
        out,
        "Authenticating with existing credentials for {registry}"
    )?;
    let is_valid = access.logged_in(registry)?.is_some();
    match is_valid {
        true => writeln!(
            out,
            "Existing credentials are valid. Already logged in to {}",
            registry.host()
        )?,
        false => writeln!(
            out,
            "Existing credentials are invalid, please enter valid username and password"
        )?,
    }
    Ok(is_valid)
}

pub(super) fn logout(arguments: &LogoutArguments) -> anyhow::Result<ExitCode> {
    let access = Access::new(packer::registry::Options {
        authfile: arguments.authfile.clone(),
        ..packer::registry::Options::default()
    })?;
    if let Some(file) = &arguments.authfile {
        remote::check_authfile(file)?;
    }
    match arguments.all {
        true => {
            access.keyring().erase_all()?;
            writeln!(stdout(), "Removed login credentials for all registries")?;
        }
        false => {
            let registry = &meant(arguments.registry.as_ref(), &access)?;
            if !access.logout(registry)? {
                bail!("not logged into {registry}");
            }
            writeln!(stdout(), "Removed login credentials for {registry}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn ask_user(known: Option<&str>) -> anyhow::Result<String> {
    ensure!(
        stdin().is_terminal(),
        "nobody can be asked for a user: give --username, and --password-stdin"
    );
    match known {
        Some(user) => write!(stderr(), "Username ({user}): ")?,
        None => write!(stderr(), "Username: ")?,
    }
    let mut user = String::new();
    stdin().lock().read_line(&mut user)?;
    match (user.trim(), known) {
        ("", Some(known)) => Ok(known.to_owned()),
        (user, _) => Ok(user.to_owned()),
    }
}

/// Asks for a password, which the terminal does not show.
fn ask_password() -> anyhow::Result<String> {
    let input = stdin();
    ensure!(
        input.is_terminal(),
        "nobody can be asked for a password: give it with --password-stdin"
    );
    write!(stderr(), "Password: ")?;
    let shown = tcgetattr(&input)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&input, OptionalActions::Flush, &hidden)?;
    let mut password = String::new();
    let read = input.lock().read_line(&mut password);
    tcsetattr(&input, OptionalActions::Flush, &shown)?;
    writeln!(stderr())?;
    read?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}
