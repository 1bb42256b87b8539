//! What an ELF file says about itself: which processor it is for, and what it wants beside it.
//!
//! Source: System V ABI (generic, chapter 5), elf(5).

use std::fs::File;
use std::io;

use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endian, Endianness, FileKind, ReadCache, ReadRef};

use crate::image::Platform;

/// The names of symbols and libraries are read up to this length in bytes; the longest known table,
/// a browser's, has a quarter of it.
const LONGEST_NAMES: u64 = 64 << 20;

/// Why a file is no executable for Linux.
#[derive(Debug, thiserror::Error)]
pub enum NoProgram {
    /// Neither ELF nor a script.
    #[error(
        "it is no executable for Linux (neither an ELF file nor a script that begins with \"#!\")"
    )]
    NotElf,
    /// ELF, and malformed.
    #[error("it is a damaged ELF file: {0}")]
    Damaged(String),
    /// ELF, and neither a program nor anything that can be started.
    #[error("it is {0} and no program")]
    Unstartable(&'static str),
    /// For another kernel.
    #[error("it is a program for another system than Linux (ELF OS ABI {0})")]
    OtherSystem(u8),
    /// For a processor that images have no name for.
    #[error("no image can be made for its processor (ELF machine {0})")]
    OtherMachine(u16),
    /// Reading failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// An executable or a shared library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// What it runs on.
    pub(crate) machine: Machine,
    /// Whether it can be started: it has an entry point.
    pub(crate) starts: bool,
    /// The program interpreter (`PT_INTERP`), which is the dynamic loader.
    pub(crate) interpreter: Option<String>,
    /// The libraries that it needs (`DT_NEEDED`), in order.
    pub(crate) needed: Vec<String>,
    /// The name that others need it by (`DT_SONAME`).
    pub(crate) soname: Option<String>,
    /// Where to look for them (`DT_RPATH`).
    pub(crate) rpath: Option<String>,
    /// Where to look for them, too (`DT_RUNPATH`).
    pub(crate) runpath: Option<String>,
    /// Whether the loader's own folders are left out (`DF_1_NODEFLIB`).
    pub(crate) no_default_folders: bool,
    /// The names of its symbols and libraries (`DT_STRTAB`), each ended by a zero byte.
    names: Vec<u8>,
}

/// What has to be equal for two objects to be loaded into one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    processor: elf::Machine,
    is_64: bool,
    big_endian: bool,
}

impl Object {
    /// Reads what `file` says about itself.
    pub(crate) fn read(file: &File) -> Result<Self, NoProgram> {
        let data = ReadCache::new(file);
        match FileKind::parse(&data) {
            Ok(FileKind::Elf32) => read_header::<elf::FileHeader32<Endianness>, _>(&data),
            Ok(FileKind::Elf64) => read_header::<elf::FileHeader64<Endianness>, _>(&data),
            _ => Err(NoProgram::NotElf),
        }
    }

    /// Whether it calls, or offers, a function of this name.
    pub(crate) fn names(&self, symbol: &str) -> bool {
        let mut names = self.names.split(|&byte| byte == 0);
        names.any(|name| name == symbol.as_bytes())
    }
}

fn read_header<'data, Elf, R>(data: R) -> Result<Object, NoProgram>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    match header.e_type(endian) {
        elf::ET_EXEC | elf::ET_DYN => {}
        elf::ET_REL => return Err(NoProgram::Unstartable("an object file")),
        elf::ET_CORE => return Err(NoProgram::Unstartable("a core dump")),
        _ => return Err(NoProgram::Unstartable("an ELF file of an unknown type")),
    }
    match header.e_ident().os_abi {
        elf::ELFOSABI_SYSV | elf::ELFOSABI_GNU => {}
        other => return Err(NoProgram::OtherSystem(other.0)),
    }
    let mut object = Object {
        machine: Machine {
            processor: header.e_machine(endian),
            is_64: header.is_class_64(),
            big_endian: endian.is_big_endian(),
        },
        starts: header.e_entry(endian).into() != 0,
        interpreter: None,
        needed: Vec::new(),
        soname: None,
        rpath: None,
        runpath: None,
        no_default_folders: false,
        names: Vec::new(),
    };
    let segments = header.program_headers(endian, data).map_err(damaged)?;
    for segment in segments {
        if let Some(name) = segment.interpreter(endian, data).map_err(damaged)? {
            object.interpreter = Some(String::from_utf8_lossy(name).into_owned());
        }
        if let Some(entries) = segment.dynamic(endian, data).map_err(damaged)? {
            read_dynamic::<Elf, R>(&mut object, entries, segments, endian, data)?;
        }
    }
    Ok(object)
}

/// Reads the dynamic section, up to the entry that ends it.
fn read_dynamic<'data, Elf, R>(
    object: &mut Object,
    entries: &[Elf::Dyn],
    segments: &[Elf::ProgramHeader],
    endian: Endianness,
    data: R,
) -> Result<(), NoProgram>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let end = entries
        .iter()
        .position(|entry| entry.tag(endian) == elf::DT_NULL);
    let entries = &entries[..end.unwrap_or(entries.len())];
    let values = |tag| {
        let tagged = entries.iter().filter(move |entry| entry.tag(endian) == tag);
        tagged.map(|entry| -> u64 { entry.d_val(endian).into() })
    };
    if let (Some(address), Some(size)) =
        (values(elf::DT_STRTAB).next(), values(elf::DT_STRSZ).next())
    {
        object.names = loaded_bytes::<Elf, R>(segments, endian, data, address, size)?.to_vec();
    }
    let text = |offset| name_at(&object.names, offset);
    object.needed = values(elf::DT_NEEDED).map(text).collect::<Result<_, _>>()?;
    object.soname = values(elf::DT_SONAME).next().map(text).transpose()?;
    object.rpath = values(elf::DT_RPATH).next().map(text).transpose()?;
    object.runpath = values(elf::DT_RUNPATH).next().map(text).transpose()?;
    object.no_default_folders =
        values(elf::DT_FLAGS_1).any(|flags| flags & elf::DF_1_NODEFLIB.0 != 0);
    Ok(())
}

/// The text that begins at `offset` of a table of names.
fn name_at(names: &[u8], offset: u64) -> Result<String, NoProgram> {
    let wrong = || NoProgram::Damaged("a name lies outside of its table".to_owned());
    let start = usize::try_from(offset).map_err(|_| wrong())?;
    let rest = names.get(start..).ok_or_else(wrong)?;
    let end = rest.iter().position(|&byte| byte == 0).ok_or_else(wrong)?;
    let name = std::str::from_utf8(&rest[..end]);
    let name = name.map_err(|_| NoProgram::Damaged("a name is not UTF-8".to_owned()))?;
    Ok(name.to_owned())
}

/// The bytes that a loaded program would find at `address`.
fn loaded_bytes<'data, Elf, R>(
    segments: &[Elf::ProgramHeader],
    endian: Endianness,
    data: R,
    address: u64,
    size: u64,
) -> Result<&'data [u8], NoProgram>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let wrong = || NoProgram::Damaged("its table of names is not in the file".to_owned());
    if size > LONGEST_NAMES {
        return Err(NoProgram::Damaged(
            "its table of names is too long".to_owned(),
        ));
    }
    let loaded = segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    for segment in loaded {
        let start: u64 = segment.p_vaddr(endian).into();
        let length: u64 = segment.p_filesz(endian).into();
        let within = address.checked_sub(start);
        let Some(within) = within.filter(|&within| within < length) else {
            continue;
        };
        let offset: u64 = segment.p_offset(endian).into();
        let begin = offset.checked_add(within).ok_or_else(wrong)?;
        return data
            .read_bytes_at(begin, size.min(length - within))
            .map_err(|()| wrong());
    }
    Err(wrong())
}

impl Machine {
    /// Go's names for it.
    pub(crate) fn platform(self) -> Result<Platform, NoProgram> {
        self.names()
            .ok_or(NoProgram::OtherMachine(self.processor.0))
            .map(|(architecture, variant)| Platform {
                architecture: architecture.to_owned(),
                os: "linux".to_owned(),
                variant: variant.map(ToOwned::to_owned),
            })
    }

    /// What glibc puts in for `$PLATFORM`: the processor's plainest name, because an image has to
    /// run on every machine of its architecture.
    pub(crate) fn platform_name(self) -> Option<&'static str> {
        match self.names()?.0 {
            "amd64" => Some("x86_64"),
            "arm64" => Some("aarch64"),
            "386" => Some("i686"),
            "arm" => Some("v7l"),
            _ => None,
        }
    }

    /// Architecture and variant; `None` for one that no image is made for.
    fn names(self) -> Option<(&'static str, Option<&'static str>)> {
        Some(match (self.processor, self.is_64, self.big_endian) {
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
        })
    }
}

fn damaged(error: object::read::Error) -> NoProgram {
    NoProgram::Damaged(error.to_string())
}

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The same as a file.
    fn file(kind: u16, machine: u16, entry: u64, segments: &[(u32, u64, &[u8])]) -> File {
        text(&fixture::elf(kind, machine, entry, segments))
    }

    fn text(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn refusal(file: &File) -> String {
        Object::read(file).unwrap_err().to_string()
    }

    #[test]
    fn an_executable_says_what_it_runs_on() {
        for (machine, architecture) in [(62, "amd64"), (183, "arm64"), (243, "riscv64")] {
            for kind in [2, 3] {
                let object = Object::read(&file(kind, machine, 0x1000, &[])).unwrap();
                let platform = object.machine.platform().unwrap();
                assert_eq!(platform.architecture, architecture);
                assert_eq!(platform.os, "linux");
                assert!(object.starts && object.needed.is_empty());
            }
        }
        let unknown = Object::read(&file(2, 9999, 0x1000, &[])).unwrap();
        let error = unknown.machine.platform().unwrap_err().to_string();
        assert!(error.contains("ELF machine 9999"), "{error}");
    }

    /// A library with these entries in its dynamic section.
    fn library(strings: &[u8], entries: &[(u64, u64)]) -> File {
        let dynamic: Vec<u8> = entries
            .iter()
            .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
            .collect();
        let segments: &[(u32, u64, &[u8])] = &[
            (2, 0x2000, &dynamic),
            (1, 0x1000, strings),
            (3, 0x3000, b"/lib/ld.so\0"),
        ];
        file(3, 62, 0, segments)
    }

    #[test]
    fn a_dynamic_object_says_what_it_wants_beside_it() {
        let strings = b"\0liba.so.1\0libb.so.2\0$ORIGIN\0iconv\0";
        let size = strings.len() as u64;
        let entries = [
            (1, 1),
            (1, 11),
            (5, 0x1000),
            (10, size),
            (15, 21),
            (14, 1),
            (0, 0),
            (1, 1),
        ];
        let object = Object::read(&library(strings, &entries)).unwrap();
        assert_eq!(object.needed, ["liba.so.1", "libb.so.2"]);
        assert_eq!(object.interpreter.as_deref(), Some("/lib/ld.so"));
        assert_eq!(object.rpath.as_deref(), Some("$ORIGIN"));
        assert_eq!(object.soname.as_deref(), Some("liba.so.1"));
        assert_eq!(object.runpath, None);
        assert!(!object.starts);
        assert!(object.names("iconv") && !object.names("conv"));
    }

    #[test]
    fn names_outside_of_their_table_are_damage() {
        for entries in [
            [(5, 0x1000), (10, 4), (1, 4), (0, 0)],
            [(5, 0x1000), (10, 4), (1, u64::MAX), (0, 0)],
            [(5, 0x9000), (10, 4), (1, 1), (0, 0)],
            [(5, 0x1000), (10, u64::MAX), (1, 1), (0, 0)],
        ] {
            let words = refusal(&library(b"\0abc", &entries));
            assert!(words.contains("damaged ELF file"), "{words}");
        }
    }

    #[test]
    fn everything_else_is_called_what_it_is() {
        assert!(refusal(&text(b"")).contains("neither an ELF file"));
        assert!(refusal(&text(b"\x7fELF\x02\x01\x01 and no more")).contains("damaged ELF file"));
        assert!(refusal(&file(1, 62, 0, &[])).contains("an object file"));
        assert!(refusal(&file(4, 62, 0, &[])).contains("a core dump"));
    }
}
