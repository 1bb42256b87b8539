//! What a file is, by its ELF header: a static executable, and for which architecture.

use std::fs::File;
use std::io;

use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endian, Endianness, FileKind, ReadCache, ReadRef};

use crate::image::Platform;

/// Why a file is no static executable for Linux.
#[derive(Debug, thiserror::Error)]
pub enum NotStatic {
    /// A script.
    #[error("it is a script for \"{}\", and packed is only a static executable", .0.escape_debug())]
    Script(String),
    /// Something else than ELF.
    #[error("it is no executable for Linux (no ELF file)")]
    NotElf,
    /// ELF, and malformed.
    #[error("it is a damaged ELF file: {0}")]
    Damaged(String),
    /// ELF, and neither a program nor anything that can be started.
    #[error("it is {0} and no program")]
    NoProgram(&'static str),
    /// For another kernel.
    #[error("it is a program for another system than Linux (ELF OS ABI {0})")]
    OtherSystem(u8),
    /// For a processor that images have no name for.
    #[error("no image can be made for its processor (ELF machine {0})")]
    OtherMachine(u16),
    /// Dynamic.
    #[error(
        "it is dynamic and needs {libraries} (interpreter {interpreter}); link it statically: for \
         Rust, run packer in its package; for C, use -static"
    )]
    Dynamic {
        /// The program interpreter (`PT_INTERP`).
        interpreter: String,
        /// The libraries (`DT_NEEDED`).
        libraries: String,
    },
    /// Reading failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What a static executable runs on.
pub(super) fn inspect(file: &File) -> Result<Platform, NotStatic> {
    if let Some(interpreter) = script(file)? {
        return Err(NotStatic::Script(interpreter));
    }
    let data = ReadCache::new(file);
    match FileKind::parse(&data) {
        Ok(FileKind::Elf32) => inspect_header::<elf::FileHeader32<Endianness>, _>(&data),
        Ok(FileKind::Elf64) => inspect_header::<elf::FileHeader64<Endianness>, _>(&data),
        _ => Err(NotStatic::NotElf),
    }
}

/// What stands behind `#!`.
fn script(file: &File) -> io::Result<Option<String>> {
    use std::os::unix::fs::FileExt;
    let mut start = [0; 256];
    let count = file.read_at(&mut start, 0)?;
    let line = start[..count].split(|&byte| byte == b'\n').next();
    let interpreter = line.and_then(|line| line.strip_prefix(b"#!"));
    Ok(interpreter.map(|text| String::from_utf8_lossy(text).trim().to_owned()))
}

fn inspect_header<'data, Elf, R>(data: R) -> Result<Platform, NotStatic>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    match header.e_type(endian) {
        elf::ET_EXEC | elf::ET_DYN => {}
        elf::ET_REL => return Err(NotStatic::NoProgram("an object file")),
        elf::ET_CORE => return Err(NotStatic::NoProgram("a core dump")),
        _ => return Err(NotStatic::NoProgram("an ELF file of an unknown type")),
    }
    match header.e_ident().os_abi {
        elf::ELFOSABI_SYSV | elf::ELFOSABI_GNU => {}
        other => return Err(NotStatic::OtherSystem(other.0)),
    }
    let links = links(header, endian, data)?;
    if links.interpreter.is_some() || !links.libraries.is_empty() {
        let libraries = match links.libraries.as_slice() {
            [] => "no libraries".to_owned(),
            names => names.join(", "),
        };
        return Err(NotStatic::Dynamic {
            interpreter: links.interpreter.unwrap_or_else(|| "none".to_owned()),
            libraries,
        });
    }
    if header.e_entry(endian).into() == 0 {
        return Err(NotStatic::NoProgram("a shared library"));
    }
    let machine = header.e_machine(endian);
    let big = endian.is_big_endian();
    platform(machine, header.is_class_64(), big).ok_or(NotStatic::OtherMachine(machine.0))
}

/// What a program wants to be loaded beside it.
struct Links {
    interpreter: Option<String>,
    libraries: Vec<String>,
}

fn links<'data, Elf, R>(header: &Elf, endian: Endianness, data: R) -> Result<Links, NotStatic>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let segments = header.program_headers(endian, data).map_err(damaged)?;
    let mut links = Links {
        interpreter: None,
        libraries: Vec::new(),
    };
    for segment in segments {
        if let Some(name) = segment.interpreter(endian, data).map_err(damaged)? {
            links.interpreter = Some(String::from_utf8_lossy(name).into_owned());
        }
        let Some(entries) = segment.dynamic(endian, data).map_err(damaged)? else {
            continue;
        };
        let end = entries
            .iter()
            .position(|entry| entry.tag(endian) == elf::DT_NULL);
        let entries = &entries[..end.unwrap_or(entries.len())];
        let value = |entry: &Elf::Dyn| entry.d_val(endian).into();
        let has = |tag| move |entry: &&Elf::Dyn| entry.tag(endian) == tag;
        let strings = entries.iter().find(has(elf::DT_STRTAB)).map(value);
        for needed in entries.iter().filter(has(elf::DT_NEEDED)) {
            let address = strings.unwrap_or(0).wrapping_add(value(needed));
            let name = string_at::<Elf, R>(segments, endian, data, address);
            links
                .libraries
                .push(name.unwrap_or_else(|| "a library".to_owned()));
        }
    }
    Ok(links)
}

/// The string that a loaded program would find at `address`.
fn string_at<'data, Elf, R>(
    segments: &[Elf::ProgramHeader],
    endian: Endianness,
    data: R,
    address: u64,
) -> Option<String>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let loaded = segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    for segment in loaded {
        let start: u64 = segment.p_vaddr(endian).into();
        let size: u64 = segment.p_filesz(endian).into();
        let Some(within) = address.checked_sub(start).filter(|&within| within < size) else {
            continue;
        };
        let offset: u64 = segment.p_offset(endian).into();
        let begin = offset.checked_add(within)?;
        let name = data.read_bytes_at_until(begin..offset.checked_add(size)?, 0);
        return name
            .ok()
            .map(|name| String::from_utf8_lossy(name).into_owned());
    }
    None
}

/// Go's name for a machine; `None` for one that no image is made for.
fn platform(machine: elf::Machine, is_64: bool, big: bool) -> Option<Platform> {
    let (architecture, variant) = match (machine, is_64, big) {
        (elf::EM_X86_64, true, false) => ("amd64", None),
        (elf::EM_386, false, false) => ("386", None),
        (elf::EM_AARCH64, true, false) => ("arm64", None),
        (elf::EM_ARM, false, false) => ("arm", Some("v7")),
        (elf::EM_RISCV, true, false) => ("riscv64", None),
        (elf::EM_PPC64, true, false) => ("ppc64le", None),
        (elf::EM_PPC64, true, true) => ("ppc64", None),
        (elf::EM_S390, true, true) => ("s390x", None),
        (elf::EM_MIPS, true, false) => ("mips64le", None),
        (elf::EM_LOONGARCH, true, false) => ("loong64", None),
        _ => return None,
    };
    Some(Platform {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        variant: variant.map(ToOwned::to_owned),
    })
}

fn damaged(error: object::read::Error) -> NotStatic {
    NotStatic::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A 64-bit little-endian header, its program headers (kind, address, bytes), and the bytes.
    fn file(kind: u16, machine: u16, entry: u64, segments: &[(u32, u64, &[u8])]) -> File {
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(16, 0);
        header.extend(kind.to_le_bytes());
        header.extend(machine.to_le_bytes());
        header.extend(1_u32.to_le_bytes());
        header.extend(entry.to_le_bytes());
        header.extend(64_u64.to_le_bytes()); // program headers
        header.extend([0; 12]); // section headers, flags
        for number in [64, 56, u16::try_from(segments.len()).unwrap(), 0, 0, 0] {
            header.extend(number.to_le_bytes());
        }
        let mut offset = 64 + 56 * segments.len() as u64;
        let mut contents = Vec::new();
        for (kind, address, bytes) in segments {
            header.extend(kind.to_le_bytes());
            header.extend(5_u32.to_le_bytes());
            let size = bytes.len() as u64;
            for number in [offset, *address, *address, size, size, 8] {
                header.extend(number.to_le_bytes());
            }
            offset += size;
            contents.extend_from_slice(bytes);
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&header).unwrap();
        file.write_all(&contents).unwrap();
        file
    }

    fn text(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn refusal(file: &File) -> String {
        inspect(file).unwrap_err().to_string()
    }

    #[test]
    fn a_static_executable_says_what_it_runs_on() {
        for (machine, architecture) in [(62, "amd64"), (183, "arm64"), (243, "riscv64")] {
            for kind in [2, 3] {
                let platform = inspect(&file(kind, machine, 0x1000, &[])).unwrap();
                assert_eq!(platform.architecture, architecture);
                assert_eq!(platform.os, "linux");
            }
        }
        assert!(refusal(&file(2, 9999, 0x1000, &[])).contains("ELF machine 9999"));
    }

    #[test]
    fn a_dynamic_executable_is_refused_with_the_names_of_its_libraries() {
        let strings = b"\0liba.so.1\0libb.so.2\0";
        let entries: [(u64, u64); 4] = [(1, 1), (1, 11), (5, 0x1000), (0, 0)];
        let dynamic: Vec<u8> = entries
            .iter()
            .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
            .collect();
        let interpreter = b"/lib/ld.so\0";
        let segments: &[(u32, u64, &[u8])] = &[
            (2, 0x2000, &dynamic),
            (1, 0x1000, strings),
            (3, 0x3000, interpreter),
        ];
        let words = refusal(&file(3, 62, 0x1000, segments));
        assert!(
            words.contains("needs liba.so.1, libb.so.2 (interpreter /lib/ld.so)"),
            "{words}"
        );
    }

    #[test]
    fn everything_else_is_called_what_it_is() {
        assert!(refusal(&text(b"#!/bin/sh -e\nexit\n")).contains("a script for \"/bin/sh -e\""));
        assert!(refusal(&text(b"")).contains("no ELF file"));
        assert!(refusal(&text(b"\x7fELF\x02\x01\x01 and no more")).contains("damaged ELF file"));
        assert!(refusal(&file(1, 62, 0, &[])).contains("an object file"));
        assert!(refusal(&file(4, 62, 0, &[])).contains("a core dump"));
        assert!(refusal(&file(3, 62, 0, &[])).contains("a shared library"));
    }
}
