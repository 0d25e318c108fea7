//! Options and operands of a command line, as getopt tells them apart.

/// What a command line says.
pub struct Options {
    given: Vec<(char, String)>,
    /// What is no option.
    pub operands: Vec<String>,
}

impl Options {
    /// Takes `args` apart. In `short` a colon follows the letters that take a value; `long` says which of these letters
    /// an option with a long name stands for.
    pub fn parse(args: &[String], short: &str, long: &[(&str, char)]) -> Result<Self, String> {
        let mut options = Self { given: Vec::new(), operands: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if let Some(name) = arg.strip_prefix("--") {
                let (name, value) =
                    name.split_once('=').map_or((name, None), |(n, v)| (n, Some(v.to_owned())));
                let letter = long.iter().find(|(long, _)| *long == name).map(|(_, letter)| *letter);
                let letter = letter.ok_or_else(|| format!("unrecognized option '{arg}'"))?;
                let value = match takes_value(short, letter) {
                    true => value.or_else(|| args.next().cloned()),
                    false => Some(String::new()),
                };
                options.push(letter, value)?;
            } else if let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                for (at, letter) in letters.char_indices() {
                    if !short.contains(letter) || letter == ':' {
                        return Err(format!("invalid option -- '{letter}'"));
                    }
                    if takes_value(short, letter) {
                        let rest = &letters[at + letter.len_utf8()..];
                        let value = Some(rest.to_owned()).filter(|rest| !rest.is_empty());
                        options.push(letter, value.or_else(|| args.next().cloned()))?;
                        break;
                    }
                    options.push(letter, Some(String::new()))?;
                }
            } else {
                options.operands.push(arg.clone());
            }
        }
        Ok(options)
    }

    fn push(&mut self, letter: char, value: Option<String>) -> Result<(), String> {
        let value = value.ok_or_else(|| format!("option requires an argument -- '{letter}'"))?;
        self.given.push((letter, value));
        Ok(())
    }

    /// Whether the option was given.
    pub fn has(&self, letter: char) -> bool {
        self.values(letter).next().is_some()
    }

    /// The option's value; the last one counts.
    pub fn value(&self, letter: char) -> Option<&str> {
        self.values(letter).last()
    }

    /// All values of the option.
    pub fn values(&self, letter: char) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(given, _)| *given == letter).map(|(_, value)| &**value)
    }

    /// The operands, which must be `N`.
    pub fn exactly<const N: usize>(&self) -> Result<[&str; N], String> {
        let operands: Vec<&str> = self.operands.iter().map(String::as_str).collect();
        operands.try_into().map_err(|found: Vec<&str>| format!("Expecting {N} operands, not {found:?}"))
    }
}

fn takes_value(short: &str, letter: char) -> bool {
    short.split_once(letter).is_some_and(|(_, rest)| rest.starts_with(':'))
}

/// The pairs of `key=value,key=value`. A key alone is on; a comma within a value is doubled.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let parts = text.replace(",,", "\0");
    let parts = parts.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| part.replace('\0', ","))
        .map(|part| match part.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (part, "on".to_owned()),
        })
        .collect()
}
