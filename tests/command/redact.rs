//! `redact`, and `run --redact` away from a terminal.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use crate::home::{Home, answer};
use crate::piped::Piped;

const TWO: &str = r#"{"HF_TOKEN": "CANARY-1234567", "wandb-api-key": "CANARY wandb/key+"}"#;

fn home() -> Home {
    Home::with(TWO)
}

fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn kill(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// Waits until this holds.
pub(crate) fn wait_until(holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < crate::session::LONG, "it does not come true");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// `T` if it is stopped, `S` if it waits.
fn state(process: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn the_filter_replaces_the_secrets_that_are_named() {
    let home = home();
    let text = b"a CANARY-1234567 b\nCANARY wandb/key+ CANARY%20wandb%2Fkey%2B\n";
    let redacted = home.run_with(&["redact", "hf-token", "WANDB_API_KEY"], text).ok();
    assert_eq!(redacted.text(), "a *** b\n*** ***\n");
    assert_eq!(
        home.run_with(&["redact", "HF_TOKEN"], text).ok().text(),
        "a *** b\nCANARY wandb/key+ CANARY%20wandb%2Fkey%2B\n"
    );
    assert_eq!(home.run_with(&["redact", "--optional", "NO,HF_TOKEN"], b"CANARY-1234567").ok().text(), "***");
    assert_eq!(home.run_with(&["redact", "--only", "WANDB_*"], b"CANARY wandb/key+").ok().text(), "***");
}

#[test]
fn the_filter_replaces_every_listed_secret_if_none_is_named() {
    let redacted = home().run_with(&["redact"], b"CANARY-1234567 CANARY wandb/key+").ok();
    assert_eq!(redacted.text(), "*** ***");
    Home::new().run_with(&["redact"], b"text").fails(3, &["no provider lists a secret"]);
}

#[test]
fn the_filter_copies_nothing_if_a_secret_is_missing() {
    home().run_with(&["redact", "NO", "HF_TOKEN"], b"CANARY").fails(3, &["\"NO\" was not found"]);
    Home::with("{").run_with(&["redact"], b"CANARY").fails(4, &["the names of provider file"]);
    home().run_with(&["redact", "HF_TOKEN=CANARY"], b"").fails(2, &["has no `=`"]);
}

#[test]
fn a_value_that_is_too_short_is_named_in_a_warning() {
    let home = Home::with(r#"{"PIN": "1234567", "HF_TOKEN": "CANARY-1234567"}"#);
    let redacted = home.run_with(&["redact"], b"1234567 CANARY-1234567");
    assert_eq!((redacted.code, redacted.text()), (0, "1234567 ***"));
    redacted.says(&["warning: PIN is not replaced in the output: it has 7 bytes"]);
    let run = home.run(&["run", "PIN", "--redact", "--", "sh", "-c", "echo $PIN"]);
    assert_eq!((run.code, run.text()), (0, "1234567\n"));
    run.says(&["warning: PIN is not replaced in the output"]);
}

#[test]
fn text_without_secrets_is_unchanged() {
    let home = home();
    let mut state = 1_u64;
    let text: Vec<u8> = (0..4_000_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect();
    let file = home.path("text");
    fs::write(&file, &text).unwrap();
    let mut command = home.command(&["redact"]);
    command.stdin(fs::File::open(&file).unwrap());
    assert!(answer(command).ok().stdout == text);
    let run = home.run(&["run", "HF_TOKEN", "--redact", "--", "cat", "text"]).ok();
    assert!(run.stdout == text);
}

#[test]
fn what_may_be_the_beginning_of_a_secret_is_seen_after_a_pause() {
    let home = home();
    let mut filter = spawn(home.command(&["redact"]));
    let mut input = filter.stdin.take().unwrap();
    input.write_all(b"CANA").unwrap();
    let mut seen = [0; 4];
    filter.stdout.as_mut().unwrap().read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"CANA");
    drop(input);
    assert!(filter.wait().unwrap().success());
}

#[test]
fn ctrl_c_does_not_end_the_filter_before_its_input() {
    let home = home();
    let mut filter = Piped::start(home.command(&["redact"]));
    filter.write(b"ready\n");
    assert_eq!(filter.line(), "ready");
    kill("-INT", filter.id());
    filter.write(b"KeyboardInterrupt: CANARY-1234567\n");
    assert_eq!(filter.line(), "KeyboardInterrupt: ***");
    assert!(filter.end().success());
}

#[test]
fn ctrl_c_does_not_end_the_wait_for_an_input_that_does_not_block() {
    let home = home();
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::NONBLOCK).unwrap();
    let mut command = home.command(&["redact"]);
    let mut filter = command.stdin(reader).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(filter.stdout.take().unwrap()).lines();
    writer.write_all(b"ready\n").unwrap();
    assert_eq!(output.next().unwrap().unwrap(), "ready");
    wait_until(|| state(filter.id()) == Some('S'));
    kill("-INT", filter.id());
    writer.write_all(b"KeyboardInterrupt: CANARY-1234567\n").unwrap();
    drop(writer);
    assert_eq!(output.next().unwrap().unwrap(), "KeyboardInterrupt: ***");
    assert!(filter.wait().unwrap().success());
}

#[test]
fn a_filter_whose_reader_has_read_enough_is_not_a_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let home = home();
    let mut command = home.command(&["redact"]);
    command.stdin(fs::File::open(home.write("text", "text")).unwrap()).stdout(writer);
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let mut full = home.command(&["redact"]);
    full.stdin(fs::File::open(home.path("text")).unwrap());
    full.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let output = full.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(4) && stderr.contains("cannot copy stdin to stdout: No space left"),
        "{stderr}"
    );
}

#[test]
fn both_streams_of_a_command_are_redacted_or_one() {
    let home = home();
    let script = "echo out $HF_TOKEN; echo err $HF_TOKEN >&2; cat";
    let run = home.run_with(&["run", "HF_TOKEN", "--redact", "--", "sh", "-c", script], b"in CANARY-1234567\n");
    assert_eq!((run.code, run.text(), run.stderr.as_str()), (0, "out ***\nin ***\n", "err ***\n"));
    let run = home.run_with(&["run", "HF_TOKEN", "--redact=stderr", "--", "sh", "-c", script], b"in\n");
    assert_eq!((run.code, run.text(), run.stderr.as_str()), (0, "out CANARY-1234567\nin\n", "err ***\n"));
    home.run(&["run", "HF_TOKEN", "--redact=stdin", "--", "true"]).fails(2, &["possible values: all, stderr"]);
}

#[test]
fn output_that_cannot_be_written_is_warned_of() {
    let home = home();
    let mut command = home.command(&["run", "HF_TOKEN", "--redact", "--", "sh", "-c", "echo a; exit 7"]);
    let output = command.stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert_eq!(
        stderr.matches("warning: output of the command is lost: No space left on device").count(),
        1,
        "{stderr}"
    );
}

#[test]
fn two_streams_to_one_file_keep_their_order() {
    let home = home();
    let expected: String = (0..200).map(|number| format!("{number}\n")).collect();
    let script = "i=0; while [ $i -lt 200 ]; do echo $i >&$((i % 2 + 1)); i=$((i + 1)); done";
    let mut command = home.command(&["run", "HF_TOKEN", "--redact", "--", "sh", "-c", script]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(text, expected);
}

#[test]
fn a_redacted_command_ends_like_one_that_is_not() {
    let home = home();
    let run = |words: &[&str]| {
        home.with_default_signals(&home.command(&[&["run", "HF_TOKEN", "--redact", "--"], words].concat()))
    };
    assert_eq!(run(&["sh", "-c", "exit 42"]).status().unwrap().code(), Some(42));
    for (name, signal) in [("TERM", 15), ("KILL", 9), ("ABRT", 6), ("HUP", 1), ("SEGV", 11), ("PIPE", 13)] {
        let status = run(&["sh", "-c", &format!("ulimit -c unlimited; kill -{name} $$")]).status().unwrap();
        assert_eq!((status.signal(), status.core_dumped()), (Some(signal), false), "{name}");
    }
    answer(run(&["no-such-command"])).fails(127, &["cannot run no-such-command"]);
    answer(run(&[home.secrets().to_str().unwrap()])).fails(126, &["cannot run", "secrets.json"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(run(&["yes"]).stdout(writer).status().unwrap().signal(), Some(13));
}

#[test]
fn signals_are_passed_on_to_a_redacted_command() {
    let home = home();
    for (name, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15), ("USR1", 10), ("USR2", 12), ("ALRM", 14)]
    {
        // Python takes one; the end of its input shows that no other one came.
        let script = format!(
            "import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, [{number}])\nos.write(1, b'ready\\n')\n\
             signal.sigwait([{number}])\nos.write(1, b'got\\n')\nsys.stdin.read()\n\
             print(len(signal.sigpending()), 'more')\nsys.stdout.flush()\nos._exit(7)"
        );
        let program = home.command(&["run", "HF_TOKEN", "--redact", "--", "python3", "-c", &script]);
        let mut child = Piped::start(home.with_default_signals(&program));
        assert_eq!(child.line(), "ready", "{name}");
        kill(&format!("-{name}"), child.id());
        assert_eq!(child.line(), "got", "{name}");
        child.end_input();
        assert_eq!(child.line(), "0 more", "{name}");
        assert_eq!(child.end().code(), Some(7), "{name}");
    }
}

#[test]
fn a_container_whose_session_began_outside_passes_signals_on() {
    let home = home();
    let script = "trap 'echo got; exit 7' HUP; kill -HUP $PPID; while :; do sleep 0.05; done";
    // As the first process of the container, and as another.
    for before in [&[][..], &["sh", "-c", r#""$@"; exit $?"#, "sh"]] {
        let program = home.command(&["run", "HF_TOKEN", "--redact", "--", "sh", "-c", script]);
        let container = home.in_container(before, &program);
        let answer = answer(container);
        assert_eq!((answer.code, answer.text(), answer.stderr.as_str()), (7, "got\n", ""));
    }
}

#[test]
fn a_signal_that_the_caller_ignores_stays_ignored() {
    let home = home();
    let script = "grep SigIgn /proc/self/status";
    let ignored = |arguments: &[&str]| {
        let program = home.command(&[&["run", "HF_TOKEN"], arguments, &["--", "sh", "-c", script]].concat());
        let words = ["env", "--default-signal", "--ignore-signal=HUP,INT,TSTP"];
        let answer = answer(home.under(&words, &program)).ok();
        // Without those that glibc uses itself.
        u64::from_str_radix(answer.text().split_whitespace().last().unwrap(), 16).unwrap() & 0x7fff_ffff
    };
    assert_eq!(ignored(&["--redact"]), ignored(&[]));
    assert!(ignored(&["--redact"]) & 0b11 == 0b11);
}

#[test]
fn the_end_of_a_command_is_seen_where_the_caller_blocks_signals() {
    let home = home();
    for option in ["--redact", "--watch"] {
        let program = home.command(&["run", "HF_TOKEN", option, "--", "sh", "-c", "echo done; exit 7"]);
        let mut child = Piped::start(home.under(&["env", "--default-signal", "--block-signal"], &program));
        assert_eq!(child.line(), "done");
        assert_eq!(child.end().code(), Some(7));
    }
}

#[test]
fn a_redacted_command_is_stopped_and_continued() {
    let home = home();
    let script = "echo $$; read line; echo got $line $HF_TOKEN";
    let mut program = home.command(&["run", "HF_TOKEN", "--redact", "--", "sh", "-c", script]);
    // A job of this test, which can continue it.
    program.process_group(0);
    let mut child = Piped::start(program);
    let command: u32 = child.line().parse().unwrap();
    kill("-STOP", command);
    wait_until(|| state(child.id()) == Some('T'));
    kill("-CONT", child.id());
    wait_until(|| state(command) != Some('T'));
    // Stopped together, as by a batch system.
    kill("-STOP", child.id());
    kill("-STOP", command);
    wait_until(|| state(child.id()) == Some('T') && state(command) == Some('T'));
    kill("-CONT", child.id());
    child.write(b"this\n");
    assert_eq!(child.line(), "got this ***");
    assert!(child.end().success());
}

#[test]
fn a_parent_that_no_shell_can_continue_does_not_stop() {
    let home = home();
    let script = "import os, signal\nfor number in (10, 12): signal.signal(number, lambda *_: None)\n\
                  print(os.getpid(), flush=True)\nprint('got', input(), flush=True)";
    let program = home.command(&["run", "HF_TOKEN", "--redact", "--", "python3", "-c", script]);
    let mut child = Piped::start(home.under(&["setsid", "--wait"], &program));
    let command: u32 = child.line().parse().unwrap();
    // Signals that the parent has passed on to the command, which is stopped.
    let pending = || {
        let status = fs::read_to_string(format!("/proc/{command}/status")).unwrap();
        let signals = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap();
        u64::from_str_radix(signals.trim(), 16).unwrap()
    };
    kill("-STOP", command);
    wait_until(|| state(command) == Some('T'));
    // It passes on the second one after it has seen that the command has stopped.
    for (name, number) in [("-USR1", 10), ("-USR2", 12)] {
        kill(name, child.id());
        wait_until(|| pending() & (1 << (number - 1)) != 0);
    }
    kill("-CONT", command);
    child.write(b"this\n");
    assert_eq!(child.line(), "got this");
    assert!(child.end().success());
}

/// A command that writes this and stops, and whose parent has read it and has stopped too. The parent was stopped in
/// between, and does not pass on that it is continued: so what each of them does is in order.
fn stopped_after(home: &Home, written: &str, then: &str) -> (Piped, u32) {
    let script = format!(
        "import os, signal, sys\nprint(os.getpid(), flush=True)\nsys.stdin.readline()\n\
         os.write(1, b'{written}')\nos.kill(os.getpid(), signal.SIGSTOP)\nos.write(1, b'{then}')"
    );
    let program = home.command(&["run", "--all", "--redact", "--", "python3", "-c", &script]);
    let mut command = Command::new("env");
    command.arg("--ignore-signal=CONT").arg(program.get_program()).args(program.get_args());
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.process_group(0);
    let mut child = Piped::start(command);
    let command = child.line().parse().unwrap();
    kill("-STOP", child.id());
    wait_until(|| state(child.id()) == Some('T'));
    child.write(b"\n");
    wait_until(|| state(command) == Some('T'));
    kill("-CONT", child.id());
    wait_until(|| state(child.id()) == Some('T'));
    (child, command)
}

#[test]
fn the_beginning_of_a_secret_is_held_back_while_a_command_is_stopped() {
    let home = home();
    let (mut child, command) = stopped_after(&home, "CANARY-1", "234567\\n");
    kill("-CONT", command);
    wait_until(|| state(command) == Some('Z'));
    kill("-CONT", child.id());
    assert_eq!(child.line(), "***");
    assert!(child.end().success());
}

#[test]
fn the_time_while_a_command_is_stopped_is_not_a_pause_of_its_output() {
    // A part of a value that is a line.
    let home = Home::with(r#"{"KEY": "part\nCANARY-1234567"}"#);
    let (mut child, command) = stopped_after(&home, "part\\n", "end\\n");
    std::thread::sleep(std::time::Duration::from_millis(60));
    let continued = std::time::Instant::now();
    kill("-CONT", child.id());
    assert_eq!(child.line(), "part");
    let pause = continued.elapsed();
    kill("-CONT", command);
    assert_eq!(child.line(), "end");
    assert!(child.end().success() && pause.as_millis() >= 50, "{pause:?}");
}

#[test]
fn a_parent_that_waits_for_its_reader_can_be_stopped() {
    let home = home();
    // More than two pipes hold, so the parent still has a part of it when the command ends.
    let script = "echo $$ >&2; head -c 131073 /dev/zero";
    let mut child = spawn(home.command(&["run", "HF_TOKEN", "--redact", "--", "sh", "-c", script]));
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    let command: u32 = line.trim_end().parse().unwrap();
    wait_until(|| state(command).is_none());
    wait_until(|| {
        kill("-TSTP", child.id());
        state(child.id()) == Some('T')
    });
    kill("-CONT", child.id());
    let mut text = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut text).unwrap();
    assert!(text.len() == 131_073 && child.wait().unwrap().success());
}

#[test]
fn what_a_command_leaves_behind_does_not_keep_it() {
    let home = home();
    let run = home.run(&["run", "HF_TOKEN", "--redact", "--", "sh", "-c", "sleep 1000 & echo $! $HF_TOKEN"]).ok();
    let (process, rest) = run.text().split_once(' ').unwrap();
    assert_eq!(rest, "***\n");
    kill("-KILL", process.parse().unwrap());
}

#[test]
fn all_output_is_there_when_a_redacted_command_has_ended() {
    let home = home();
    // More than a pipe holds, from a process that ends at once.
    let script = "import os; os.write(1, b'x' * 50000 + os.environb[b'HF_TOKEN']); os._exit(3)";
    for _ in 0..10 {
        let run = home.run(&["run", "HF_TOKEN", "--redact", "--", "python3", "-c", script]);
        assert_eq!((run.code, run.stdout.len()), (3, 50003));
        assert!(run.stdout.ends_with(b"x***"));
    }
}

#[test]
fn a_redacted_command_may_have_variables_of_a_file_alone() {
    let home = home();
    home.write("own.env", "A=CANARY-1234567\n");
    let run = home.run(&["run", "--env-file", "own.env", "--redact", "--", "sh", "-c", "echo $A"]);
    assert_eq!((run.code, run.text()), (0, "CANARY-1234567\n"), "these are not secrets");
    let run =
        home.run(&["run", "HF_TOKEN", "--clean", "--redact", "--", "sh", "-c", "echo ${HF_TOKEN-none} ${X-none}"]);
    assert_eq!((run.code, run.text()), (0, "*** none\n"));
}
