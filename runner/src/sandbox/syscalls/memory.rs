//! This program's own memory.

#[cfg(test)]
use std::io;

/// Takes the right to write to what only the linker had to write to (`PT_GNU_RELRO`, elf(5)): the
/// tables of functions, for one. glibc does so before a program begins, musl not in a static one. Where
/// that fails, everything works as before.
#[cfg(all(target_env = "musl", target_pointer_width = "64"))]
pub(in crate::sandbox) fn protect_constants() {
    use rustix::mm::{MprotectFlags, mprotect};
    // SAFETY: two numbers that the kernel gave this process at its start.
    let (first, count) = unsafe {
        (
            libc::getauxval(libc::AT_PHDR),
            libc::getauxval(libc::AT_PHNUM),
        )
    };
    let (Ok(first), Ok(count)) = (usize::try_from(first), usize::try_from(count)) else {
        return;
    };
    if first == 0 {
        return;
    }
    let headers = std::ptr::with_exposed_provenance::<libc::Elf64_Phdr>(first);
    // SAFETY: the kernel says that so many headers lie there, in a part of this program that is only
    // read.
    let headers = unsafe { std::slice::from_raw_parts(headers, count) };
    let of_type = |kind| {
        let found = headers.iter().filter(move |header| header.p_type == kind);
        found.map(|header| {
            let start = usize::try_from(header.p_vaddr).unwrap_or_default();
            start..start + usize::try_from(header.p_memsz).unwrap_or_default()
        })
    };
    // Where it says that it lies, as `build.rs` has it linked, and nowhere else.
    if !of_type(libc::PT_LOAD).any(|part| part.contains(&first)) {
        return;
    }
    let page = rustix::param::page_size();
    for part in of_type(libc::PT_GNU_RELRO) {
        let (start, end) = (part.start / page * page, part.end / page * page);
        let place = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: nothing of ours writes there; the linker made it for this.
        let _ = unsafe { mprotect(place, end.saturating_sub(start), MprotectFlags::READ) };
    }
}

/// Lets go of a part of this program's own memory (madvise(2), `MADV_DONTNEED`). By contract it is a
/// private mapping of a file, and was never written to.
#[inline]
pub(in crate::sandbox) fn let_go(range: &std::ops::Range<usize>) {
    let (start, length) = (range.start, range.end - range.start);
    let start = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the kernel reads the very same content from the file again.
    let _ = unsafe { rustix::mm::madvise(start, length, rustix::mm::Advice::LinuxDontNeed) };
}

/// For a test of the above: pages of a file as a program has them.
#[cfg(test)]
pub(in crate::sandbox) fn map_privately(file: &std::fs::File, length: usize) -> io::Result<usize> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses a place where nothing else is.
    let start = unsafe {
        mmap(
            std::ptr::null_mut(),
            length,
            access,
            MapFlags::PRIVATE,
            file,
            0,
        )
    }?;
    Ok(start.expose_provenance())
}

/// Writes into such a page.
#[cfg(test)]
pub(in crate::sandbox) fn write_byte(address: usize, byte: u8) {
    // SAFETY: by contract it is mapped, and nobody has a reference to it.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(byte) };
}

/// Reads from such a page.
#[cfg(test)]
pub(in crate::sandbox) fn read_byte(address: usize) -> u8 {
    // SAFETY: by contract it is mapped.
    unsafe { std::ptr::with_exposed_provenance::<u8>(address).read_volatile() }
}
