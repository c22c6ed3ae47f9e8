//! The `slipway` binary.

fn main() -> std::process::ExitCode {
    slipway::main()
}
