//! What surrounds the processes of a container, where somebody asks for something else than usual:
//! groups, masks, kernel parameters, shared memory, names of hosts, variables.

use serde_json::json;
use tests::attack::inside::status;
use tests::fixture::busybox;
use tests::{for_each_account, require};

for_each_account! {
    fn a_process_has_the_surroundings_that_were_asked_for(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let run = |flags: &[&str], script: &str| {
            runner.to(&[&["run", "--rm"], flags, &[busybox::NAME, "sh", "-c", script]].concat())
        };
        assert_eq!(run(&[], "umask"), "0022");
        assert_eq!(run(&["--umask", "0077"], "umask; touch /tmp/x; stat -c %a /tmp/x"), "0077\n600");
        assert_eq!(run(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"), "500");
        let forward = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni";
        let flags = ["--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.shmmni=77"];
        assert_eq!(run(&flags, forward), "1\n77");
        let size = "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2; stat -c %a /dev/shm; echo x > /dev/shm/x";
        assert_eq!(run(&["--shm-size", "3m"], size), "3072\n1777");
        let hosts = "grep -E 'db|mail' /etc/hosts; grep -c localhost /etc/hosts";
        let flags = ["--add-host", "db:10.0.0.2", "--add-host", "mail:fd00::2"];
        assert_eq!(run(&flags, hosts), "10.0.0.2\tdb\nfd00::2\tmail\n2");
        // Also what joins it later.
        runner.to(&["run", "-d", "--name", "around", "--umask", "027", "--oom-score-adj", "400", busybox::NAME, "sleep", "1000"]);
        let joined = runner.to(&["exec", "around", "sh", "-c", "umask; cat /proc/self/oom_score_adj"]);
        assert_eq!(joined, "0027\n400");
        runner.to(&["rm", "-f", "-t", "0", "around"]);
        for (flag, wrong) in [
            ("--umask", "9"),
            ("--oom-score-adj", "1001"),
            ("--sysctl", "vm.swappiness=1"),
            ("--sysctl", "kernel.core_pattern=|/tmp/x"),
            ("--sysctl", "net/../vm/swappiness=1"),
            ("--shm-size", "much"),
            ("--add-host", "nobody"),
        ] {
            let refused = runner.try_to(&["run", "--rm", flag, wrong, busybox::NAME, "true"]);
            assert_eq!(refused.code, 125, "{refused}");
            assert!(refused.only_error().contains(flag), "{refused}");
        }
        let refused = runner.try_to(&["run", "--network", "host", "--sysctl", "net.ipv4.ip_forward=1", busybox::NAME, "true"]);
        assert!(refused.only_error().contains("would be the host's"), "{refused}");
    }
}

for_each_account! {
    fn who_has_no_name_in_the_image_gets_one(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let run = |flags: &[&str], script: &str| {
            runner.to(&[&["run", "--rm"], flags, &[busybox::NAME, "sh", "-c", script]].concat())
        };
        let who = "grep -c . /etc/passwd; id -un; id -u; grep 4321 /etc/passwd; grep 77 /etc/group";
        let before = run(&[], "grep -c . /etc/passwd");
        let said = run(&["-u", "4321:77"], who);
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[0].parse::<u32>().unwrap(), before.parse::<u32>().unwrap() + 1, "{said}");
        assert_eq!(lines[1..], ["4321", "4321", "4321:*:4321:77:container user:/:/bin/sh", "77:x:77:4321"]);
        assert_eq!(run(&["-u", "root"], "grep -c . /etc/passwd"), before);
    }
}

for_each_account! {
    fn capabilities_of_another_user_are_those_that_were_named(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let ambient = |flags: &[&str]| status(&runner, flags, "CapAmb");
        let all = status(&runner, &["--cap-add", "all"], "CapEff");
        assert_eq!(ambient(&["-u", "1000", "--cap-add", "all"]), all);
        assert_eq!(ambient(&["-u", "1000", "--cap-add", "all", "--cap-drop", "chown"]).to_lowercase(),
            format!("{:016x}", u64::from_str_radix(&all, 16).unwrap() & !1));
        assert_eq!(ambient(&["--cap-add", "all"]), "0000000000000000");
        for flags in [["--cap-add=all", "--cap-drop=all"], ["--cap-add=chown", "--cap-drop=CAP_CHOWN"]] {
            let refused = runner.try_to(&[&["run", "--rm"], &flags[..], &[busybox::NAME, "true"]].concat());
            assert_eq!(refused.code, 125, "{refused}");
            assert!(refused.only_error().contains("--cap-drop"), "{refused}");
        }
    }
}

for_each_account! {
    fn variables_of_the_image_are_left_out_when_asked(world) {
        let runner = world.runner();
        let image = require!(busybox::image()).with("Env", json!(["MADE_BY_THE_IMAGE=yes"]));
        runner.load(&image.docker());
        let run = |flags: &[&str]| {
            runner.to(&[&["run", "--rm"], flags, &[busybox::NAME, "sh", "-c", "echo $MADE_BY_THE_IMAGE.$OWN"]].concat())
        };
        let flags = ["-e", "OWN=own"];
        assert_eq!(run(&flags), "yes.own");
        assert_eq!(run(&[&flags[..], &["--unsetenv", "MADE_BY_THE_IMAGE"]].concat()), ".own");
        assert_eq!(run(&[&flags[..], &["--unsetenv-all"]].concat()), ".own");
    }
}

for_each_account! {
    fn groups_are_added_by_name_and_by_number(world) {
        let runner = world.runner();
        runner.load(&require!(busybox::image()).docker());
        let unknown = runner.try_to(&["run", "--rm", "--group-add", "nobody-knows", busybox::NAME, "true"]);
        assert!(unknown.code != 0 && unknown.only_error().contains("nobody-knows"), "{unknown}");
        let said = runner.try_to(&["run", "--rm", "--group-add", "0", busybox::NAME, "id", "-G"]);
        assert_eq!((said.code, said.text()), (0, "0"), "{said}");
    }
}
