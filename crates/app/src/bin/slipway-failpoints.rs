//! `slipway` with the points at which tests make it fail. Built only where it is asked for, and never released.

fn main() -> std::process::ExitCode {
    slipway::main()
}
