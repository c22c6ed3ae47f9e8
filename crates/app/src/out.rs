//! Standard output. A reader that goes away (`slipway journal | head`) ends the command, quietly; what was asked of the
//! server goes on there.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// What a shell says of a program that was ended by SIGPIPE.
const READER_GONE: i32 = 128 + 13;

/// Like `print!`, but survives a reader that goes away.
macro_rules! out {
    ($($text:tt)*) => { $crate::out::write(format_args!($($text)*)) };
}

/// Like `println!`, but survives a reader that goes away.
macro_rules! outln {
    ($($text:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes, or ends the process where nobody reads.
pub(crate) fn write(text: Arguments<'_>) {
    let mut stdout = std::io::stdout();
    match stdout.write_fmt(text).and_then(|()| stdout.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(READER_GONE),
        Err(error) => {
            eprintln!("slipway: standard output cannot be written: {error}");
            std::process::exit(i32::from(crate::exit::INTERNAL));
        }
    }
}
