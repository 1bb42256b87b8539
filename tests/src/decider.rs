//! A process that decides about the system calls of containers (seccomp_unotify(2)): it takes what a
//! runtime sends to the `listenerPath` of a profile, and answers every call that comes through that.

#![allow(
    unsafe_code,
    reason = "rustix has no safe call for the requests of a seccomp listener"
)]

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::ioctl::{Updater, ioctl, opcode};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::Value;

use crate::{World, wait};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It fails with this number.
    Error(i32),
    /// The kernel goes on with it.
    Continue,
    /// It waits for ever.
    Never,
}

/// Decides by the number of the call.
pub type Decide = fn(i32) -> Answer;

/// It listens until the tests end.
#[derive(Debug)]
pub struct Decider {
    /// Its socket.
    pub path: PathBuf,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Decider {
    /// One that listens in this world.
    ///
    /// # Panics
    /// When it can not listen there.
    #[must_use]
    pub fn new(world: &World, decide: Decide) -> Self {
        let path = world.path("run/decider");
        let listener = UnixListener::bind(&path).expect("a new socket");
        world.own_all(&path);
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (descriptor, words) = receive(&stream);
                let words = serde_json::from_slice(&words).expect("JSON");
                list.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(words);
                std::thread::spawn(move || answer_all(&descriptor, decide));
            }
        });
        Self { path, told }
    }

    /// The same as soon as there is something: a program that asks for nothing runs before it was heard of.
    ///
    /// # Panics
    /// When there is nothing for long.
    #[must_use]
    pub fn wait_to_be_told(&self) -> Vec<Value> {
        let told = || Some(self.take_told()).filter(|told| !told.is_empty());
        wait::poll(Duration::from_secs(10), told).expect("to be told something")
    }

    /// What it was told since the last time it was asked.
    #[must_use]
    pub fn take_told(&self) -> Vec<Value> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A descriptor, and the words that came with it.
///
/// # Panics
/// When none comes.
#[must_use]
pub fn receive(stream: &UnixStream) -> (OwnedFd, Vec<u8>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut words = vec![0; 65_536];
    let slices = &mut [IoSliceMut::new(&mut words)];
    let message = recvmsg(stream, slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC).expect("words");
    let mut found = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let descriptor = found.next().expect("a descriptor");
    words.truncate(message.bytes);
    (descriptor, words)
}

/// `struct seccomp_notif` of linux/seccomp.h.
#[repr(C)]
#[derive(Debug, Default)]
struct Call {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
#[derive(Debug, Default)]
struct Reply {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// Until nobody is left whose calls come through the descriptor.
fn answer_all(descriptor: &OwnedFd, decide: Decide) {
    const RECEIVE: rustix::ioctl::Opcode = opcode::read_write::<Call>(b'!', 0);
    const SEND: rustix::ioctl::Opcode = opcode::read_write::<Reply>(b'!', 1);
    const CONTINUE: u32 = 1;
    loop {
        let mut set = [PollFd::new(descriptor, PollFlags::IN)];
        let _ = poll(&mut set, None);
        if !set[0].revents().contains(PollFlags::IN) {
            return;
        }
        let mut call = Call::default();
        // SAFETY: the request writes one `struct seccomp_notif`, which is zero before.
        if unsafe { ioctl(descriptor.as_fd(), Updater::<RECEIVE, Call>::new(&mut call)) }.is_err() {
            continue; // It was killed meanwhile.
        }
        let mut reply = Reply {
            id: call.id,
            ..Reply::default()
        };
        match decide(call.number) {
            Answer::Error(number) => reply.error = -number,
            Answer::Continue => reply.flags = CONTINUE,
            Answer::Never => continue,
        }
        // SAFETY: the request reads one `struct seccomp_notif_resp`.
        let _ = unsafe { ioctl(descriptor.as_fd(), Updater::<SEND, Reply>::new(&mut reply)) };
    }
}
