//! The attacks of `tests::attack` on this engine and on podman, as an ordinary user: a table of what each
//! withstands. No benchmark of time; it is here because it compares.

use tests::attack::{Attack, Probe, images, inside};
use tests::client::Podman;
use tests::fixture::busybox;
use tests::{Engine, Missing, Mode, World};

fn main() {
    if let Err(missing) = compare() {
        println!("did not run, because {missing}");
    }
}

fn compare() -> Result<(), Missing> {
    let world = World::new(Mode::Mapped)?;
    let base = busybox::layer()?;
    let podman = Podman::new(&world)?;
    let engines = [&world.runner(), &podman.engine];
    let mut withstood = [0; 2];
    let mut count = 0;
    println!("| attack | runner | podman |\n|---|---|---|");
    let mut row = |name: &str, harm: [String; 2]| {
        count += 1;
        for (harm, withstood) in harm.iter().zip(&mut withstood) {
            *withstood += usize::from(harm.is_empty());
        }
        let [ours, theirs] = harm.map(|harm| match harm.is_empty() {
            true => "withstood".to_owned(),
            false => harm,
        });
        println!("| {name} | {ours} | {theirs} |");
    };
    let folder = Probe::new(&world).folder;
    let folder = folder.to_str().expect("a plain path");
    for list in [images::entries, images::configs, images::system_folders] {
        for attack in list(folder, &base) {
            row(attack.name, engines.map(|engine| harm(&attack, engine)));
        }
    }
    for engine in engines {
        engine.load(&busybox::image()?.docker());
    }
    for (name, ask) in inside::QUESTIONS {
        let [ours, theirs] = engines.map(|engine| ask(engine));
        row(name, [ours?.join(", "), theirs?.join(", ")]);
    }
    println!(
        "| withstood, of {count} | {} | {} |",
        withstood[0], withstood[1]
    );
    Ok(())
}

/// What the attack does to the host; empty if it is withstood.
fn harm(attack: &Attack, engine: &Engine) -> String {
    let probe = Probe::new(engine.world);
    match attack.on(engine) {
        Err(_) => "hangs".to_owned(),
        Ok(attempt) => probe
            .harm(&attempt.outcome)
            .map_or_else(String::new, |harm| harm.to_string()),
    }
}
