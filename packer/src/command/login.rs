//! `packer login` and `packer logout`, with podman's words.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use anyhow::{Context, bail, ensure};
use packer::registry::Realm;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::transfer::RegistryArguments;

#[derive(Debug, clap::Args)]
pub(super) struct Login {
    /// The registry, with a path if the login is for a part of it
    #[arg(value_name = "REGISTRY")]
    realm: Realm,

    /// The user name [default: asked for]
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,

    /// The password; others may see it in the list of processes, so --password-stdin is better
    #[arg(
        short,
        long,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin"
    )]
    password: Option<String>,

    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,

    /// Print who is logged in
    #[arg(long, conflicts_with_all = ["username", "password", "password_stdin"])]
    get_login: bool,

    #[command(flatten)]
    registry: RegistryArguments,
}

#[derive(Debug, clap::Args)]
pub(super) struct Logout {
    /// The registry
    #[arg(value_name = "REGISTRY", required_unless_present = "all")]
    realm: Option<Realm>,

    /// Forget the credentials of all registries
    #[arg(short, long, conflicts_with = "realm")]
    all: bool,

    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn login(arguments: Login) -> anyhow::Result<()> {
    let access = arguments.registry.access(None)?;
    let realm = &arguments.realm;
    if arguments.get_login {
        let user = access.keyring().user(&realm.to_string())?;
        let user = user.with_context(|| format!("not logged into {realm}"))?;
        writeln!(io::stdout(), "{user}")?;
        return Ok(());
    }
    let is_asked = arguments.username.is_none() && arguments.password.is_none();
    if is_asked && let Some(user) = access.logged_in(realm)? {
        writeln!(
            io::stdout(),
            "Existing credentials for {user} are valid. Already logged in to {realm}"
        )?;
        return Ok(());
    }
    let user = match arguments.username {
        Some(user) => user,
        None => ask("Username: ", realm)?,
    };
    let password = match (arguments.password, arguments.password_stdin) {
        (Some(password), _) => password,
        (None, true) => {
            let mut password = String::new();
            io::stdin()
                .read_to_string(&mut password)
                .context("the password cannot be read")?;
            password.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, false) => ask_secretly(realm)?,
    };
    ensure!(
        !user.is_empty() && !password.is_empty(),
        "user name and password must not be empty"
    );
    ensure!(!user.contains(':'), "a user name has no colon");
    access.login(realm, &user, &password)?;
    writeln!(io::stdout(), "Login Succeeded!")?;
    Ok(())
}

pub(super) fn logout(arguments: &Logout) -> anyhow::Result<()> {
    let access = arguments.registry.access(None)?;
    let Some(realm) = &arguments.realm else {
        access.keyring().erase_all()?;
        writeln!(io::stdout(), "Removed login credentials for all registries")?;
        return Ok(());
    };
    if !access.logout(realm)? {
        bail!("not logged into {realm}");
    }
    writeln!(io::stdout(), "Removed login credentials for {realm}")?;
    Ok(())
}

/// Asks for a line; only a terminal is asked.
fn ask(question: &str, realm: &Realm) -> anyhow::Result<String> {
    ensure!(
        io::stdin().is_terminal(),
        "nobody is here to be asked: give --username and --password-stdin to log in to {realm}"
    );
    write!(io::stderr(), "{question}")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks for the password, which is not shown.
fn ask_secretly(realm: &Realm) -> anyhow::Result<String> {
    let stdin = io::stdin();
    let Ok(before) = tcgetattr(&stdin) else {
        return ask("Password: ", realm);
    };
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let password = ask("Password: ", realm);
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    writeln!(io::stderr())?;
    password
}
