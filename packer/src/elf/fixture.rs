//! ELF files for tests, made by hand: headers and a dynamic section, and no code.

/// A 64-bit little-endian file: its header, its program headers (kind, address, bytes), the bytes.
pub(crate) fn elf(kind: u16, machine: u16, entry: u64, segments: &[(u32, u64, &[u8])]) -> Vec<u8> {
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
    header.extend(contents);
    header
}

/// What a dynamic object says: all of it optional.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dynamic<'a> {
    pub(crate) interpreter: &'a str,
    pub(crate) needed: &'a [&'a str],
    pub(crate) soname: &'a str,
    pub(crate) rpath: &'a str,
    pub(crate) runpath: &'a str,
    /// Words in its text.
    pub(crate) text: &'a str,
    /// `EM_X86_64` when it is 0.
    pub(crate) machine: u16,
}

impl Dynamic<'_> {
    /// The object as a file.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut names = vec![0];
        let mut entries: Vec<(u64, u64)> = Vec::new();
        let mut name = |tag: u64, text: &str| {
            if !text.is_empty() {
                entries.push((tag, names.len() as u64));
                names.extend(text.bytes());
                names.push(0);
            }
        };
        for needed in self.needed {
            name(1, needed);
        }
        name(14, self.soname);
        name(15, self.rpath);
        name(29, self.runpath);
        names.extend(self.text.bytes());
        names.push(0);
        entries.extend([(5, 0x1000), (10, names.len() as u64), (0, 0)]);
        let dynamic: Vec<u8> = entries
            .iter()
            .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
            .collect();
        let interpreter = format!("{}\0", self.interpreter);
        let mut segments: Vec<(u32, u64, &[u8])> = vec![(2, 0x2000, &dynamic), (1, 0x1000, &names)];
        if !self.interpreter.is_empty() {
            segments.push((3, 0x3000, interpreter.as_bytes()));
        }
        let machine = if self.machine == 0 { 62 } else { self.machine };
        elf(3, machine, 0x1000, &segments)
    }
}
