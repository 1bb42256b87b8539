//! Images that were made to do harm when they are loaded or run. Each is refused with one line, or what it
//! does stays in the container.

use tests::attack::images::{configs, entries, system_folders};
use tests::attack::{Attack, Attempt, Probe};
use tests::fixture::{Archive, Layer, busybox};
use tests::{Missing, World, for_each_account, require};

fn withstand(world: &World, attacks: fn(&str, &Layer) -> Vec<Attack>) -> Result<(), Missing> {
    let base = busybox::layer()?;
    let probe = Probe::new(world);
    for attack in attacks(probe.folder.to_str().expect("a plain path"), &base) {
        let name = attack.name;
        let attempt = attack.on(&world.runner());
        let Attempt { is_loaded, outcome } =
            attempt.unwrap_or_else(|hang| panic!("{name}: {hang}"));
        if !is_loaded {
            assert_eq!(outcome.code, 125, "{name}: {outcome}");
            let _ = outcome.only_error();
        }
        assert_eq!(probe.harm(&outcome), None, "{name}: {outcome}");
    }
    Ok(())
}

for_each_account! {
    fn entries_stay_in_the_tree(world) {
        require!(withstand(world, entries));
    }
}

for_each_account! {
    fn configs_do_not_lead_to_the_host(world) {
        require!(withstand(world, configs));
    }
}

for_each_account! {
    fn folders_of_the_system_that_are_symlinks_do_not_lead_to_the_host(world) {
        require!(withstand(world, system_folders));
    }
}

for_each_account! {
    /// A set-uid file of the image gives nothing: nobody gains privileges in a container.
    fn a_set_uid_file_gives_no_rights(world) {
        let busybox_file = require!(tests::client::find("busybox"));
        let content = std::fs::read(busybox_file).expect("a program");
        let layer = require!(busybox::layer()).file("bin/gain", 0o4755, content);
        let runner = world.runner();
        runner.load(&Archive::new("localhost/gain:latest", &[&layer], &["/bin/sh"]).docker());
        let script = "cp /bin/gain /tmp/id 2>/dev/null; ln -s /bin/gain /tmp/sh; /tmp/sh -c 'grep ^Uid /proc/self/status'";
        let said = runner.to(&[
            "run",
            "--rm",
            "-u",
            "1000",
            "localhost/gain",
            "sh",
            "-c",
            script,
        ]);
        assert_eq!(
            said.split_whitespace().collect::<Vec<_>>(),
            ["Uid:", "1000", "1000", "1000", "1000"]
        );
    }
}
