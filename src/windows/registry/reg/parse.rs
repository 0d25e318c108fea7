//! A `.reg` file read.

use encoding_rs::{UTF_16LE, WINDOWS_1252};

use super::{Action, Change, VERSION_4, VERSION_5};
use crate::error::{Error, Result};
use crate::windows::registry::kind;

/// The changes that a `.reg` file asks for, in their order.
///
/// # Errors
///
/// [`Error::Text`] with the line of what is not as the grammar has it.
pub fn parse(bytes: &[u8]) -> Result<Vec<Change>> {
    let text = decode(bytes)?;
    let mut cursor = Cursor { rest: &text, line: 1 };
    let version = cursor.take_line().trim_end();
    let is_old = match version {
        VERSION_5 => false,
        VERSION_4 => true,
        other => return Err(error(1, &format!("{VERSION_5:?} or {VERSION_4:?}"), other)),
    };
    let mut changes = Vec::new();
    let mut key: Option<String> = None;
    loop {
        cursor.skip(|c| c.is_whitespace());
        let line = cursor.line;
        let mut add = |key: &str, action| changes.push(Change { line, key: key.to_owned(), action });
        match cursor.peek() {
            None => return Ok(changes),
            Some(';') => drop(cursor.take_line()),
            Some('[') => {
                let (name, action) = cursor.key()?;
                add(&name, action);
                key = Some(name);
            }
            Some(_) => {
                let name = cursor.value_name()?;
                let Some(key) = &key else { return Err(error(line, "a key before its values", "a value")) };
                cursor.skip(is_blank);
                cursor.expect('=')?;
                cursor.skip(is_blank);
                let action = cursor.value(name, is_old)?;
                cursor.end_of_line()?;
                add(key, action);
            }
        }
    }
}

fn decode(bytes: &[u8]) -> Result<String> {
    if let Some(utf16) = bytes.strip_prefix(b"\xff\xfe") {
        let text = UTF_16LE.decode_without_bom_handling_and_without_replacement(utf16);
        return Ok(text.ok_or_else(|| error(1, "UTF-16", "something else"))?.into_owned());
    }
    let utf8 = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(utf8) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) if bytes.starts_with(VERSION_4.as_bytes()) => {
            Ok(WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned())
        }
        Err(_) => Err(error(1, "UTF-16 with a byte order mark, or UTF-8", "something else")),
    }
}

/// Blanks within a line.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn error(line: usize, expected: &str, found: &str) -> Error {
    let found = found.chars().take(40).collect();
    Error::Text { what: "registry file", line, expected: expected.to_owned(), found }
}

/// What is left of the text, and the line in which it begins.
struct Cursor<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Cursor<'t> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.line += usize::from(c == '\n');
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&is_skipped) {
            self.next();
        }
    }

    /// What is left of the line, without its end.
    fn take_line(&mut self) -> &'t str {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.line += usize::from(line.len() < self.rest.len());
        self.rest = rest;
        line.strip_suffix('\r').unwrap_or(line)
    }

    fn refuse(&self, expected: &str) -> Error {
        let found = self.rest.lines().next().filter(|rest| !rest.is_empty()).unwrap_or("the end of the line");
        error(self.line, expected, found)
    }

    fn expect(&mut self, c: char) -> Result<()> {
        if self.peek() != Some(c) {
            return Err(self.refuse(&format!("{c:?}")));
        }
        self.next();
        Ok(())
    }

    fn end_of_line(&mut self) -> Result<()> {
        self.skip(is_blank);
        match self.peek() {
            None | Some('\r' | '\n') => Ok(()),
            Some(';') => {
                self.take_line();
                Ok(())
            }
            Some(_) => Err(self.refuse("the end of the line")),
        }
    }

    /// `[KEY]` or `[-KEY]`. A key's name may have brackets in it.
    fn key(&mut self) -> Result<(String, Action)> {
        let line = self.line;
        let text = self.take_line().trim_end();
        let name = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let name = name.ok_or_else(|| error(line, "a key in brackets", text))?;
        match name.strip_prefix('-') {
            Some(name) => Ok((name.to_owned(), Action::Remove)),
            None => Ok((name.to_owned(), Action::Create)),
        }
    }

    /// `@` or `"NAME"`.
    fn value_name(&mut self) -> Result<String> {
        match self.peek() {
            Some('@') => {
                self.next();
                Ok(String::new())
            }
            Some('"') => self.string(),
            _ => Err(self.refuse("a key in brackets, or a value's name in quotes")),
        }
    }

    /// A text in quotes, in which a backslash stands before a quote and before a backslash. It may have line ends in it.
    fn string(&mut self) -> Result<String> {
        let line = self.line;
        self.expect('"')?;
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => match self.next() {
                    Some(c @ ('"' | '\\')) => text.push(c),
                    _ => {
                        return Err(error(
                            self.line,
                            "\\\\ or \\\" for a backslash or a quote",
                            "a backslash alone",
                        ));
                    }
                },
                Some(c) => text.push(c),
                None => return Err(error(line, "a text that ends with a quote", "one without end")),
            }
        }
    }

    fn value(&mut self, name: String, is_old: bool) -> Result<Action> {
        let (kind, data) = match self.peek() {
            Some('-') => {
                self.next();
                return Ok(Action::Unset { name });
            }
            Some('"') => (kind::SZ, utf16(&format!("{}\0", self.string()?))),
            _ if self.take_word("dword:") => (kind::DWORD, self.number()?.to_le_bytes().to_vec()),
            _ if self.take_word("hex") => {
                let kind = if self.take_word("(") {
                    let kind = self.number()?;
                    self.expect(')')?;
                    kind
                } else {
                    kind::BINARY
                };
                self.expect(':')?;
                let bytes = self.bytes()?;
                match kind {
                    // Strings of old are in the code page, too.
                    kind::SZ | kind::EXPAND_SZ | kind::MULTI_SZ if is_old => {
                        (kind, utf16(&WINDOWS_1252.decode_without_bom_handling(&bytes).0))
                    }
                    _ => (kind, bytes),
                }
            }
            _ => return Err(self.refuse("a text in quotes, dword:, hex:, hex(TYPE): or -")),
        };
        Ok(Action::Set { name, kind, data })
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_there = self.rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        if is_there {
            self.rest = &self.rest[word.len()..];
        }
        is_there
    }

    /// One to eight hexadecimal digits.
    fn number(&mut self) -> Result<u32> {
        let len = self.rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(len);
        let number = u32::from_str_radix(digits, 16).ok().filter(|_| len <= 8);
        let number = number.ok_or_else(|| self.refuse("one to eight hexadecimal digits"))?;
        self.rest = rest;
        Ok(number)
    }

    /// Bytes of two digits with commas between them; a backslash at the end of a line goes on in the next.
    fn bytes(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            self.skip(is_blank);
            match self.peek() {
                Some('\\') => {
                    self.next();
                    self.skip(|c| is_blank(c) || c == '\r');
                    self.expect('\n')?;
                }
                Some(c) if c.is_ascii_hexdigit() => {
                    let byte = self.rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                    bytes.push(byte.ok_or_else(|| self.refuse("two hexadecimal digits"))?);
                    self.rest = &self.rest[2..];
                    self.skip(is_blank);
                    if self.peek() == Some(',') {
                        self.next();
                    } else {
                        return Ok(bytes);
                    }
                }
                _ => return Ok(bytes),
            }
        }
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
